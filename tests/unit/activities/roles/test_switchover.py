"""Once the candidate is asked to take over, nothing interrupts the step: half a promotion is two writable nodes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.roles.role_moves import Nodes, component_of, said, to_its_end
from activities.roles.switchover import Switchover
from api.operations import OperationType
from api.steps import ErrorType, Move, MoveRequest
from proto import agent_pb2
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import shelf, store, wanted, with_tools


class Work:
    """``done`` when it has come to its end."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.begun, self.go, self.done, self.failure = asyncio.Event(), asyncio.Event(), False, failure

    async def run(self) -> None:
        self.begun.set()
        await self.go.wait()
        await asyncio.sleep(0)
        self.done = True
        if self.failure is not None:
            raise self.failure


@pytest.mark.parametrize("cancellations", [1, 2, 3])
async def test_a_cancellation_is_honoured_when_the_work_has_ended(cancellations: int) -> None:
    """Also a second one: an operation may be interrupted while its worker is told to stop."""
    work = Work()
    step = asyncio.create_task(to_its_end(work.run()))
    await work.begun.wait()
    for _ in range(cancellations):
        step.cancel()
        await asyncio.sleep(0.01)
        assert not step.done()
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert work.done


async def test_without_a_cancellation_the_end_of_the_work_is_the_end() -> None:
    work = Work()
    work.go.set()
    await to_its_end(work.run())
    assert work.done


async def test_a_failure_of_the_work_is_told() -> None:
    work = Work(RuntimeError("the candidate has not taken over"))
    work.go.set()
    with pytest.raises(RuntimeError, match="has not taken over"):
        await to_its_end(work.run())


async def test_cancelled_it_says_so_also_where_the_work_failed() -> None:
    work = Work(RuntimeError("the candidate has not taken over"))
    step = asyncio.create_task(to_its_end(work.run()))
    await work.begun.wait()
    step.cancel()
    await asyncio.sleep(0.01)
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await step


def test_who_is_writable_is_what_the_nodes_themselves_say() -> None:
    reports = {
        "b": agent_pb2.RoleReport(role="primary"),
        "a": agent_pb2.RoleReport(role="primary"),
        "c": agent_pb2.RoleReport(role="replica"),
        "d": agent_pb2.RoleReport(),
    }
    nodes = Nodes({}, reports, frozenset({"primary"}))
    assert nodes.holders() == ["a", "b"]
    assert said(nodes.holders()) == "a, b are writable"
    assert said(["a"]) == "a is writable"
    assert said([]) == "no node is writable"


def test_unless_named_it_is_about_the_component_that_has_a_writable_role() -> None:
    desired = wanted()
    assert component_of(desired, "").name == "store"
    assert component_of(desired, "watch").name == "watch"


def test_a_component_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(Exception, match=r"no component shop; it has store, watch"):
        component_of(wanted(), "shop")


# Who gives the role to whom

FENCED = shelf(tools_yaml=with_tools("fence: {steps: [{set: {x: y}}]}\n"))
NODES = [f"books-store-g-{n}" for n in range(3)]


@pytest.fixture
async def world(virtual_time: None) -> World:
    """Node 0 is the primary; the others are replicas that are equally far."""
    found = await World(FENCED, runtimeVersion="1", components=store(replicas=3)).deployed()
    found.roles(store_0="primary")
    return found


async def planned(world: World, node: str = "", candidate: str = "", operation: str = "Switchover") -> Move:
    request = MoveRequest(world.target(operation), "store", node, candidate)
    move: Move = await world.do(Switchover(world.platform).plan_move, request)
    return move


async def test_the_ready_node_with_the_most_data_takes_over(world: World) -> None:
    world.agents.say(NODES[1], "replica", 10)
    world.agents.say(NODES[2], "replica", 30)
    move = await planned(world)
    assert (move.source, move.candidate) == (NODES[0], NODES[2])
    world.agents.say(NODES[2], "replica", 30, ready=False, message="LOADING")
    assert (await planned(world)).candidate == NODES[1]


async def test_of_equals_the_first_by_name_so_that_a_repeat_chooses_the_same(world: World) -> None:
    assert (await planned(world)).candidate == NODES[1]


async def test_who_does_not_answer_is_no_candidate(world: World) -> None:
    world.agents.say(NODES[2], "replica", 5)
    del world.agents.reports[NODES[1]]
    assert (await planned(world)).candidate == NODES[2]


async def test_a_chosen_one_takes_over_though_it_has_less(world: World) -> None:
    world.agents.say(NODES[1], "replica", 10)
    assert (await planned(world, candidate=NODES[2])).candidate == NODES[2]


async def test_a_chosen_one_that_is_not_ready_is_not_replaced_by_another(world: World) -> None:
    world.agents.say(NODES[2], "replica", ready=False, message="SYNC")
    with pytest.raises(ApplicationError, match=r"no node of store is ready to take over.*books-store-g-2: SYNC") as no:
        await planned(world, candidate=NODES[2])
    assert (no.value.type, no.value.non_retryable) == (ErrorType.NO_CANDIDATE, True)


async def test_one_that_has_not_saved_what_it_copied_is_given_no_role_that_its_holder_could_keep(world: World) -> None:
    world.agents.say(NODES[1], "replica", 30, unsaved="it writes its file")
    assert (await planned(world)).candidate == NODES[2]
    with pytest.raises(ApplicationError, match="books-store-g-1: it writes its file") as no:
        await planned(world, candidate=NODES[1])
    assert not no.value.non_retryable, "it will have saved some time"


async def test_one_that_is_no_node_is_refused_with_those_that_are(world: World) -> None:
    with pytest.raises(ApplicationError, match=r"books-store-g-9 is no node that .*g-1, books-store-g-2"):
        await planned(world, candidate="books-store-g-9")


async def test_of_nodes_that_leave_none_is_given_the_role_on_the_way(world: World) -> None:
    """It would be moved again with each of them."""
    world.edit(components=store(replicas=4))
    await world.carry_out(OperationType.DEPLOY)
    world.roles(store_3="primary")
    world.agents.say(NODES[2], "replica", 30)
    world.edit(components=store(replicas=2))
    leaves = "books-store-g-3"
    move = await planned(world, leaves, operation="Scale")
    assert (move.source, move.candidate) == (leaves, NODES[0])
    for node in NODES[:2]:
        world.agents.say(node, "replica", ready=False, message="SYNC")
    with pytest.raises(ApplicationError, match=r"g-1: SYNC; books-store-g-2: it is to be removed too") as no:
        await planned(world, leaves, operation="Scale")
    assert no.value.type == ErrorType.NO_CANDIDATE
    assert (await planned(world, leaves)).candidate == NODES[2], "a person may want it"


async def test_nobody_ready_says_why(world: World) -> None:
    for node in NODES[1:]:
        world.agents.say(node, "replica", ready=False, message="LOADING")
    with pytest.raises(ApplicationError, match="books-store-g-1: LOADING; books-store-g-2: LOADING"):
        await planned(world)


async def test_nothing_moves_from_a_node_that_is_not_writable(world: World) -> None:
    assert await planned(world, NODES[1], operation="Upgrade") == Move(
        world.target(OperationType.UPGRADE), "store", message=""
    )


async def test_nor_to_the_one_that_is(world: World) -> None:
    move = await planned(world, candidate=NODES[0])
    assert (move.source, move.message) == ("", f"{NODES[0]} is writable already")


async def test_with_two_writable_nodes_nothing_is_decided(world: World) -> None:
    world.agents.say(NODES[1], "primary")
    with pytest.raises(ApplicationError, match="books-store-g-0, books-store-g-1 are writable; waiting") as error:
        await planned(world)
    assert not error.value.non_retryable


async def test_a_node_that_is_silent_while_nobody_is_writable_may_be_the_one(world: World) -> None:
    del world.agents.reports[NODES[0]]
    with pytest.raises(ApplicationError, match="does not say whether it is writable; it is not touched until then"):
        await planned(world, NODES[0], operation="Upgrade")


@pytest.mark.parametrize("operation", ["Upgrade", "Scale"])
async def test_a_busy_primary_that_names_no_role_is_neither_rolled_nor_removed(world: World, operation: str) -> None:
    """A long script: it answers nobody for a while. Taken for a replica it was removed with its volume."""
    world.agents.say(NODES[0], "", ready=False, message="no answer", process=agent_pb2.RUNNING)
    with pytest.raises(ApplicationError, match="does not say whether it is writable; it is not touched until then"):
        await planned(world, NODES[0], operation=operation)


async def test_a_node_whose_engine_does_not_run_is_rolled_though_nobody_is_writable(world: World) -> None:
    world.agents.say(NODES[0], "", ready=False, message="it keeps ending", process=agent_pb2.CRASH_LOOP)
    assert (await planned(world, NODES[0], operation="Upgrade")).source == ""


async def test_where_the_topology_cannot_move_a_role_a_roll_goes_on_without() -> None:
    plain = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    plain.roles(store_0="primary")
    move = await planned(plain, NODES[0], operation="Upgrade")
    assert (move.source, move.message) == ("", "store has no other node that could take over")


# Who is told of the new primary


async def moved(world: World, *, attempt: int = 2) -> None:
    """A repeat of the step, after the role went to node 1."""
    world.agents.tools["follow"] = {}
    world.roles(store_1="primary")
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    move = Move(world.target(OperationType.SWITCHOVER), "store", NODES[0], NODES[1])
    await environment.run(Switchover(world.platform).switchover, move)


@pytest.mark.parametrize("silent", [False, True])
async def test_one_that_cannot_follow_keeps_no_other_from_hearing_of_the_new_primary(
    world: World, silent: bool
) -> None:
    """The old primary crash-looped, and a healthy replica went on following nobody."""
    if silent:
        find = world.roles

        def without_it(**roles: str) -> None:
            find(**roles)
            del world.agents.reports[NODES[0]]

        world.roles = without_it  # type: ignore[method-assign]
    world.agents.answers[NODES[0], "follow"] = "insufficient parameter settings"
    with pytest.raises(ApplicationError) as failed:
        await moved(world, attempt=20)
    assert NODES[2] in world.agents.called("follow")
    why = "it does not answer" if silent else "insufficient parameter settings"
    assert failed.value.message == (
        f"{NODES[1]} has taken over from {NODES[0]}, but {NODES[0]} does not follow {NODES[1]} yet ({NODES[0]}: {why})"
    )
    assert not failed.value.non_retryable, "until it follows it may take itself for writable"


async def test_an_operator_decides_about_a_replica_that_never_follows(world: World) -> None:
    world.agents.answers[NODES[2], "follow"] = "no disk"
    for attempt, for_good in ((2, False), (13, True)):
        with pytest.raises(ApplicationError, match=rf"{NODES[2]}: no disk") as failed:
            await moved(world, attempt=attempt)
        assert failed.value.non_retryable == for_good


async def test_all_that_do_not_follow_are_named(world: World) -> None:
    for node in (NODES[0], NODES[2]):
        world.agents.answers[node, "follow"] = "no disk"
    with pytest.raises(ApplicationError, match=f"{NODES[0]}, {NODES[2]} do not follow {NODES[1]} yet"):
        await moved(world)
