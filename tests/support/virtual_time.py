"""Time that passes only while every task waits for it: then the loop's clock jumps to the next timer.

For tests in which nothing outside the event loop is awaited. Their seconds cost nothing, and their measurements are
exact however busy the machine is. A test that waits for a process, a socket or a thread needs real time: its timeouts
would run out while the other side is still at work.
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
    now, wait = loop.time(), selector.select

    def jump(timeout: float | None) -> Any:
        nonlocal now
        if timeout is None:
            return wait(None)
        ready = wait(0)
        if not ready:
            now += max(timeout, 0)
        return ready

    with patch.object(loop, "time", lambda: now), patch.object(selector, "select", jump):
        yield
