"""Every activity of the worker heartbeats, and lets go when its worker is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, cast

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.interceptors.heartbeats import Heartbeats
from api.steps import SHORT_STEPS, Step

Work = Callable[[], Coroutine[Any, Any, str]]


class Body(ActivityInboundInterceptor):
    """The activity at the end of the interceptors."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return await self._work()


async def run(environment: ActivityEnvironment, work: Work, step: Step = Step.WAIT_READY) -> str:
    environment.info = replace(environment.info, activity_type=step)
    intercepted = Heartbeats().intercept_activity(Body(work))

    async def attempt() -> str:
        return str(await intercepted.execute_activity(cast(ExecuteActivityInput, None)))

    return await environment.run(attempt)


@pytest.mark.parametrize("step", [Step.WAIT_READY, Step.PREPARE])
async def test_it_beats_while_the_activity_works(step: Step) -> None:
    environment, beats = ActivityEnvironment(), list[object]()
    heard = asyncio.Event()

    def beat(*details: Any) -> None:
        beats.append(details)
        heard.set()

    environment.on_heartbeat = beat

    async def work() -> str:
        await heard.wait()
        return "done"

    assert await asyncio.wait_for(run(environment, work, step), 10) == "done"
    assert beats


async def test_a_worker_that_is_told_to_stop_leaves_the_work_to_another_at_once() -> None:
    environment, ended = ActivityEnvironment(), list[str]()

    async def work() -> str:
        try:
            environment.worker_shutdown()
            await asyncio.Event().wait()
        finally:
            ended.append("where it was safe")
        return "never"

    with pytest.raises(ApplicationError, match="this worker stops") as stopped:
        await asyncio.wait_for(run(environment, work), 10)
    assert not stopped.value.non_retryable
    assert ended


async def test_a_cancelled_operation_is_no_worker_that_stops() -> None:
    environment = ActivityEnvironment()

    async def work() -> str:
        environment.cancel()
        await asyncio.Event().wait()
        return "never"

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(run(environment, work), 10)


def cancelled(environment: ActivityEnvironment, **why: bool) -> None:
    environment.cancel(ActivityCancellationDetails(**why))


@pytest.mark.parametrize("step", sorted(SHORT_STEPS))
async def test_a_short_step_is_done_though_its_operation_is_ended(step: Step) -> None:
    """Whoever cancelled it could not know what it had begun."""
    environment = ActivityEnvironment()

    async def work() -> str:
        cancelled(environment, cancel_requested=True)
        await asyncio.sleep(0)  # not for a time: the cancellation, which was called for before, is delivered first
        return "ticket-1"

    assert await asyncio.wait_for(run(environment, work, step), 10) == "ticket-1"


@pytest.mark.parametrize("why", ["timed_out", "not_found", "worker_shutdown"])
async def test_a_short_step_of_which_another_attempt_may_run_ends(why: str) -> None:
    environment = ActivityEnvironment()

    async def work() -> str:
        cancelled(environment, **{why: True})
        await asyncio.Event().wait()
        return "never"

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(run(environment, work, Step.ENQUEUE), 10)
