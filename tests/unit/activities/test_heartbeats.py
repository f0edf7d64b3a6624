"""Every activity of the worker heartbeats, and lets go when its worker is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.heartbeats import Heartbeats

Work = Callable[[], Coroutine[Any, Any, str]]


class Step(ActivityInboundInterceptor):
    """The activity at the end of the interceptors."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return await self._work()


async def run(environment: ActivityEnvironment, work: Work) -> str:
    intercepted = Heartbeats().intercept_activity(Step(work))

    async def attempt() -> str:
        return str(await intercepted.execute_activity(cast(ExecuteActivityInput, None)))

    return await environment.run(attempt)


async def test_it_beats_while_the_activity_works() -> None:
    environment, beats = ActivityEnvironment(), list[object]()
    heard = asyncio.Event()

    def beat(*_: Any) -> None:
        beats.append(_)
        heard.set()

    environment.on_heartbeat = beat

    async def work() -> str:
        await heard.wait()
        return "done"

    assert await asyncio.wait_for(run(environment, work), 10) == "done"
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
