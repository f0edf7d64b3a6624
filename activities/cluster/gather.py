"""Several calls side by side inside one activity: the first failure cancels the others, and none outlives the
activity."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order. Raises the first failure as itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except ExceptionGroup as failures:  # not except*: what is raised in there comes out in a group again
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
