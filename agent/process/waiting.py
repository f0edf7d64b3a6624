"""How agent 1 waits: until something else is wanted, and how long before the next try.

The container does not end with its engine: the kubelet's back-off grows to five minutes and knows nothing of what is
pushed meanwhile. Here the cause of a failed try may be mended at any moment (the document, its files, a secret), and
then the next try is due.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_LOOK = 0.5
"""Seconds from one look for a mended cause to the next."""


@dataclass(frozen=True)
class RestartPolicy:
    """Seconds. ``attempts``: ends in a row that make a crash loop. A run of ``stable`` seconds makes the count start
    anew. ``kill_patience``: what killed processes may take to end (they wait for a disk) before it is told that they do
    not."""

    first_delay: float = 0.5
    longest_delay: float = 30.0
    attempts: int = 5
    stable: float = 60.0
    prepare_delay: float = 1.0
    longest_prepare_delay: float = 10.0
    kill_patience: float = 5.0

    def after_end(self, failures: int) -> float:
        """Doubles with each failure."""
        return _doubled(failures, self.first_delay, self.longest_delay)

    def after_preparation(self, failures: int) -> float:
        """It waits for peers, say: they are not asked for less often than every few seconds."""
        return _doubled(failures, self.prepare_delay, self.longest_prepare_delay)


def _doubled(failures: int, first: float, longest: float) -> float:
    return float(min(longest, first * 2 ** min(failures - 1, 16)))


class Wakeup:
    """``set`` whenever something else is wanted."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.set, self.clear, self.is_set = self._event.set, self._event.clear, self._event.is_set

    async def wait(self) -> None:
        await self._event.wait()

    async def pause(self, delay: float) -> None:
        """Ends early where something else is wanted."""
        try:
            await asyncio.wait_for(self._event.wait(), delay)
        except TimeoutError:
            return

    async def race(self, other: Awaitable[T], timeout: float | None = None) -> None:
        """Returns when ``other`` is done, something else is wanted or the time is over; cancels nothing."""
        changed = asyncio.ensure_future(self._event.wait())
        try:
            waited_for = {asyncio.ensure_future(other), changed}
            await asyncio.wait(waited_for, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    async def pause_unless(self, delay: float, mended: Callable[[], bool]) -> bool:
        """``pause``; True, and early, where ``mended`` is."""
        until = time.monotonic() + delay
        while not self.is_set():
            if mended():
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            await self.pause(min(left, _LOOK))
        return False
