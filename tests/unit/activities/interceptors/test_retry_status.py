"""What a step is tried again for is said in the App's status, and that it is over too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.interceptors.retry_status import TOLD_AT, RetryStatus
from activities.progress.operation_state import Control
from activities.reconcile.finish import Record
from api.failover import Fenced, FenceRequest, PromoteRequest, ReadmitRequest, Takeover
from api.operations import OperationType
from api.reconfigure import ConfigureStep
from api.steps import NodeStep, Step, Target
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import store

WHY = "books-store-g-0 does not answer"


@pytest.fixture
async def world() -> World:
    world = await World(components=store(replicas=2)).deployed()
    await world.do(Control(world.platform).begin, world.target(OperationType.SWITCHOVER, reason="asked for by hand"))
    return world


class Body(ActivityInboundInterceptor):
    """The activity at the end of the interceptors."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return await self._work(*input.args)


async def attempt(world: World, number: int, work: Callable[[Any], Any], argument: object = None) -> None:
    """One attempt at an activity of a Switchover."""
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, activity_type=Step.SWITCHOVER, attempt=number)
    intercepted = RetryStatus(world.platform).intercept_activity(Body(work))
    argument = target(world) if argument is None else argument
    await environment.run(intercepted.execute_activity, ExecuteActivityInput(work, [argument], None, {}))


def target(world: World) -> Target:
    return world.target(OperationType.SWITCHOVER)


async def fails(_: Any) -> None:
    raise ApplicationError(WHY)


async def succeeds(_: Any) -> None:
    return


def told(world: World) -> tuple[str, str, str]:
    status = world.object("App", "books")["status"]
    return status["progress"]["phase"], status["progress"]["message"], status["operation"]["step"]


def configure(of: Target) -> object:
    return ConfigureStep(NodeStep(of, "store", "g", "books-store-g-0"))


def fence(of: Target) -> object:
    return FenceRequest(Takeover(of, "store"))


def promote(of: Target) -> object:
    return PromoteRequest(Takeover(of, "store"), Fenced("stopped"))


def readmit(of: Target) -> object:
    return ReadmitRequest(Takeover(of, "store"), "books-store-g-1")


@pytest.mark.parametrize("request_of", [lambda of: of, configure, fence, promote, readmit])
async def test_the_reason_is_told_once_it_lasts_and_its_end(
    world: World, request_of: Callable[[Target], object]
) -> None:
    """Seen as "move its role to books-store-g-1", without end, where the old primary's machine had died."""
    argument = request_of(target(world))
    before = told(world)
    for number in range(1, TOLD_AT):
        with pytest.raises(ApplicationError, match=WHY):
            await attempt(world, number, fails, argument)
        assert told(world) == before
    for number in (TOLD_AT, TOLD_AT + 1):
        with pytest.raises(ApplicationError, match=WHY):
            await attempt(world, number, fails, argument)
        assert told(world) == ("Waiting", f"waiting: {WHY}", before[2])
    assert world.events().count(f"Waiting: {WHY}") == 1
    await attempt(world, TOLD_AT + 2, succeeds, argument)
    assert told(world) == ("Updating", "Switchover goes on", before[2])


async def test_what_the_step_itself_tells_last_stays(world: World) -> None:
    with pytest.raises(ApplicationError):
        await attempt(world, TOLD_AT, fails)
    await attempt(world, TOLD_AT + 1, Record(world.platform).finish)
    assert told(world)[0] == "Running"


async def test_a_failure_for_good_is_the_operations_to_tell(world: World) -> None:
    async def refuses(_: Any) -> None:
        raise ApplicationError(WHY, non_retryable=True)

    before = told(world)
    with pytest.raises(ApplicationError):
        await attempt(world, TOLD_AT, refuses)
    assert told(world) == before
