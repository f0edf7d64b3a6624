"""Replacing a lost primary: who is lost, who may take over, and what is put back where nobody can."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from activities.roles.candidates import IN_SYNC_WITHIN, able_to_take_over, furthest_of, why_not
from activities.roles.failover import Failover
from activities.roles.promote import Promote
from api.failover import Chosen, FailoverRequest, Fenced, FenceRequest, PromoteRequest
from api.names import ANNOTATION_ADDRESS, LABEL_ROLE
from api.operations import Suspicion
from api.steps import ErrorType
from clients.agents import AgentError, AgentTarget
from language.positions import Position
from proto import agent_pb2
from tests.unit.activities.support.cluster import NAMESPACE, World
from tests.unit.activities.support.failing import NODES, SEEN, fenced, marked, planned, takeover, world
from tests.unit.render.support import store
from workflows.entity.planner import Memory, plan

__all__ = ["world"]


async def test_a_primary_that_is_lost_is_to_be_replaced(world: World) -> None:
    move = await planned(world, seen=SEEN)
    assert (move.source, move.primary, move.seen) == (NODES[0], "", SEEN)
    assert any(event.startswith("FailoverStarted") for event in world.events())


async def test_pods_that_have_lost_their_labels_do_not_keep_the_data_from_their_successors(world: World) -> None:
    """With the primary's and a replica's, Failover followed Failover: each waited for a Pod that waited for the other,
    and no Repair came between."""
    spec = world.object("Deployment", NODES[0])["spec"]["template"]["spec"]
    metadata = {"name": "lost", "namespace": NAMESPACE, "labels": {}}
    lost = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Running"}}
    world.cluster.put(lost)
    address = world.pod(NODES[0])["status"]["podIP"]
    assert (await planned(world, seen=SEEN, address=address)).source == NODES[0]
    assert "lost" in world.names("Pod"), "the Pod that was lost is there with its labels, so none is looked for"
    assert (await planned(world, seen=SEEN, address="198.18.1.251")).source == NODES[0]
    assert "lost" not in world.names("Pod")


async def test_one_that_is_well_is_left_alone_unless_forced(world: World) -> None:
    world.agents.say(NODES[0], "primary", 10)
    move = await planned(world)
    assert move.source == ""
    assert "start a Switchover" in move.message
    assert (await planned(world, force=True)).source == NODES[0]


async def test_one_that_was_replaced_is_only_taken_in_again(world: World) -> None:
    world.agents.say(NODES[1], "primary", 20)
    assert (await planned(world)).primary == NODES[1]


async def test_of_two_that_claim_the_role_the_earlier_one_gives_way(world: World) -> None:
    world.agents.say(NODES[0], "primary")
    world.agents.say(NODES[1], "primary")
    world.agents.reports[NODES[0]].epoch, world.agents.reports[NODES[1]].epoch = 5, 9
    move = await planned(world)
    assert (move.source, move.primary) == (NODES[0], NODES[1])
    move = await planned(world, node=NODES[1])
    assert (move.source, move.primary) == (NODES[0], NODES[1])


async def test_whom_the_label_names_holds_the_role_though_it_does_not_answer(world: World) -> None:
    del world.agents.reports[NODES[1]]
    world.pod(NODES[1])["metadata"]["labels"][LABEL_ROLE] = "primary"
    assert (await planned(world)).primary == NODES[1]


async def test_nobody_takes_over_who_may_lack_acknowledged_writes(world: World) -> None:
    for node in NODES[1:]:
        world.agents.say(node, "replica", 10, ready=False, message="SYNC")
        world.agents.reports[node].last_ready = SEEN - IN_SYNC_WITHIN - 60_000
    with pytest.raises(
        ApplicationError, match=r"nobody can take over.*g-1: it was last in sync 65 s before"
    ) as refused:
        await planned(world, seen=SEEN)
    assert refused.value.type == ErrorType.NO_CANDIDATE
    assert not world.agents.called("stop"), "nothing was touched"
    assert (await planned(world, seen=SEEN, force=True)).source == NODES[0]
    world.edit(failover={"dataLoss": "Allow"})
    assert (await planned(world, seen=SEEN)).source == NODES[0]


async def test_lost_with_the_watcher_who_was_in_sync_until_then_takes_over(world: World) -> None:
    """Nobody knows when it was last well, only when the watcher before still led."""
    for node in NODES[1:]:
        world.agents.say(node, "replica", 10, ready=False, message="nothing heard")
        world.agents.reports[node].last_ready = SEEN
    with pytest.raises(ApplicationError, match="nobody knows when the primary was lost"):
        await planned(world)
    assert (await planned(world, in_sync_since=SEEN)).source == NODES[0]


async def test_an_engine_that_elects_by_itself_is_not_interfered_with() -> None:
    elects = await World(runtimeVersion="1", components=store(replicas=3)).deployed()
    with pytest.raises(ApplicationError, match="the engine itself replaces a lost primary"):
        await planned(elects)


@pytest.mark.parametrize("asked", [False, True])
async def test_who_asks_by_hand_for_what_cannot_be_is_told_in_an_event(world: World, asked: bool) -> None:
    """The App's status does not say it: nothing of the App waits for that."""
    for node in NODES[1:]:
        world.agents.say(node, "replica", 10, ready=False, message="nothing heard")
    status = dict(world.object("App", "books")["status"])
    with pytest.raises(ApplicationError):
        await planned(world, asked=asked)
    assert any(event.startswith("FailoverRefused: ") for event in world.events()) == asked
    assert world.object("App", "books")["status"] == status


async def test_a_newer_spec_that_cannot_be_carried_out_holds_nothing_up(world: World) -> None:
    target = world.target("Failover")
    world.edit(components=[{**store(replicas=3)[0], "config": {"threads": 999}}])
    request = FailoverRequest(target, "store", NODES[0], seen=SEEN)
    assert (await world.do(Failover(world.platform).plan_failover, request)).source == NODES[0]


async def test_a_refused_spec_leaves_a_lost_primary_to_be_replaced(world: World) -> None:
    world.edit(components=[{**store(replicas=3)[0], "config": {"threads": 999}}])
    snapshot = await world.load()
    assert snapshot.refusal
    assert plan(snapshot, Memory(suspicion=Suspicion("store", NODES[0], "lost"))).operation == "Failover"


# Choosing, promoting, taking in again


async def chosen(world: World, **more: Any) -> Chosen:
    request = PromoteRequest(takeover(world, **more), Fenced("stopped"))
    found: Chosen = await world.do(Failover(world.platform).choose, request)
    return found


async def test_the_replica_that_came_furthest_takes_over(world: World) -> None:
    world.agents.answers[NODES[1], "detach"] = {"position": "10"}
    world.agents.answers[NODES[2], "detach"] = {"position": "30"}
    assert (await chosen(world)).candidate == NODES[2]
    assert (await chosen(world, candidate=NODES[1], force=True)).candidate == NODES[1]
    with pytest.raises(ApplicationError, match="20 behind"):
        await chosen(world, candidate=NODES[1])


def detached_at(world: World, first: str, second: str) -> None:
    world.agents.answers[NODES[1], "detach"] = {"position": first}
    world.agents.answers[NODES[2], "detach"] = {"position": second}


async def test_a_later_timeline_goes_before_a_higher_offset(world: World) -> None:
    detached_at(world, "4 512", "3 90000")
    assert (await chosen(world)).candidate == NODES[1]
    with pytest.raises(ApplicationError, match=f"{NODES[2]} is at 3 90000, behind 4 512 \\({NODES[1]}\\)") as refused:
        await chosen(world, candidate=NODES[2])
    assert refused.value.type == ErrorType.NO_CANDIDATE


async def test_who_has_all_transactions_of_the_others_takes_over(world: World) -> None:
    detached_at(world, "p:1-90", "p:1-100")
    assert (await chosen(world)).candidate == NODES[2]


@pytest.mark.parametrize(("loss", "force"), [("Refuse", False), ("Allow", False), ("Allow", True)])
async def test_of_two_that_have_diverged_none_takes_over_by_itself(world: World, loss: str, force: bool) -> None:
    """Each has transactions that the other has not: whichever took over, some would be lost without a word."""
    world.edit(failover={"dataLoss": loss})
    detached_at(world, "p:1-100", "p:1-99,errant:1")
    with pytest.raises(ApplicationError) as refused:
        await chosen(world, force=force)
    stands = f"{NODES[1]} (at p:1-100) and {NODES[2]} (at errant:1,p:1-99) have diverged"
    advice = "mw failover books --to NODE --force takes one, and what only the other has is lost"
    assert refused.value.message == f"{stands}: each has data that the other has not; {advice}"
    assert (refused.value.type, refused.value.non_retryable) == (ErrorType.DIVERGED, True)


async def test_of_two_that_have_diverged_a_person_may_name_one(world: World) -> None:
    detached_at(world, "p:1-100", "p:1-99,errant:1")
    assert (await chosen(world, candidate=NODES[2], force=True)).candidate == NODES[2]


async def test_a_replica_that_gives_no_position_that_can_be_read_takes_no_part(world: World) -> None:
    detached_at(world, "0/16B3748", "30")
    found = await chosen(world)
    assert found.candidate == NODES[2]
    assert f"{NODES[1]}: tool detach, its result: position: '0/16B3748' is no position" in found.message


@pytest.mark.parametrize(("fenced_at", "begins", "lost"), [
    ("50", "30", "it had come to 50, and its successor begins at 30: what lies between was not replicated"),
    ("p:1-50", "p:1-49", "it had come to p:1-50, and its successor begins at p:1-49"),
    ("30", "30", ""),
    ("", "30", ""),
])  # fmt: skip
async def test_what_only_the_lost_primary_had_is_told(world: World, fenced_at: str, begins: str, lost: str) -> None:
    detached_at(world, begins, begins)
    request = PromoteRequest(takeover(world), Fenced("stopped", fenced_at))
    found: Chosen = await world.do(Failover(world.platform).choose, request)
    assert found.lost.startswith(lost)
    assert bool(found.lost) == bool(lost)


async def test_of_two_that_are_equally_far_one_takes_over_that_has_saved_it(world: World) -> None:
    world.agents.say(NODES[1], "replica", 30, unsaved="it writes its file")
    world.agents.say(NODES[2], "replica", 30)
    world.agents.answers = {(node, "detach"): {"position": "30"} for node in NODES[1:]}
    assert (await chosen(world)).candidate == NODES[2]


async def test_a_replica_that_missed_its_time_is_asked_once_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, run = [], world.agents.run

    async def slow_at_first(target: AgentTarget, tool: str, **more: Any) -> agent_pb2.ToolResult:
        if tool == "detach":
            asked.append(target.node)
            if len(asked) <= 2:
                raise AgentError(target, "Run detach", grpc.StatusCode.DEADLINE_EXCEEDED, "too slow")
        return await run(target, tool, **more)

    monkeypatch.setattr(world.agents, "run", slow_at_first)
    assert (await chosen(world)).candidate in NODES[1:]


async def test_one_that_never_had_the_data_is_passed_over(world: World) -> None:
    world.agents.answers[NODES[2], "detach"] = "this replica has not had the data of its primary yet"
    found = await chosen(world)
    assert found.candidate == NODES[1]
    assert "has not had the data" in found.message


async def test_where_nobody_may_the_old_one_serves_again(world: World) -> None:
    await world.do(Failover(world.platform).fence, FenceRequest(takeover(world, seen=SEEN)))
    world.agents.tools["detach"] = "this replica has not had the data of its primary yet"
    with pytest.raises(ApplicationError, match="0 of 1 replicas needed"):
        await chosen(world)
    assert world.agents.called("permit") == [NODES[0]]
    assert marked(world) == []
    assert sorted(world.agents.called("follow")) == NODES[1:]


async def test_the_old_one_begins_without_its_own_record_only_where_writes_may_be_lost(world: World) -> None:
    """It had taken over itself, and ended before it had saved what it had copied."""
    world.edit(failover={"dataLoss": "Allow"})
    await world.do(Failover(world.platform).fence, FenceRequest(takeover(world, seen=SEEN)))
    world.agents.tools["detach"] = "this replica has not had the data of its primary yet"
    with pytest.raises(ApplicationError, match="nobody can take over"):
        await chosen(world)
    assert (world.agents.called("lead"), world.agents.called("start")) == ([NODES[0]], [])


async def test_one_that_begins_to_give_up_never_promotes_anybody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source may be writable again before the step has ended."""
    await fenced(world, seen=SEEN)
    world.agents.tools["detach"] = "this replica has not had the data of its primary yet"
    start = world.agents.start

    async def unheard(target: AgentTarget, *_: Any, **__: Any) -> None:
        raise AgentError(target, "Start", grpc.StatusCode.DEADLINE_EXCEEDED, "too slow")

    monkeypatch.setattr(world.agents, "start", unheard)
    with pytest.raises(ApplicationError, match="does not start again yet") as refused:
        await chosen(world)
    assert not refused.value.non_retryable
    assert marked(world) == [NODES[0]], "until it was started"
    world.agents.tools["detach"] = {"position": "10"}
    pod = world.pod(NODES[0])
    world.cluster.remove(pod)
    with pytest.raises(ApplicationError, match="serves again when it does") as refused:
        await chosen(world)
    assert refused.value.non_retryable, "what keeps its Pod away may be for a Repair, which interrupts no Failover"
    assert marked(world) == [NODES[0]]
    world.cluster.put(pod)
    monkeypatch.setattr(world.agents, "start", start)
    with pytest.raises(ApplicationError, match="replicas needed") as refused:
        await chosen(world)
    assert refused.value.non_retryable
    assert (world.agents.called("permit"), marked(world)) == ([NODES[0]], [])


async def test_where_the_old_one_is_gone_too_the_next_failover_looks_anew(world: World) -> None:
    """A replica that is busy for a moment kept the App without a primary for five minutes."""
    await fenced(world, seen=SEEN)
    world.cluster.remove(world.pod(NODES[0]))
    world.agents.tools["detach"] = "it hangs"
    with pytest.raises(ApplicationError, match="serves again when it does") as refused:
        await chosen(world)
    assert (refused.value.non_retryable, refused.value.type) == (True, ErrorType.NO_CANDIDATE)
    assert marked(world) == [NODES[0]], "it is let in again, or replaced, by the next one"
    world.agents.tools["detach"] = {"position": "10"}
    assert (await chosen(world)).candidate in NODES[1:]


async def test_without_a_stop_no_permission_to_lose_data_replaces_the_quorum(world: World) -> None:
    world.edit(failover={"dataLoss": "Allow"})
    world.agents.tools["detach"] = "it hangs"
    request = PromoteRequest(takeover(world), Fenced("its lease has run out", by_lease=True))
    with pytest.raises(ApplicationError, match="0 of 1 replicas needed"):
        await world.do(Failover(world.platform).choose, request)


async def test_promoted_once_it_is_followed_by_the_others(world: World) -> None:
    world.pod(NODES[1])["metadata"]["labels"][LABEL_ROLE] = "primary"
    request = PromoteRequest(takeover(world), Fenced("stopped"), Chosen(NODES[1], "10"))
    await world.do(Promote(world.platform).promote, request)
    assert world.agents.called("failover") == [NODES[1]]
    assert world.agents.called("follow") == [NODES[2]]


@pytest.mark.parametrize("node", NODES)
async def test_a_service_that_somebody_has_deleted_is_put_back_and_holds_nothing_up(world: World, node: str) -> None:
    """No Repair interrupts a Failover, so it waited for that Service without end."""
    world.pod(NODES[1])["metadata"]["labels"][LABEL_ROLE] = "primary"
    service = world.object("Service", node)
    address = service["spec"]["clusterIP"]
    world.object("Deployment", node)["metadata"].setdefault("annotations", {})[ANNOTATION_ADDRESS] = address
    world.cluster.remove(service)
    request = PromoteRequest(takeover(world), Fenced("stopped"), Chosen(NODES[1], "10"))
    await world.do(Promote(world.platform).promote, request)
    assert world.agents.called("failover") == [NODES[1]]
    assert world.object("Service", node)["spec"]["clusterIP"] == address


async def test_a_chosen_one_that_ends_before_it_takes_over_gives_the_role_back(world: World) -> None:
    """It waits for a primary before it starts, and the old one was stopped: nobody would ever start."""
    await fenced(world, seen=SEEN)
    del world.agents.reports[NODES[1]]
    request = PromoteRequest(takeover(world), Fenced("stopped"), Chosen(NODES[1], "10"))
    with pytest.raises(ApplicationError, match=f"{NODES[0]} serves again"):
        await world.do(Promote(world.platform).promote, request)
    assert world.agents.called("permit") == [NODES[0]]
    assert marked(world) == []


async def test_one_that_may_have_been_writable_is_waited_for_but_not_without_end(world: World) -> None:
    """Its Deployment was deleted after it had been asked: no Repair, which would make it anew, interrupts a
    Failover."""
    await fenced(world, seen=SEEN)
    request = PromoteRequest(takeover(world), Fenced("stopped"), Chosen(NODES[1], "10"))
    world.agents.say(NODES[2], "primary")
    world.pod(NODES[1])["metadata"]["labels"][LABEL_ROLE] = "primary"
    with pytest.raises(ApplicationError, match="are writable"):
        await world.do(Promote(world.platform).promote, request)
    pod = world.pod(NODES[1])
    world.cluster.remove(pod)
    began = asyncio.get_running_loop().time()
    with pytest.raises(ApplicationError, match="was chosen and does not run") as refused:
        await world.do(Promote(world.platform).promote, request)
    assert (refused.value.type, refused.value.non_retryable) == (ErrorType.NO_CANDIDATE, True)
    assert asyncio.get_running_loop().time() - began < 30
    assert world.agents.called("start") == [], "it has taken writes that the old one has not"
    assert marked(world) == [NODES[0]]
    again = asyncio.create_task(world.do(Promote(world.platform).promote, request))
    await asyncio.sleep(3)
    world.agents.say(NODES[2], "replica")
    world.cluster.put(pod)
    await again


async def test_a_second_writable_node_is_never_called_success(world: World) -> None:
    world.agents.say(NODES[2], "primary")
    world.pod(NODES[1])["metadata"]["labels"][LABEL_ROLE] = "primary"
    request = PromoteRequest(takeover(world), Fenced("stopped"), Chosen(NODES[1], "10"))
    with pytest.raises(ApplicationError, match="are writable"):
        await world.do(Promote(world.platform).promote, request)


# The pure parts, over everything that could be reported

NOW = 300_000_000
"""By our clock, when all were asked; unix milliseconds."""


def reported(role: str, ready: bool, in_sync: int, skew: int) -> tuple[int, agent_pb2.RoleReport]:
    """When it was really in sync, and how it says that by a clock that is wrong by ``skew``."""
    report = agent_pb2.RoleReport(role=role, ready=ready, last_ready=in_sync + skew, now=NOW + skew)
    return in_sync, report


reports = st.builds(
    reported,
    st.sampled_from(["", "replica"]),
    st.booleans(),
    st.integers(NOW - 200_000, NOW),
    st.integers(-86_400_000, 86_400_000),
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(NODES), reports), st.integers(NOW - 200_000, NOW))
def test_whoever_takes_over_was_in_sync_when_the_primary_was_last_well_whatever_its_clock_says(
    known: dict[str, tuple[int, agent_pb2.RoleReport]], since: int
) -> None:
    replicas = {name: report for name, (_, report) in known.items()}
    able = able_to_take_over(replicas, since, NOW, lossy=False)
    for name, (in_sync, report) in known.items():
        assert (name in able) == bool(report.role and (report.ready or in_sync >= since - IN_SYNC_WITHIN))
    for name in set(replicas) - set(able):
        assert why_not(replicas[name], since, NOW), "who is passed over is told why"
    assert set(able) <= set(able_to_take_over(replicas, since, NOW, lossy=True))


@given(st.dictionaries(st.sampled_from(NODES), st.integers(0, 5), min_size=1), st.sets(st.sampled_from(NODES)))
def test_nobody_has_more_than_the_one_that_takes_over(positions: dict[str, int], unsaved: set[str]) -> None:
    best = furthest_of({name: Position.parse(str(number)) for name, number in positions.items()}, unsaved)
    assert positions[best] == max(positions.values())
    equals = {name for name, position in positions.items() if position == positions[best]}
    assert best == min((equals - unsaved) or equals)
