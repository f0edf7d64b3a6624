"""Children of an operation, side by side: the first that fails ends the others, and all have ended before it is told.

asyncio's own gather leaves the others running, and an operation that ended with work left would overlap with the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from temporalio import workflow

T = TypeVar("T")


async def all_of(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order. Raises the first failure, or CancelledError, after all have ended."""
    tasks = [asyncio.create_task(each) for each in work]
    if not tasks:
        return []
    try:
        await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError:
        # Not in a ``finally``: a workflow that is only evicted from memory must not wait for anything.
        await _end(tasks)
        raise
    # Found before the others are cancelled: those fail too then, and are not why it failed.
    failure = next((error for task in tasks if (error := _failure(task)) is not None), None)
    if failure is not None:
        await _end(tasks)
        raise failure
    return [task.result() for task in tasks]


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    pending = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
    if pending:
        await workflow.wait(pending)
    for task in tasks:
        _failure(task)  # retrieved, else asyncio logs it as forgotten


def _failure(task: asyncio.Task[Any]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
