"""The state of the engine's process and who is told when it changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

from agent.engine.end import End, keeps_ending


class State(Enum):
    """Names and numbers of ``ProcessState`` in proto/agent.proto, usable without protobuf.

    STARTING: preStart runs, or the process is younger than startSeconds. BACKOFF: waits before the next try.
    EXITED: ended unasked. CRASH_LOOP: ended unasked so often in a row that a person should look; waits for the next
    try, which comes at once when its document or its secrets change. LINGERING: ended or killed, but some of its
    processes do not end, as they wait for a disk, say: neither stopped, nor may another be started. WAITING: it was
    writable and has no lease, so it asks whether it may be again. UNREADABLE: another version of the engine has had the
    volume, whose data this one may not be given; waits for another document, or for the Pod's end.
    """

    UNKNOWN = 0
    STOPPED = 1
    STARTING = 2
    RUNNING = 3
    BACKOFF = 4
    STOPPING = 5
    EXITED = 6
    CRASH_LOOP = 7
    HELD = 8
    LINGERING = 9
    WAITING = 10
    UNREADABLE = 11


class LingeringError(Exception):
    """Processes of the engine do not end though they were killed; a sentence. What was asked for is done once they
    have."""


@dataclass(frozen=True)
class Status:
    """A snapshot. ``since``: unix milliseconds of the last change of state; ``pid`` 0 while no process may answer;
    ``exit_code`` of the last run, also of one that was stopped. ``failures``: ends in a row that nobody asked for,
    ``last_end``: the last of them; ``keeps_ending``: they are too many, whatever it does at this moment."""

    state: State = State.STARTING
    pid: int = 0
    since: int = 0
    starts: int = 0
    exit_code: int | None = None
    failures: int = 0
    keeps_ending: bool = False
    last_end: End | None = None
    stop_requested: bool = False
    message: str = ""

    @property
    def alive(self) -> bool:
        """There is a process that may answer."""
        return self.pid != 0

    @property
    def trouble(self) -> str:
        """What happened to the runs before this one, a sentence; empty where nothing did."""
        if not self.failures or self.last_end is None:
            return ""
        return keeps_ending(self.failures, self.last_end) if self.keeps_ending else self.last_end.sentence()

    def again(self, what: str) -> str:
        """``what`` it does now, and its trouble."""
        return f"{what}; before that: {self.trouble}" if self.trouble else what


class StatusBoard:
    """The current status; every change reaches every subscriber, in order."""

    def __init__(self) -> None:
        self._status = Status(since=_now())
        self._queues: set[asyncio.Queue[Status]] = set()
        self._listeners: list[Callable[[], None]] = []

    @property
    def status(self) -> Status:
        return self._status

    def update(self, **changes: Any) -> None:
        """Fields of Status; ``since`` follows ``state`` by itself."""
        changed = replace(self._status, **changes)
        if changed == self._status:
            return
        if changed.state is not self._status.state:
            changed = replace(changed, since=_now())
        before, self._status = self._status, changed
        for queue in self._queues:
            queue.put_nowait(changed)
        if (changed.state, changed.pid, changed.starts) != (before.state, before.pid, before.starts):
            for tell in tuple(self._listeners):
                tell()

    async def watch(self) -> AsyncIterator[Status]:
        """The current status, then one for each change."""
        queue: asyncio.Queue[Status] = asyncio.Queue()
        queue.put_nowait(self._status)
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)

    def listen(self, tell: Callable[[], None]) -> None:
        """``tell`` is called when the state has changed, or the process."""
        self._listeners.append(tell)

    async def pause(self, seconds: float) -> None:
        """Ends early where the state changes, or the process. Cheap: it is what an agent does most of the time."""
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        end = partial(_release, waiting)
        timer = loop.call_later(seconds, end)
        self._listeners.append(end)
        try:
            await waiting
        finally:
            timer.cancel()
            self._listeners.remove(end)

    async def wait_until(self, condition: Callable[[Status], bool]) -> Status:
        """Returns the first status for which ``condition`` holds."""
        queue: asyncio.Queue[Status] = asyncio.Queue()
        queue.put_nowait(self._status)
        self._queues.add(queue)
        try:
            while not condition(status := await queue.get()):
                pass
            return status
        finally:
            self._queues.discard(queue)


def _release(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _now() -> int:
    return time.time_ns() // 1_000_000
