"""A queue of keys that need work: each key once, one worker per key at a time, retried with bounded backoff.

Events only say that something about a key may have changed; the handler looks at the present state. So a hundred
events in a burst are one run, and a failed run is repeated without remembering what it was about.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from clients.errors import KubernetesError, UnavailableError

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)

FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 15.0


class WorkQueue(Generic[K]):
    """``handler`` gets one key; what it raises is logged and the key comes again later."""

    def __init__(
        self,
        name: str,
        handler: Callable[[K], Awaitable[None]],
        *,
        delay: float = 0.0,
        workers: int = 8,
        longest_backoff: float = LONGEST_BACKOFF,
    ) -> None:
        """``delay``: seconds that a key waits for further events before its run; they do not prolong the wait."""
        self._name = name
        self._handler = handler
        self._delay = delay
        self._longest = longest_backoff
        self._slots = asyncio.Semaphore(workers)
        self._waiting: dict[K, asyncio.TimerHandle] = {}
        self._running: dict[K, asyncio.Task[None]] = {}
        self._again: dict[K, float] = {}
        """Keys that run and are wanted once more: how many seconds after the run's end."""
        self._failures: dict[K, int] = {}
        self._closed = False

    def add(self, key: K, delay: float | None = None) -> None:
        """Has the key handled after ``delay`` (the queue's own if None), or sooner where an earlier run is due. While
        the key runs, the delay begins with the run's end."""
        if self._closed:
            return
        wait = self._delay if delay is None else delay
        if key in self._running:
            self._again[key] = min(wait, self._again.get(key, wait))
            return
        loop = asyncio.get_running_loop()
        due = self._waiting.get(key)
        if due is not None:
            if due.when() <= loop.time() + wait:
                return
            due.cancel()
        self._waiting[key] = loop.call_later(wait, self._launch, key)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    async def close(self) -> None:
        """Ends what runs, at once."""
        self._closed = True
        for handle in self._waiting.values():
            handle.cancel()
        self._waiting.clear()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _launch(self, key: K) -> None:
        del self._waiting[key]
        self._running[key] = asyncio.create_task(self._run(key), name=f"{self._name} {key}")

    async def _run(self, key: K) -> None:
        retry: float | None = None
        try:
            async with self._slots:
                self._again.pop(key, None)  # this run sees what they were about
                await self._handler(key)
            self._failures.pop(key, None)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            retry = self._backoff(key, error)
        finally:
            del self._running[key]
        again = self._again.pop(key, None)
        if retry is not None:
            self.add(key, retry)
        elif again is not None:
            self.add(key, again)

    def _backoff(self, key: K, error: Exception) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        named = error.retry_after if isinstance(error, UnavailableError) else None
        wait: float = named or min(FIRST_BACKOFF * 2 ** min(failures, 16), self._longest)
        expected = isinstance(error, KubernetesError | TimeoutError)
        log.warning(
            "%s failed, again in %.1f s: %s", self._name, wait, error,
            extra={"key": str(key)}, exc_info=None if expected else error,
        )  # fmt: skip
        return wait
