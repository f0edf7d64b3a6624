"""Whatever the agents say, and in whatever order it arrives: one holder, the newest one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.roles.arbitration import STALE_CLAIM_SECONDS, Arbiter, LabelChange, Report, accept, label_changes

MASTER = frozenset({"master"})
PODS = ("pod-a", "pod-b", "pod-c")


def said(role: str, epoch: int = 0, sequence: int = 0, incarnation: str = "one", running: bool = True) -> Report:
    return Report(role, epoch, sequence, incarnation, running)


def test_the_claim_with_the_highest_epoch_gets_the_role() -> None:
    arbiter = Arbiter()
    arbiter.report("pod-a", said("master", 5))
    assert arbiter.decide(MASTER, 0).roles == {"pod-a": "master"}
    arbiter.report("pod-b", said("master", 6))
    decision = arbiter.decide(MASTER, 0)
    assert decision.roles == {"pod-b": "master"}
    assert "pod-b has it with 6" in decision.refused["pod-a"]


def test_equal_epochs_leave_the_role_where_it_is() -> None:
    arbiter = Arbiter()
    arbiter.report("pod-b", said("master", 5))
    arbiter.decide(MASTER, 0)
    arbiter.report("pod-a", said("master", 5))
    assert arbiter.decide(MASTER, 0).roles == {"pod-b": "master"}


def test_a_late_report_of_the_same_life_changes_nothing() -> None:
    arbiter = Arbiter()
    arbiter.report("pod-a", said("replica", sequence=7))
    assert not arbiter.report("pod-a", said("master", 9, sequence=6))
    assert arbiter.decide(MASTER, 0).roles == {"pod-a": "replica"}


def test_a_report_of_an_ended_life_changes_nothing() -> None:
    arbiter = Arbiter()
    arbiter.report("pod-a", said("master", 5, sequence=90, incarnation="first"))
    arbiter.report("pod-a", said("replica", sequence=0, incarnation="second"))
    assert not arbiter.report("pod-a", said("master", 99, sequence=91, incarnation="first"))
    assert arbiter.decide(MASTER, 0).roles == {"pod-a": "replica"}


def test_a_sign_of_life_is_no_change() -> None:
    arbiter = Arbiter()
    assert arbiter.report("pod-a", said("master", 5, sequence=3))
    assert not arbiter.report("pod-a", said("master", 5, sequence=3))


def test_an_engine_that_is_slow_to_answer_keeps_its_role_and_one_that_ended_loses_it() -> None:
    arbiter = Arbiter()
    arbiter.report("pod-a", said("master", 5, sequence=1))
    arbiter.report("pod-a", said("", sequence=2, running=True))
    assert arbiter.decide(MASTER, 0).roles == {"pod-a": "master"}
    arbiter.report("pod-a", said("", sequence=3, running=False))
    assert arbiter.decide(MASTER, 0).roles == {}


def test_a_pod_that_is_gone_loses_its_role_at_once() -> None:
    arbiter = Arbiter()
    arbiter.report("pod-a", said("master", 5))
    arbiter.decide(MASTER, 0)
    arbiter.gone("pod-a", 1.0)
    assert arbiter.decide(MASTER, 1.0).roles == {}


def test_an_older_claim_does_not_follow_a_lost_holder_until_some_time_has_passed() -> None:
    arbiter = Arbiter()
    arbiter.report("pod-a", said("master", 5))
    arbiter.report("pod-b", said("master", 6))
    arbiter.decide(MASTER, 0)
    arbiter.gone("pod-b", 1.0)
    decision = arbiter.decide(MASTER, 1.0)
    assert decision.roles == {}
    assert "the lost holder had 6" in decision.refused["pod-a"]
    assert decision.recheck == 1.0 + STALE_CLAIM_SECONDS
    assert arbiter.decide(MASTER, 1.0 + STALE_CLAIM_SECONDS).roles == {"pod-a": "master"}


def test_a_newer_claim_follows_a_lost_holder_at_once() -> None:
    arbiter = Arbiter()
    arbiter.report("pod-a", said("master", 5))
    arbiter.decide(MASTER, 0)
    arbiter.gone("pod-a", 1.0)
    arbiter.report("pod-b", said("master", 6))
    assert arbiter.decide(MASTER, 1.0).roles == {"pod-b": "master"}


def test_a_holder_that_steps_down_itself_makes_way_for_an_older_claim() -> None:
    """It had booted as a master of its own, with a young claim, until its peers corrected it."""
    arbiter = Arbiter()
    arbiter.report("pod-a", said("master", 5))
    arbiter.report("pod-b", said("master", 6, sequence=1))
    arbiter.decide(MASTER, 0)
    arbiter.report("pod-b", said("replica", sequence=2))
    arbiter.gone("pod-b", 1.0)
    assert arbiter.decide(MASTER, 1.0).roles == {"pod-a": "master"}


def test_what_an_earlier_watcher_decided_stands_until_the_agent_speaks() -> None:
    arbiter = Arbiter()
    arbiter.seed("pod-b", "master", 6)
    arbiter.report("pod-a", said("master", 5))
    assert arbiter.decide(MASTER, 0).roles == {"pod-b": "master"}
    arbiter.report("pod-b", said("replica"))
    assert arbiter.decide(MASTER, 0).roles == {"pod-a": "master", "pod-b": "replica"}


def test_roles_that_several_may_hold_are_taken_as_reported() -> None:
    arbiter = Arbiter()
    for pod in PODS:
        arbiter.report(pod, said("broker", 3))
    assert arbiter.decide(frozenset(), 0).roles == dict.fromkeys(PODS, "broker")


reports = st.builds(
    Report,
    role=st.sampled_from(["", "master", "replica"]),
    epoch=st.integers(0, 5),
    sequence=st.integers(0, 5),
    incarnation=st.sampled_from(["one", "two", "three"]),
    running=st.booleans(),
)
events = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.sampled_from(PODS), reports),
        st.tuples(st.just("gone"), st.sampled_from(PODS), st.none()),
        st.tuples(st.just("later"), st.sampled_from(PODS), st.none()),
    ),
    max_size=30,
)


def test_a_barred_pod_gets_no_exclusive_role_whatever_its_epoch() -> None:
    arbiter = Arbiter()
    arbiter.report("pod-a", said("master", 9))
    arbiter.report("pod-b", said("master", 5))
    decision = arbiter.decide(MASTER, 0, {"pod-a": "it was replaced"})
    assert decision.roles == {"pod-b": "master"}
    assert decision.refused == {"pod-a": "claims master with epoch 9; it was replaced"}
    arbiter.report("pod-a", said("replica", sequence=1))
    assert arbiter.decide(MASTER, 0, {"pod-a": "it was replaced"}).roles == {"pod-a": "replica", "pod-b": "master"}


@settings(deadline=None)  # a busy machine is no failure
@given(events, st.lists(st.sets(st.sampled_from(PODS)), min_size=30, max_size=30))
def test_a_barred_pod_never_holds_and_another_holds_alone(
    history: list[tuple[str, str, Report | None]], barred: list[set[str]]
) -> None:
    arbiter, now = Arbiter(), 0.0
    for (kind, pod, report), out in zip(history, barred, strict=False):
        now += 4.0 if kind == "later" else 0.1
        if report is not None:
            arbiter.report(pod, report)
        elif kind == "gone":
            arbiter.gone(pod, now)
        decision = arbiter.decide(MASTER, now, dict.fromkeys(out, "it was replaced"))
        holders = [pod for pod, role in decision.roles.items() if role == "master"]
        assert len(holders) <= 1
        assert not out & set(holders)


@settings(deadline=None)  # a busy machine is no failure
@given(events)
def test_there_are_never_two_holders_and_no_claim_above_the_holders(
    history: list[tuple[str, str, Report | None]],
) -> None:
    arbiter, now = Arbiter(), 0.0
    for kind, pod, report in history:
        now += 4.0 if kind == "later" else 0.1
        if report is not None:
            arbiter.report(pod, report)
        elif kind == "gone":
            arbiter.gone(pod, now)
        decision = arbiter.decide(MASTER, now)
        holders = [pod for pod, role in decision.roles.items() if role == "master"]
        assert len(holders) <= 1
        if holders:
            claims = [arbiter.epoch(pod) for pod in decision.refused]
            assert all(arbiter.epoch(holders[0]) >= epoch for epoch in claims)
        else:
            assert not decision.refused or decision.recheck is not None


@settings(deadline=None)  # a busy machine is no failure
@given(st.permutations([(pod, epoch) for epoch, pod in enumerate(PODS, start=1)]), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(order: list[tuple[str, int]], chance: random.Random) -> None:
    """Each Pod's last word is a claim with an epoch of its own; older words arrive in between, or after it."""
    arrivals = [(pod, said("master", epoch, sequence=9)) for pod, epoch in order]
    arrivals += [
        (pod, said(chance.choice(["", "replica", "master"]), 99, sequence=chance.randrange(9))) for pod in PODS
    ]
    chance.shuffle(arrivals)
    arbiter = Arbiter()
    for pod, report in arrivals:
        arbiter.report(pod, report)
        arbiter.decide(MASTER, 0)
    assert arbiter.decide(MASTER, 0).roles == {"pod-c": "master"}


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(reports, max_size=20))
def test_a_life_never_goes_back(history: list[Report]) -> None:
    claim, lives = None, []
    for report in history:
        after = accept(claim, report)
        if after is None:
            continue
        if claim is not None and after.incarnation == claim.incarnation:
            assert after.sequence >= claim.sequence
        else:
            assert after.incarnation not in lives
            lives.append(after.incarnation)
        claim = after


labels = st.dictionaries(st.sampled_from(PODS), st.sampled_from([None, "master", "leader", "replica"]))


@settings(deadline=None)  # a busy machine is no failure
@given(labels, st.data())
def test_no_moment_between_two_patches_has_two_holders(present: dict[str, str | None], data: st.DataObject) -> None:
    """Also where patches fail: what is not ``first`` is only sent after all that is."""
    exclusive = frozenset({"master", "leader"})
    pods = sorted(present)
    wanted: dict[str, str] = {}
    for role in sorted(exclusive):
        free = [pod for pod in pods if pod not in wanted]
        if data.draw(st.booleans()) and free:
            wanted[free[data.draw(st.integers(0, len(free) - 1))]] = role
    wanted |= {pod: "replica" for pod in pods if pod not in wanted and data.draw(st.booleans())}
    state = dict(present)
    before = {role: sum(label == role for label in state.values()) for role in exclusive}
    failed = False
    for change in label_changes(present, wanted, exclusive):
        if failed and not change.first:
            break
        if data.draw(st.booleans()):
            failed = True
            continue
        state[change.pod] = change.role
        for role in exclusive:
            holders = sum(label == role for label in state.values())
            assert holders <= max(1, before[role])
    if not failed:
        assert state == {pod: wanted.get(pod) for pod in pods}


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        (
            {"pod-a": "master", "pod-b": "replica"},
            {"pod-a": "replica", "pod-b": "master"},
            [LabelChange("pod-a", "replica", first=True), LabelChange("pod-b", "master", first=False)],
        ),
        ({"pod-a": "master", "pod-b": None}, {"pod-a": "master"}, []),
        ({"pod-a": "master"}, {}, [LabelChange("pod-a", None, first=True)]),
    ],
)
def test_changes(present: dict[str, str | None], wanted: dict[str, str], expected: list[LabelChange]) -> None:
    assert label_changes(present, wanted, MASTER) == expected
