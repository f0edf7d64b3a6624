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
    try:
        await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        pending = [task for task in tasks if not task.done()]
        for task in pending:
            task.cancel()
        if pending:
            await workflow.wait(pending)
    return [task.result() for task in tasks]
