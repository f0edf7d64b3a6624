"""A role on its way is noted before anybody is asked to take it, until both nodes have said who has it: meanwhile
nobody begins as primary by a word that the other may have been given too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.cluster.moving import end_left, moves_of, note_move
from activities.roles.failover import Failover
from activities.roles.promote import Promote
from activities.roles.role_moves import Nodes, how_it_ended_is_known
from activities.roles.switchover import Switchover
from api.app import RoleMove
from api.failover import Chosen, Fenced, FenceRequest, PromoteRequest
from api.operations import OperationType
from api.steps import ErrorType, Move
from clients.agents import AgentError, AgentTarget
from proto import agent_pb2
from tests.unit.activities.support.cluster import World
from tests.unit.activities.support.failing import NODES, SEEN, fenced, marked, planned, takeover, world
from tests.unit.render.support import store

__all__ = ["world"]
OLD, NEXT, THIRD = NODES
MOVERS = ["Switchover", "Upgrade", "Resize", "Restart", "Scale", "Reconfigure"]
LONG_AGO = "2026-01-01T00:00:00Z"


def noted(world: World) -> list[tuple[str, str]]:
    found = world.object("App", "books")["status"].get("moving") or []
    return [(each["source"], each["candidate"]) for each in found]


def note(world: World, source: str = OLD, candidate: str = NEXT, since: str = LONG_AGO) -> None:
    live = world.object("App", "books")
    move = {"component": "store", "source": source, "candidate": candidate, "since": since}
    world.cluster.put({**live, "status": {**live["status"], "moving": [move]}})


@pytest.fixture
def primary(world: World) -> World:
    """The first node is primary and well."""
    world.agents.say(OLD, "primary", 10)
    world.agents.tools |= {"prepareFailover": {}, "fence": {"position": "10"}, "unfence": {}}
    return world


async def move(world: World, operation: str = "Switchover", *, attempt: int = 1) -> None:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    request = Move(world.target(operation), "store", OLD, NEXT)
    await environment.run(Switchover(world.platform).switchover, request)


def watch(world: World, monkeypatch: pytest.MonkeyPatch, *, fails: bool = False) -> dict[str, list[tuple[str, str]]]:
    """What was noted as each of the two was asked: a fence, a promotion."""
    seen: dict[str, list[tuple[str, str]]] = {}
    failover, run = world.agents.failover, world.agents.run

    async def asked(target: AgentTarget, request_id: str, arguments: Mapping[str, str], **more: Any) -> Any:
        seen["failover"] = noted(world)
        if fails:
            raise AgentError(target, "Failover", grpc.StatusCode.DEADLINE_EXCEEDED, "too slow")
        world.agents.say(OLD, "replica", 10)
        return await failover(target, request_id, arguments, **more)

    async def tool(target: AgentTarget, name: str, **more: Any) -> Any:
        seen.setdefault(str(name), noted(world))
        return await run(target, name, **more)

    monkeypatch.setattr(world.agents, "failover", asked)
    monkeypatch.setattr(world.agents, "run", tool)
    return seen


@pytest.mark.parametrize("operation", MOVERS)
async def test_whichever_operation_moves_a_role_that_is_noted_before_the_fence_and_until_all_is_verified(
    primary: World, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    seen = watch(primary, monkeypatch)
    await move(primary, operation)
    assert seen["fence"] == seen["failover"] == [(OLD, NEXT)]
    assert noted(primary) == []


async def test_a_move_that_fails_after_the_other_was_asked_stays_noted_whatever_becomes_of_its_operation(
    primary: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(primary, monkeypatch, fails=True)
    with pytest.raises(ApplicationError, match="has not taken over"):
        await move(primary, "Upgrade")
    assert noted(primary) == [(OLD, NEXT)]
    await primary.carry_out(OperationType.REPAIR)
    assert noted(primary) == [(OLD, NEXT)], "it may still be taking over: it was asked just now"


async def test_one_that_failed_before_anybody_was_asked_leaves_nothing(primary: World) -> None:
    primary.agents.answers[OLD, "fence"] = "it hangs"
    with pytest.raises(ApplicationError, match="it hangs"):
        await move(primary)
    assert noted(primary) == []


@pytest.mark.parametrize(
    ("failure", "before", "lifted"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, False, True),
        (grpc.StatusCode.UNIMPLEMENTED, False, True),
        (grpc.StatusCode.FAILED_PRECONDITION, True, False),
        (grpc.StatusCode.DEADLINE_EXCEEDED, False, False),
        (agent_pb2.ASKED_NOTHING, False, True),
        (agent_pb2.ASKED_NOTHING, True, False),
        (agent_pb2.ASKED_SOMEBODY, False, False),
        (agent_pb2.ASKED_UNSPECIFIED, False, False),
    ],
)
async def test_clients_write_again_at_once_where_it_is_certain_that_the_other_was_not_asked(
    primary: World,
    monkeypatch: pytest.MonkeyPatch,
    failure: grpc.StatusCode | agent_pb2.Asked.ValueType,
    before: bool,
    lifted: bool,
) -> None:
    """Its engine had ended behind the fence, and nobody could write until the fence lifted itself. What a tool has
    asked for may come though the tool failed, and what an earlier attempt asked for too: then the fence stays."""
    if before:
        note(primary)

    async def refuses(target: AgentTarget, *_: Any, **__: Any) -> agent_pb2.ToolResult:
        if isinstance(failure, grpc.StatusCode):
            raise AgentError(target, "Failover", failure, "the process does not run")
        return agent_pb2.ToolResult(success=False, message="in TILT", asked=failure)

    monkeypatch.setattr(primary.agents, "failover", refuses)
    with pytest.raises(ApplicationError, match=f"{NEXT} has not taken over"):
        await move(primary)
    assert primary.agents.called("unfence") == ([OLD] if lifted else [])
    assert noted(primary) == ([] if lifted else [(OLD, NEXT)])


async def test_what_was_asked_for_and_came_late_is_the_move(primary: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool had given up; the source would have stayed fenced, and its clients without anybody."""

    async def late(target: AgentTarget, *_: Any, **__: Any) -> agent_pb2.ToolResult:
        primary.agents.say(OLD, "replica", 10)
        primary.roles(store_1="primary")
        return agent_pb2.ToolResult(success=False, message="waited in vain", asked=agent_pb2.ASKED_SOMEBODY)

    monkeypatch.setattr(primary.agents, "failover", late)
    await move(primary)
    assert OLD in primary.agents.called("follow")
    assert noted(primary) == []


async def test_nor_does_its_repeat_forget_that_the_other_was_asked_before(primary: World) -> None:
    note(primary)
    primary.agents.answers[OLD, "fence"] = "it hangs"
    with pytest.raises(ApplicationError, match="it hangs"):
        await move(primary)
    assert noted(primary) == [(OLD, NEXT)]


async def test_where_the_old_primary_does_not_follow_yet_the_move_has_not_ended(primary: World) -> None:
    primary.roles(store_1="primary")
    note(primary)
    primary.agents.answers[OLD, "follow"] = "no answer"
    with pytest.raises(ApplicationError, match="does not follow"):
        await move(primary, attempt=2)
    assert noted(primary) == [(OLD, NEXT)]


async def test_given_up_it_is_said_that_nothing_was_moved_only_where_the_other_says_so(primary: World) -> None:
    note(primary)
    del primary.agents.reports[NEXT]
    with pytest.raises(ApplicationError, match=f"in 6 attempts; {NEXT} does not answer$"):
        await move(primary, attempt=7)
    assert noted(primary) == [(OLD, NEXT)]
    primary.agents.say(NEXT, "replica", 10)
    with pytest.raises(ApplicationError, match="in 6 attempts; nothing was moved"):
        await move(primary, attempt=7)
    assert noted(primary) == []


async def test_a_failover_notes_it_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await fenced(world, seen=SEEN)
    seen = watch(world, monkeypatch)
    request = PromoteRequest(takeover(world, seen=SEEN), Fenced("stopped"), Chosen(NEXT, "10", "most"))
    world.agents.stopped[OLD] = agent_pb2.ProcessStatus(state=agent_pb2.STOPPED)
    await world.do(Promote(world.platform).promote, request)
    assert seen["failover"] == [(OLD, NEXT)]
    assert (noted(world), marked(world)) == ([], [OLD])


# What a Failover does where a move was left


def waits(world: World, node: str) -> None:
    record = agent_pb2.VolumeRecord(present=True, app_uid="uid-1", role="primary", position="50")
    world.agents.reports.pop(node, None)
    world.agents.waiting[node] = agent_pb2.ProcessStatus(state=agent_pb2.WAITING, volume=record)


@pytest.mark.parametrize("others", ["in sync", "behind"])
async def test_while_the_one_that_was_to_take_over_is_silent_nobody_is_given_the_role(
    world: World, others: str
) -> None:
    """The old one had its word, the other had been promoted and was cut off: two primaries."""
    note(world)
    waits(world, OLD)
    world.agents.reports.pop(NEXT)
    if others == "behind":
        world.agents.say(THIRD, "replica", 10, ready=False)
        world.agents.reports[THIRD].last_ready = SEEN - 600_000
    with pytest.raises(ApplicationError, match=f"{NEXT} does not answer, may be primary.*--force --to {OLD}") as no:
        await planned(world, seen=SEEN)
    assert no.value.type == ErrorType.NO_CANDIDATE
    assert not {"permit", "lead", "stop"} & {call for _, call, _ in world.agents.calls}
    assert (await planned(world, force=True, candidate=OLD)).primary == OLD, "a person may decide"
    assert noted(world) == []


async def test_where_both_are_gone_for_good_it_is_said_who_else_can_be_made_primary(world: World) -> None:
    note(world)
    world.agents.reports.pop(NEXT)
    world.lose("Pod", *[pod for pod in world.names("Pod") if pod.startswith(OLD)])
    with pytest.raises(ApplicationError, match=f"--force --to {THIRD} makes it primary all the same$") as no:
        await planned(world, seen=SEEN)
    assert f"--to {OLD}" not in no.value.message


async def test_when_it_says_that_it_has_not_taken_over_the_old_one_has_its_word(world: World) -> None:
    note(world)
    waits(world, OLD)
    for node in (NEXT, THIRD):
        world.agents.say(node, "replica", 10, ready=False)
        world.agents.reports[node].last_ready = SEEN - 600_000
    assert f"{OLD} is back and primary again" in (await planned(world, seen=SEEN)).message
    assert world.agents.called("permit") == [OLD]


async def test_of_two_that_wait_the_one_that_had_taken_over_has_the_word(world: World) -> None:
    """It has what it acknowledged since; the replica beside them has not."""
    note(world)
    waits(world, OLD)
    waits(world, NEXT)
    assert f"{NEXT} had taken over from {OLD}" in (await planned(world, seen=SEEN)).message
    assert world.agents.called("permit") == [NEXT]


async def test_nor_is_it_passed_over_while_it_starts(world: World) -> None:
    note(world)
    waits(world, OLD)
    waits(world, NEXT)
    world.agents.waiting[NEXT].state = agent_pb2.STARTING
    with pytest.raises(ApplicationError, match=f"{NEXT} had taken over from {OLD}, and does not run yet"):
        await planned(world, seen=SEEN)
    assert world.agents.called("permit") == world.agents.called("stop") == []


async def test_but_not_while_the_old_one_may_run(world: World) -> None:
    note(world)
    waits(world, NEXT)
    world.agents.unreachable.add(OLD)
    with pytest.raises(ApplicationError, match=f"{OLD} does not say that it has stopped"):
        await planned(world, seen=SEEN)
    assert world.agents.called("permit") == []


async def test_the_new_one_has_no_word_either_while_the_old_one_is_silent(world: World) -> None:
    note(world)
    waits(world, NEXT)
    world.agents.unreachable.add(OLD)
    with pytest.raises(ApplicationError, match=f"{OLD} does not answer, may be primary"):
        await planned(world, NEXT, seen=SEEN)


# How a move ended that an operation has left


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ({OLD: "primary", NEXT: "replica"}, True),
        ({NEXT: "replica"}, True),
        ({OLD: "replica", NEXT: "primary"}, True),
        ({OLD: "primary", NEXT: "primary"}, False),
        ({NEXT: "primary"}, False),
        ({OLD: "primary"}, False),
        ({OLD: "primary", NEXT: ""}, False),
    ],
)
def test_how_a_move_ended_is_known_from_the_nodes_themselves(said: dict[str, str], known: bool) -> None:
    reports = {name: agent_pb2.RoleReport(role=role) for name, role in said.items()}
    nodes = Nodes({}, reports, frozenset({"primary"}))
    left = RoleMove(component="store", source=OLD, candidate=NEXT, since=LONG_AGO)
    assert how_it_ended_is_known(left, NODES, nodes) == known
    assert how_it_ended_is_known(left, [OLD, THIRD], nodes), "a node that was removed has no role"


async def test_a_move_that_was_left_is_ended_by_a_look_when_both_are_heard(primary: World) -> None:
    """The operator had aborted; nothing else would have looked again."""
    note(primary)
    del primary.agents.reports[NEXT]
    await primary.load()
    assert noted(primary) == [(OLD, NEXT)]
    primary.agents.say(NEXT, "replica", 10)
    await primary.load()
    assert noted(primary) == []


async def test_also_while_a_spec_stands_that_is_refused(primary: World) -> None:
    """No operation begins then, and a note that stayed would keep the App from its next failover."""
    note(primary)
    primary.edit(components=[{**store(replicas=3)[0], "config": {"no-such": 1}}])
    assert (await primary.load()).refusal
    assert noted(primary) == []


async def test_a_candidate_is_not_asked_when_the_fence_may_have_lifted_itself(
    primary: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server hung as the move was recorded: the source would acknowledge what the other never sees."""
    seen = watch(primary, monkeypatch)

    async def hangs(*_: object) -> None:
        await asyncio.sleep(45)

    monkeypatch.setattr(Switchover, "note_final", hangs)
    with pytest.raises(ApplicationError, match=f"{NEXT} could not be asked while {OLD} was surely fenced"):
        await move(primary)
    assert ("failover" in seen, "unfence" in seen) == (False, True)
    assert noted(primary) == []


async def test_where_the_status_was_lost_a_silent_node_may_be_primary_until_it_is_heard(primary: World) -> None:
    """Who was fenced, and to whom a role was on its way, was lost with it."""
    note(primary)
    del primary.agents.reports[NEXT]
    primary.lose_status("App")
    await primary.load()
    assert noted(primary) == [("", NEXT)]
    waits(primary, OLD)
    with pytest.raises(ApplicationError, match=f"status was lost, and with it whether {NEXT} was given the role"):
        await planned(primary, seen=SEEN)
    primary.agents.say(NEXT, "replica", 10)
    assert (await planned(primary, seen=SEEN)).source == OLD


async def test_steps_that_write_the_rest_of_the_status_leave_it(world: World) -> None:
    await note_move(world.platform, world.target("Upgrade"), "store", OLD, NEXT)
    await fenced(world, seen=SEEN)
    assert noted(world) == [(OLD, NEXT)]


# A note that is not to outlive its reason, nor to end before it


def just_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("candidate", ["books-store-g-9", NEXT])
async def test_a_forced_failover_to_a_node_that_cannot_take_over_decides_nothing(world: World, candidate: str) -> None:
    """A name mistyped, or that of the silent node itself: the old one would have had its word beside it."""
    note(world)
    waits(world, OLD)
    world.agents.reports.pop(NEXT)
    with pytest.raises(ApplicationError, match=candidate) as no:
        await planned(world, force=True, candidate=candidate)
    assert no.value.type == ErrorType.NO_CANDIDATE
    assert noted(world) == [(OLD, NEXT)]


@pytest.mark.parametrize("other", ["silent", "primary", "waits"])
async def test_given_up_after_force_that_named_nobody_the_old_one_is_not_started_beside_the_other(
    world: World, other: str
) -> None:
    """Whose writes count nobody had said: that some replica was to take over was all."""
    note(world)
    waits(world, OLD)
    world.agents.reports.pop(NEXT)
    found = await planned(world, force=True)
    assert noted(world) == [(OLD, NEXT)]
    await world.do(Failover(world.platform).fence, FenceRequest(found))
    if other == "primary":
        world.agents.say(NEXT, "primary", 50)
    elif other == "waits":
        waits(world, NEXT)
    world.agents.tools["detach"] = "it hangs"
    said = f"{OLD} does not serve again: its role was on its way from {OLD} to {NEXT}, and {NEXT}"
    request = PromoteRequest(found, Fenced("stopped"))
    with pytest.raises(ApplicationError, match=said) as no:
        await world.do(Failover(world.platform).choose, request)
    assert (no.value.type, no.value.non_retryable) == (ErrorType.NO_CANDIDATE, True)
    assert not {OLD} & {*world.agents.called("permit"), *world.agents.called("lead"), *world.agents.called("start")}
    assert (noted(world), marked(world)) == ([(OLD, NEXT)], [OLD])
    world.agents.waiting.pop(NEXT, None)
    world.agents.say(NEXT, "replica", 10)
    with pytest.raises(ApplicationError, match="nobody can take over"):
        await world.do(Failover(world.platform).choose, request)
    assert world.agents.called("lead") == [OLD]
    assert marked(world) == []


async def test_who_takes_over_by_force_settles_what_was_noted_before(world: World) -> None:
    note(world)
    world.agents.reports.pop(NEXT)
    found = await planned(world, force=True, candidate=THIRD)
    assert noted(world) == [(OLD, NEXT)], "nothing has become of it yet"
    world.agents.stopped[OLD] = agent_pb2.ProcessStatus(state=agent_pb2.STOPPED)
    await world.do(Failover(world.platform).fence, FenceRequest(found))
    await world.do(
        Promote(world.platform).promote, PromoteRequest(found, Fenced("stopped"), Chosen(THIRD, "10", "most"))
    )
    assert noted(world) == []


async def test_the_old_one_has_no_word_while_the_other_was_asked_just_now(world: World) -> None:
    """It says that it is a replica still, and becomes primary as soon as its tool ends, whoever called that."""
    note(world, since=just_now())
    waits(world, OLD)
    for node in (NEXT, THIRD):
        world.agents.say(node, "replica", 10, ready=False)
        world.agents.reports[node].last_ready = SEEN - 600_000
    with pytest.raises(ApplicationError, match=f"{NEXT} was asked to take over a moment ago"):
        await planned(world, seen=SEEN)
    assert world.agents.called("permit") == []


async def test_given_up_the_move_stays_noted_while_the_other_may_still_take_over(primary: World) -> None:
    note(primary, since=just_now())
    with pytest.raises(ApplicationError, match=r"in 6 attempts$"):
        await move(primary, attempt=7)
    assert noted(primary) == [(OLD, NEXT)]


async def test_an_old_primary_that_was_proved_to_have_stopped_keeps_nobody_waiting(world: World) -> None:
    """The failover was aborted after its candidate had become primary; then that one was lost too."""
    note(world)
    live = world.object("App", "books")
    mark = {"node": OLD, "component": "store", "since": LONG_AGO, "successor": NEXT}
    world.cluster.put({**live, "status": {**live["status"], "fenced": [mark]}})
    world.agents.reports.pop(NEXT)
    assert (await planned(world, NEXT, seen=SEEN)).source == NEXT


def follow(world: World, node: str, primary: str) -> None:
    address = world.object("Service", primary)["spec"]["clusterIP"]
    world.agents.say(node, "replica", 10, follows=address)


@pytest.mark.parametrize(("holder", "silent"), [(0, NEXT), (1, OLD)])
async def test_a_machine_that_is_gone_for_good_does_not_keep_the_others_from_taking_over_for_ever(
    world: World, holder: int, silent: str
) -> None:
    """The role was moved off it, or to it, as it died."""
    note(world)
    world.roles(**{f"store_{holder}": "primary"})
    del world.agents.reports[silent]
    await world.load()
    assert noted(world) == [(OLD, NEXT)], "nobody says whom the third follows"
    follow(world, THIRD, NODES[holder])
    await world.load()
    assert noted(world) == []


@pytest.mark.parametrize("lacks", ["label", "lease", "replica"])
async def test_but_only_where_the_platform_and_most_replicas_hold_to_the_one_that_answers(
    world: World, lacks: str
) -> None:
    note(world)
    world.roles(**({} if lacks == "label" else {"store_0": "primary"}))
    world.agents.say(OLD, "primary", 10, fenced=lacks == "lease")
    del world.agents.reports[NEXT]
    follow(world, THIRD, OLD)
    if lacks == "replica":
        world.agents.reports[THIRD].ready = False
    await world.load()
    assert noted(world) == [(OLD, NEXT)]


async def test_a_note_that_was_made_anew_meanwhile_is_not_ended_by_who_knew_the_former(world: World) -> None:
    note(world)
    former = moves_of(world.object("App", "books"), "store")
    await note_move(world.platform, world.target("Failover"), "store", OLD, NEXT)
    await end_left(world.platform, world.target("Repair"), former)
    assert noted(world) == [(OLD, NEXT)]
