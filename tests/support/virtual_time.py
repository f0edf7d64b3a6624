"""Time that passes only while every task waits for it: then the loop's clock jumps to the next timer.

For tests in which nothing outside the process is awaited. Their seconds cost nothing, and their measurements are exact
however busy the machine is: work takes no time, that of the loop's threads included. A test that waits for another
process or a socket needs real time: its timeouts would run out while the other side is still at work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def virtual_time(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Replaces the clock of a loop, not the loop: fixtures of a wider scope live on the same one."""
    selector: Any = loop._selector  # type: ignore[attr-defined]  # asyncio has no public way to its only wait
    now, wait, run_in_executor = loop.time(), selector.select, loop.run_in_executor
    at_work: set[asyncio.Future[Any]] = set()

    def jump(timeout: float | None) -> Any:
        nonlocal now
        ready = wait(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or at_work:
            return wait(None)
        now += timeout
        return ready

    def noted(*arguments: Any) -> asyncio.Future[Any]:
        work = run_in_executor(*arguments)
        at_work.add(work)
        work.add_done_callback(at_work.discard)
        return work

    with (
        patch.object(loop, "time", lambda: now),
        patch.object(loop, "run_in_executor", noted),
        patch.object(selector, "select", jump),
    ):
        yield
