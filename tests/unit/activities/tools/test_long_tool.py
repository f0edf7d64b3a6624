"""A node that takes hours to leave: what people see of it, and how the step ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.interceptors.heartbeats import Heartbeats
from activities.reconcile.prepare import Prepare
from activities.reconcile.remove_node import RemoveNode
from activities.reconcile.scale import Scale
from api.operations import OperationType
from api.steps import ComponentStep, ErrorType, NodeStep
from proto import agent_pb2 as pb
from tests.support.virtual_time import virtual_time
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import shelf, store, with_tools

STEPS = "steps: [{set: {a: b}}]"
LONG = f"""
%s:
  stalls: 60
  start: {{{STEPS}}}
  poll: {{{STEPS}, result: {{state: running, progress: 0}}}}
  cancel: {{{STEPS}}}
"""
NODE = "books-store-g-2"
IDLE = pb.LongToolStatus(state=pb.LONG_TOOL_IDLE)
DONE = pb.LongToolStatus(state=pb.LONG_TOOL_DONE)
UNKNOWN = pb.LongToolStatus(message="the controller does not answer")


def at(progress: float, message: str = "", **more: Any) -> pb.LongToolStatus:
    return pb.LongToolStatus(state=pb.LONG_TOOL_RUNNING, progress=progress, message=message, **more)


@pytest.fixture(autouse=True)
async def no_real_time() -> AsyncIterator[None]:
    with virtual_time(asyncio.get_running_loop()):
        yield


@pytest.fixture
async def world() -> World:
    """Its node 2 is about to be removed."""
    bundle = shelf(tools_yaml=with_tools(LONG % "leave"))
    world = await World(bundle, runtimeVersion="1", components=store(replicas=3)).deployed()
    world.edit(components=store(replicas=2))
    target = world.target(OperationType.SCALE)
    await world.do(Prepare(world.platform).prepare, target)
    await world.do(Prepare(world.platform).services, target)
    return world


class Leaving(ActivityInboundInterceptor):
    """The activity at the end of the interceptors."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        step = NodeStep(self._world.target(OperationType.SCALE), "store", "g", NODE)
        await RemoveNode(self._world.platform).leave_node(step)


def attempt(number: int = 1, details: Any = None) -> ActivityEnvironment:
    """Of the step, with what the heartbeats of the one before have left."""
    environment = ActivityEnvironment()
    left = [] if details is None else [details]
    environment.info = replace(environment.info, activity_type="leaveNode", attempt=number, heartbeat_details=left)
    return environment


async def leave(world: World, environment: ActivityEnvironment | None = None) -> None:
    intercepted = Heartbeats().intercept_activity(Leaving(world))

    async def work() -> None:
        await intercepted.execute_activity(cast(ExecuteActivityInput, None))

    await (environment or attempt()).run(work)


def asked(world: World) -> list[str]:
    return [call for node, call, _ in world.agents.calls if node == NODE and call.startswith("leave")]


async def test_it_is_begun_once_and_watched_until_it_is_done(world: World) -> None:
    world.agents.long = [at(0), at(40), at(90), DONE]
    await leave(world)
    assert asked(world) == ["leave begin", "leave poll", "leave poll", "leave poll"]


async def test_how_far_it_is_stands_in_the_status_and_in_the_heartbeat(world: World) -> None:
    beats: list[Any] = []
    environment = attempt()
    environment.on_heartbeat = lambda *details: beats.extend(details)
    seen: list[tuple[str, str]] = []
    write = world.cluster.apply

    async def noting(manifest: Any, **more: Any) -> Any:
        if manifest["kind"] == "App":
            status = manifest["status"]
            seen.append((status["progress"]["message"], status["operation"]["step"]))
        return await write(manifest, **more)

    world.cluster.apply = noting  # type: ignore[method-assign]
    world.agents.long = [at(0), *[at(40, "12 of 30 partitions moved", eta=1200)] * 10, DONE]
    await leave(world, environment)
    told = f"Scale: leave of {NODE}: 40 %, about 20 min left: 12 of 30 partitions moved"
    assert (told, f"{NODE}: leave 40 %") in seen
    assert {"begun": True, "progress": 40.0, "said": "40 %, about 20 min left: 12 of 30 partitions moved"}.items() <= (
        beats[-1][f"leave of {NODE}"].items()
    )


async def test_it_may_take_days_while_it_makes_progress(world: World) -> None:
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    slow = ((each + 1) / 100 for each in range(5000) for _ in range(4))
    world.agents.long = [at(0), *(at(each) for each in slow), DONE]
    await leave(world)
    assert loop.time() - began > 86_400


async def test_without_progress_an_operator_decides_and_the_run_is_left_as_it_is(world: World) -> None:
    world.agents.long = [at(10), at(40), at(39, "12 of 30 partitions moved")]
    with pytest.raises(ApplicationError) as stalled:
        await leave(world)
    message, _, remedy = stalled.value.message.partition("; ")
    assert message == f"{NODE}: leave has made no progress for 60 s at 40 %: 39 %: 12 of 30 partitions moved"
    assert f"{NODE} leave.cancel --force ends it" in remedy
    assert stalled.value.type == ErrorType.TOOL_STALLED
    assert stalled.value.non_retryable
    assert "leave cancel" not in asked(world)


async def test_an_agent_that_ends_in_the_middle_is_asked_again(world: World) -> None:
    world.agents.long = [at(10), *["nobody there"] * 5, UNKNOWN, at(50), DONE]
    await leave(world)
    assert asked(world).count("leave begin") == 1


async def test_an_agent_that_stays_away_is_no_progress(world: World) -> None:
    world.agents.long = [at(10), "nobody there"]
    with pytest.raises(ApplicationError, match=r"no progress for 60 s at 10 %: .*: UNAVAILABLE: nobody there"):
        await leave(world)


async def test_another_worker_goes_on_where_the_one_before_has_died(world: World) -> None:
    beats: list[Any] = []
    first = attempt()
    first.on_heartbeat = lambda *details: beats.extend(details)
    world.agents.long = [at(10), *[at(40)] * 5, at(41)]
    worker = asyncio.create_task(leave(world, first))
    await asyncio.sleep(40)
    first.worker_shutdown()
    with pytest.raises(ApplicationError, match="another goes on"):
        await worker
    assert "leave cancel" not in asked(world), "the run goes on"
    world.agents.calls.clear()
    world.agents.long = [at(41), at(70), DONE]
    await leave(world, attempt(12, beats[-1]))
    assert asked(world) == ["leave poll"] * 3, "it was begun"


async def test_seconds_without_progress_count_on_at_the_next_worker(world: World) -> None:
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    world.agents.long = [at(40)]
    left = {f"leave of {NODE}": {"begun": True, "progress": 40.0, "secondsWithout": 50.0, "said": ""}}
    with pytest.raises(ApplicationError, match="no progress for 60 s"):
        await leave(world, attempt(2, left))
    assert loop.time() - began < 20


async def test_an_operation_that_is_ended_cancels_the_run(world: World) -> None:
    environment = attempt()
    world.agents.long = [at(10), at(20)]
    leaving = asyncio.create_task(leave(world, environment))
    await asyncio.sleep(10)
    world.agents.long = [IDLE]
    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert asked(world)[-1] == "leave cancel"
    assert f"Cancelled: leave of {NODE} was cancelled in the engine" in world.events()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("nobody there", "nobody there"),
        (pb.LongToolStatus(refused=True, message="the controller is away"), "the controller is away"),
    ],
)
async def test_a_run_that_cannot_be_cancelled_is_told(world: World, said: pb.LongToolStatus | str, why: str) -> None:
    environment = attempt()
    world.agents.long = [at(10), at(20)]
    leaving = asyncio.create_task(leave(world, environment))
    await asyncio.sleep(10)
    world.agents.long = [said]
    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(asyncio.CancelledError):
        await leaving
    told = next(each for each in world.events() if each.startswith("NotCancelled: "))
    assert f"leave of {NODE} may still go on in the engine, as it could not be cancelled: " in told
    assert told.endswith(why)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            [pb.LongToolStatus(refused=True, message="no other broker for partition one-0")],
            "no other broker for partition one-0",
        ),
        (
            [at(10), pb.LongToolStatus(state=pb.LONG_TOOL_FAILED, message="the disk of node 1 is full")],
            "leave failed: the disk of node 1 is full",
        ),
        ([at(10), at(70), IDLE], "leave ended at 70 % without being done"),
    ],
)
async def test_a_node_that_may_not_leave_stays_and_its_own_sentence_is_told(
    world: World, answers: list[pb.LongToolStatus | str], message: str
) -> None:
    world.agents.long = answers
    with pytest.raises(ApplicationError) as refused:
        await leave(world)
    assert (refused.value.message, refused.value.type) == (f"{NODE}: {message}", ErrorType.TOOL_REFUSED)
    assert refused.value.non_retryable
    assert NODE in world.names("Deployment")


async def test_a_join_of_hours_is_watched_on_each_node() -> None:
    bundle = shelf(tools_yaml=with_tools(LONG % "join"))
    world = await World(bundle, runtimeVersion="1", components=store(replicas=2)).deployed()
    world.agents.long = [at(0), DONE, at(0), at(50), DONE]
    await world.do(Scale(world.platform).join_nodes, ComponentStep(world.target(OperationType.SCALE), "store"))
    assert [(node[-1], call) for node, call, _ in world.agents.calls if call.startswith("join")] == [
        ("0", "join begin"), ("0", "join poll"), ("1", "join begin"), ("1", "join poll"), ("1", "join poll"),
    ]  # fmt: skip
