"""Every activity heartbeats, so that no step is held up for its whole time-out by a worker that died in the middle of
it; and leaves at once when its worker is told to stop.

An interceptor rather than a line in each activity: the next one cannot forget it. A heartbeat is also what a
cancellation arrives with: frequent at first, when people try things out, rarer for Apps that wait for hours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

_FREQUENT_SECONDS, _FREQUENT_FOR, _RARE_SECONDS = 1.0, 60.0, 4.0


class Heartbeats(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Beating(next)


class _Beating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        async with heartbeats():
            return await super().execute_activity(input)


@contextlib.asynccontextmanager
async def heartbeats() -> AsyncIterator[None]:
    """Heartbeats while the body runs, and leaves it at once when this worker is told to stop.

    A wait would else hold up the shutdown for all of its grace, and its App until the next heartbeat is missed.
    Raises a retryable ApplicationError then: another worker goes on with the wait.
    """
    body, stopping = asyncio.current_task(), False

    async def beat() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            activity.heartbeat()
            await asyncio.sleep(_FREQUENT_SECONDS if loop.time() - began < _FREQUENT_FOR else _RARE_SECONDS)

    async def leave() -> None:
        nonlocal stopping
        await activity.wait_for_worker_shutdown()
        stopping = True
        if body is not None:
            body.cancel()

    tasks = [asyncio.create_task(beat()), asyncio.create_task(leave())]
    try:
        yield
    except asyncio.CancelledError:
        if not stopping or activity.is_cancelled():
            raise
        raise ApplicationError("this worker stops; another goes on", next_retry_delay=timedelta(0)) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
