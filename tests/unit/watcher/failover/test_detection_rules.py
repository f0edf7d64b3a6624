"""Who is suspected, who is not and why: from facts alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto import agent_pb2
from watcher.cache.apps import Operation
from watcher.failover.detection_rules import (
    BUSY_AFTER,
    HUNG_AFTER,
    ISOLATED_AFTER,
    LOST,
    VACANT_AFTER,
    Facts,
    Finding,
    Kind,
    PodFacts,
    Process,
    Usage,
    findings,
)
from watcher.failover.observations import Observation, heard, process_of, reached, unreached

NOW = 1000.0
FIRST, SECOND, THIRD = "cache-redis-data-0", "cache-redis-data-1", "cache-redis-data-10"
WELL = PodFacts(ran=True, process=Process.RUNNING, role="master", ready=True, heard_at=NOW - 9)
REPLICA = PodFacts(ran=True, process=Process.RUNNING, role="replica", ready=True, heard_at=NOW - 1)
LAGGING = replace(REPLICA, ready=False)
ISOLATED = replace(WELL, failing_since=NOW - ISOLATED_AFTER)


def facts(*first: PodFacts, others: tuple[PodFacts, ...] = (REPLICA, REPLICA), **more: Any) -> Facts:
    """The first node had the role last; it still has it unless ``holder`` says otherwise."""
    nodes = {FIRST: first, **{name: (pod,) for name, pod in zip((SECOND, THIRD), others, strict=False)}}
    return Facts(**{"role": "master", "holder": FIRST, "last": FIRST, "nodes": nodes, **more})


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def test_nothing_is_found_where_all_is_well() -> None:
    assert findings(facts(WELL), NOW) == []


@pytest.mark.parametrize(
    "process", [Process.EXITED, Process.BACKOFF, Process.CRASH_LOOP, Process.LINGERING, Process.UNREADABLE]
)
def test_a_process_that_ended_by_itself_is_lost_at_once(process: Process) -> None:
    found = only(findings(facts(replace(WELL, process=process, role="", message="ended with 137"), holder=""), NOW))
    assert (found.kind, found.node, found.blocked) == (Kind.DEAD, FIRST, "")
    assert "ended with 137" in found.why


def test_a_process_that_ended_by_itself_in_mid_operation_is_lost_too() -> None:
    ended = replace(WELL, process=Process.EXITED, role="")
    found = findings(facts(ended, holder="", operation=Operation("Reconfigure", f"{FIRST}: set the parameters")), NOW)
    assert only(found).blocked == ""


def test_a_process_that_ended_on_a_full_volume_is_not_replaced() -> None:
    full = replace(WELL, process=Process.BACKOFF, role="", volume_full=True)
    assert "volume is full" in only(findings(facts(full, holder=""), NOW)).blocked


def test_a_stopped_process_is_asked_why_first() -> None:
    stopped = replace(WELL, process=Process.STOPPED, role="")
    assert findings(facts(stopped, holder=""), NOW) == []
    assert only(findings(facts(replace(stopped, stop_requested=False), holder=""), NOW)).blocked == ""
    assert "on request" in only(findings(facts(replace(stopped, stop_requested=True), holder=""), NOW)).blocked


def test_a_failover_that_got_no_further_than_the_fence_is_begun_again() -> None:
    stopped = replace(WELL, process=Process.STOPPED, role="", stop_requested=True)
    fenced = frozenset({FIRST})
    assert only(findings(facts(stopped, holder="", fenced=fenced), NOW)).blocked == ""
    assert only(findings(facts(WELL, holder="", fenced=fenced), NOW)).kind is Kind.UNFINISHED
    failing_over = Operation("Failover", "promote")
    assert findings(facts(WELL, holder="", fenced=fenced, operation=failing_over), NOW) == []


@pytest.mark.parametrize("kind", ["Upgrade", "Restart", "Scale"])
def test_an_operation_deals_with_the_stops_of_the_node_that_its_step_names(kind: str) -> None:
    operation = Operation(kind, f"{FIRST}: roll")
    stopped = replace(WELL, process=Process.STOPPED, role="", stop_requested=False)
    starting = replace(WELL, process=Process.STARTING, role="", process_since=NOW - BUSY_AFTER)
    successor = PodFacts(ran=False, process=Process.BACKOFF)
    for pods in ((stopped,), (starting,), (), (replace(stopped, terminating=True),), (successor,)):
        assert findings(facts(*pods, holder="", operation=operation), NOW) == []
        other = replace(operation, step=f"{THIRD}: roll")
        assert findings(facts(*pods, holder="", operation=other), NOW) != [], pods
        assert findings(facts(*pods, holder="", operation=replace(operation, type="Failover")), NOW) != []


def test_a_pod_that_is_gone_evicted_or_stopped_is_lost_at_once() -> None:
    stopped = replace(WELL, process=Process.STOPPED, role="", terminating=True)
    for pods in ((), (replace(WELL, ended=True),), (stopped,), (stopped, PodFacts(ran=False))):
        assert only(findings(facts(*pods, holder=""), NOW)).kind is Kind.GONE


def test_a_pod_on_its_way_out_is_not_lost_while_its_process_runs() -> None:
    assert findings(facts(replace(WELL, terminating=True)), NOW) == []
    saving = replace(WELL, terminating=True, process=Process.STOPPING, role="")
    assert findings(facts(saving, PodFacts(ran=False), holder=""), NOW) == []


def test_a_successor_that_runs_with_the_role_ends_the_suspicion() -> None:
    assert findings(facts(replace(WELL, ended=True), WELL), NOW) == []


def test_who_held_the_role_before_its_present_holder_is_not_missed() -> None:
    assert findings(facts(holder=SECOND), NOW) == []


def test_a_container_that_ended_is_a_lost_process() -> None:
    ended = replace(WELL, process=Process.UNKNOWN, role="", container_ended=True)
    assert only(findings(facts(ended), NOW)).kind is Kind.DEAD


def unanswering(seconds: float, usage: Usage | None = None, message: str = "getRole timed out") -> PodFacts:
    return replace(WELL, role="", message=message, unanswered_since=NOW - seconds, usage=usage)


def test_a_process_that_answers_nothing_and_uses_no_processor_hangs() -> None:
    idle = Usage(NOW, idle=True, kernel_state="T")
    assert findings(facts(unanswering(HUNG_AFTER - 0.1, idle)), NOW) == []
    assert findings(facts(unanswering(HUNG_AFTER)), NOW) == [], "not before it was asked"
    found = only(findings(facts(unanswering(HUNG_AFTER, idle)), NOW))
    assert (found.kind, found.blocked) == (Kind.HUNG, "")
    assert "state T" in found.why


@pytest.mark.parametrize("idle", [False, None])
def test_a_process_that_is_at_work_has_thirty_seconds(idle: bool | None) -> None:
    usage = Usage(NOW, idle)
    assert "30 s" in only(findings(facts(unanswering(HUNG_AFTER, usage)), NOW)).blocked
    assert only(findings(facts(unanswering(BUSY_AFTER, usage)), NOW)).blocked == ""


def test_usage_seen_before_it_fell_silent_proves_nothing() -> None:
    assert findings(facts(unanswering(5.0, Usage(NOW - 6.0, idle=True))), NOW) == []


def test_a_node_that_loads_its_data_does_not_hang() -> None:
    assert findings(facts(replace(WELL, ready=False, message="LOADING Redis is loading the dataset")), NOW) == []


@pytest.mark.parametrize(
    "waiting",
    [
        replace(REPLICA, process=Process.BACKOFF, role="", ready=False, heard_at=NOW - 9),
        replace(REPLICA, process=Process.STARTING, role="", ready=False, heard_at=NOW - 9, process_since=NOW - 3),
    ],
)
def test_a_node_that_those_who_have_to_start_do_not_find_either_is_isolated(waiting: PodFacts) -> None:
    """Nobody runs: the lost one cannot be reached, its replicas wait for a primary."""
    assert only(findings(facts(ISOLATED, others=(waiting, waiting), holder=""), NOW)).blocked == ""
    just_begun = replace(waiting, process=Process.STARTING, process_since=NOW - 1)
    cut_off_too = replace(waiting, failing_since=NOW - 1)
    silent = replace(waiting, heard_at=NOW - 16)
    for other in (just_begun, cut_off_too, silent, replace(waiting, terminating=True)):
        assert "nobody could take over" in only(findings(facts(ISOLATED, others=(other,)), NOW)).blocked
    assert "only the platform" in only(findings(facts(ISOLATED, others=(REPLICA, waiting)), NOW)).blocked


def test_a_node_that_most_others_have_lost_too_is_isolated() -> None:
    found = only(findings(facts(ISOLATED, others=(LAGGING, LAGGING)), NOW))
    assert (found.kind, found.blocked) == (Kind.ISOLATED, "")
    assert findings(facts(replace(ISOLATED, failing_since=NOW - 2.9), others=(LAGGING, LAGGING)), NOW) == []


@pytest.mark.parametrize("others", [(REPLICA, REPLICA), (REPLICA, LAGGING), (REPLICA,)])
def test_a_node_that_its_replicas_follow_is_not_isolated(others: tuple[PodFacts, ...]) -> None:
    assert "only the platform cannot see it" in only(findings(facts(ISOLATED, others=others), NOW)).blocked


def test_where_nobody_can_be_reached_nobody_could_take_over() -> None:
    old, failing = replace(LAGGING, heard_at=NOW - 4), replace(LAGGING, failing_since=NOW)
    dead = replace(LAGGING, process=Process.EXITED, role="")
    for others in ((), (old, failing), (replace(LAGGING, ended=True), dead)):
        assert "nobody could take over" in only(findings(facts(ISOLATED, others=others), NOW)).blocked


def test_a_node_that_was_replaced_and_is_back_is_told() -> None:
    fenced = {"holder": SECOND, "last": SECOND, "fenced": frozenset({FIRST})}
    others = (replace(WELL),)
    stopped = replace(WELL, process=Process.STOPPED, role="")
    held = replace(stopped, process=Process.HELD)
    for pod in (WELL, stopped, held, replace(WELL, role="replica")):
        found = only(findings(facts(pod, others=others, **fenced), NOW))
        assert (found.kind, found.node) == (Kind.BACK, FIRST)
        assert found.why == f"{FIRST} is back after it was replaced by {SECOND}"
        assert findings(facts(pod, others=others, **fenced, operation=Operation("Failover", "follow")), NOW) == []
    lingering = replace(stopped, process=Process.LINGERING)
    for pod in (
        lingering,
        ISOLATED,
        replace(WELL, heard_at=NOW - 16),
        replace(WELL, terminating=True),
        PodFacts(ran=False),
    ):
        assert findings(facts(pod, others=others, **fenced), NOW) == []


def test_two_holders_are_told_after_two_seconds() -> None:
    two = facts(WELL, claimants={SECOND: NOW - 2.0})
    found = only(findings(two, NOW))
    assert (found.kind, found.node) == (Kind.TWO_HOLDERS, SECOND)
    assert findings(replace(two, claimants={SECOND: NOW - 1.9}), NOW) == []
    assert findings(replace(two, operation=Operation("Switchover", f"{FIRST}: move its role to {SECOND}")), NOW) == []


def test_a_role_that_nobody_takes_is_told_after_a_while() -> None:
    back = replace(WELL, role="replica")
    vacant = facts(back, holder="", vacant_since=NOW - VACANT_AFTER)
    assert only(findings(vacant, NOW)).kind is Kind.VACANT
    assert findings(replace(vacant, vacant_since=NOW - 14.9), NOW) == []
    assert findings(replace(vacant, operation=Operation("Upgrade", "begin")), NOW) == []


def test_policy_turns_a_suspicion_into_a_note() -> None:
    ended = replace(WELL, process=Process.EXITED, role="")
    assert "spec.paused" in only(findings(facts(ended, paused=True), NOW)).blocked
    assert "mw failover" in only(findings(facts(ended, automatic=False), NOW)).blocked


def test_a_watcher_that_has_just_begun_suspects_nobody() -> None:
    assert findings(facts(begun=False, holder=""), NOW) == []


usages = st.none() | st.builds(Usage, at=st.sampled_from([NOW - 5, NOW]), idle=st.sampled_from([None, True, False]))
times = st.none() | st.floats(NOW - 60, NOW)
any_pod = st.builds(
    PodFacts,
    ran=st.booleans(),
    ended=st.booleans(),
    container_ended=st.booleans(),
    terminating=st.booleans(),
    process=st.none() | st.sampled_from(Process),
    role=st.sampled_from(["", "master", "replica"]),
    ready=st.booleans(),
    volume_full=st.booleans(),
    process_since=st.floats(NOW - 60, NOW),
    heard_at=times,
    unanswered_since=times,
    failing_since=times,
    usage=usages,
    stop_requested=st.sampled_from([None, True, False]),
)
operations = st.none() | st.builds(
    Operation, st.sampled_from(["Upgrade", "Switchover", "Failover"]), st.sampled_from(["", FIRST, f"{SECOND}: roll"])
)
any_facts = st.builds(
    Facts,
    role=st.just("master"),
    holder=st.sampled_from(["", FIRST, SECOND]),
    last=st.sampled_from(["", FIRST, SECOND]),
    nodes=st.fixed_dictionaries({name: st.lists(any_pod, max_size=2).map(tuple) for name in (FIRST, SECOND, THIRD)}),
    fenced=st.frozensets(st.sampled_from([FIRST, SECOND, THIRD])),
    claimants=st.dictionaries(st.sampled_from([SECOND, THIRD]), st.floats(NOW - 5, NOW)),
    operation=operations,
    paused=st.booleans(),
    automatic=st.booleans(),
    vacant_since=times,
    begun=st.booleans(),
)


@settings(max_examples=300)
@given(any_facts)
def test_a_holder_that_is_well_is_never_suspected_whatever_else_is_the_case(known: Facts) -> None:
    known = replace(known, holder=FIRST, last=FIRST, nodes={**known.nodes, FIRST: (WELL,)})
    assert not [f for f in findings(known, NOW) if f.node == FIRST and f.kind in LOST]


@settings(max_examples=300)
@given(any_facts)
def test_only_the_last_holder_is_lost_and_only_where_policy_allows(known: Facts) -> None:
    found = findings(known, NOW)
    assert len({(f.node, f.kind) for f in found}) == len(found)
    assert all(f.node == known.last for f in found if f.kind in LOST)
    if known.paused or not known.automatic:
        assert all(f.blocked for f in found)
    if known.holder and known.holder != known.last:
        assert not [f for f in found if f.kind in LOST]


reports = st.builds(
    agent_pb2.RoleReport,
    role=st.sampled_from(["", "master", "replica"]),
    ready=st.booleans(),
    process=st.sampled_from([agent_pb2.RUNNING, agent_pb2.EXITED, agent_pb2.STARTING, agent_pb2.STOPPED]),
    sequence=st.integers(0, 5),
    incarnation=st.sampled_from(["one", "two"]),
)
failures = st.floats(0, 30)


@settings(max_examples=300)
@given(st.lists(reports | failures, max_size=12), reports)
def test_a_late_report_changes_nothing_of_what_is_known(history: list[Any], late: agent_pb2.RoleReport) -> None:
    seen = Observation()
    for at, each in enumerate(history):
        now = float(at)
        seen = unreached(seen, each) if isinstance(each, float) else heard(seen, each, {"master"}, now, at)
    newest = seen.order
    if newest is None:
        return
    if late.incarnation == newest.incarnation and late.sequence < newest.sequence:
        assert heard(seen, late, {"master"}, 100.0, 100) is seen
    if late.incarnation in newest.ended:
        assert heard(seen, late, {"master"}, 100.0, 100) is seen


def test_when_a_node_was_last_well_is_that_of_its_last_report_as_a_running_holder() -> None:
    def said(sequence: int, role: str, process: int = agent_pb2.RUNNING) -> agent_pb2.RoleReport:
        return agent_pb2.RoleReport(role=role, sequence=sequence, incarnation="one", process=process)  # type: ignore[arg-type]

    seen = heard(Observation(), said(1, "master"), {"master"}, 1.0, 1001)
    seen = heard(seen, said(2, "", agent_pb2.EXITED), {"master"}, 2.0, 1002)
    assert seen.well == 1001
    assert heard(seen, said(1, "master"), {"master"}, 3.0, 1003).well == 1001, "a late one"
    assert heard(seen, said(3, "replica"), {"master"}, 3.0, 1003).well == 1001


def test_a_call_that_failed_before_the_agent_was_heard_says_nothing() -> None:
    report = agent_pb2.RoleReport(role="master", sequence=1, incarnation="one", process=agent_pb2.RUNNING)
    seen = heard(Observation(), report, {"master"}, 10.0, 1)
    assert unreached(seen, 9.0).failing_since is None
    failing = unreached(unreached(seen, 11.0), 12.0)
    assert failing.failing_since == 11.0
    assert reached(failing).failing_since is None
    assert heard(failing, report, {"master"}, 13.0, 1).failing_since is None


def test_a_state_that_only_a_newer_agent_knows_is_an_unknown_one() -> None:
    assert process_of(agent_pb2.RoleReport(process=99)) is Process.UNKNOWN  # type: ignore[arg-type]
