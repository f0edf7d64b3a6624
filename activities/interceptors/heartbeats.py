"""Every activity heartbeats, so that no step is held up for its whole time-out by a worker that died in the middle of
it.

An interceptor rather than a line in each activity: the next one cannot forget it. A heartbeat is also what a
cancellation arrives with: frequent at first, when people try things out, rarer for Apps that wait for hours. A step
that waits leaves at once, also when its worker is told to stop; a short one (``SHORT_STEPS``) is done first, since
whoever cancelled it could not know what it had begun. ``workflows.temporal.activity_call`` ends the operation after it.

What a heartbeat carries (``remember``) the Temporal UI shows, and the next attempt finds: that of a worker that died.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from api.steps import SHORT_STEPS

_FREQUENT_SECONDS, _FREQUENT_FOR, _RARE_SECONDS = 1.0, 60.0, 4.0


@dataclass
class Remembered:
    """What an activity has noted for the case that its worker dies: one JSON object, without a secret in it."""

    details: dict[str, Any]

    @classmethod
    def of_earlier_attempt(cls) -> Remembered:
        given = activity.info().heartbeat_details
        return cls(dict(given[0]) if given and isinstance(given[0], Mapping) else {})


_REMEMBERED: ContextVar[Remembered] = ContextVar("remembered")


def remembered() -> dict[str, Any]:
    """What this attempt has noted, or the one before it."""
    found = _REMEMBERED.get(None) or Remembered.of_earlier_attempt()
    return dict(found.details)


def remember(details: Mapping[str, Any]) -> None:
    """Each heartbeat carries it from now on; the next comes within seconds."""
    found = _REMEMBERED.get(None)
    if found is not None:
        found.details = dict(details)


class Heartbeats(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Beating(next)


class _Beating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        _REMEMBERED.set(kept := Remembered.of_earlier_attempt())
        async with _beside(_beat(kept)):
            if activity.info().activity_type in SHORT_STEPS:
                return await _done_first(super().execute_activity(input))
            async with _leaving():
                return await super().execute_activity(input)


async def _done_first(work: Coroutine[Any, Any, Any]) -> Any:
    """Waits through the cancellation of its operation; not through a second one, nor where another attempt may have
    begun, or the worker has given all its grace."""
    task, waited = asyncio.create_task(work), False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if waited or details is None or not details.cancel_requested:
                task.cancel()
            waited = True
    return task.result()


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs ``work`` as long as the body."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _beat(kept: Remembered) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        activity.heartbeat(*([kept.details] if kept.details else ()))
        await asyncio.sleep(_FREQUENT_SECONDS if loop.time() - began < _FREQUENT_FOR else _RARE_SECONDS)


@contextlib.asynccontextmanager
async def _leaving() -> AsyncIterator[None]:
    """Leaves the body at once when this worker is told to stop.

    A wait would else hold up the shutdown for all of its grace, and its App until the next heartbeat is missed.
    Raises a retryable ApplicationError then: another worker goes on with the wait.
    """
    body, stopping = asyncio.current_task(), False

    async def leave() -> None:
        nonlocal stopping
        await activity.wait_for_worker_shutdown()
        stopping = True
        if body is not None:
            body.cancel()

    async with _beside(leave()):
        try:
            yield
        except asyncio.CancelledError:
            if not stopping or activity.is_cancelled():
                raise
            raise ApplicationError("this worker stops; another goes on", next_retry_delay=timedelta(0)) from None
