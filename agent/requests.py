"""Calls that change something are done once: a repeat with the same request id gets the first answer.

Answers lie on the volume, so a repeat after the agent's restart is answered too. Work in flight is shared by repeats
and goes on when its caller goes away. Work that the agent's own end interrupted has no answer: a repeat does it
again, and the tools are written to look before they act. Errors of gRPC (refusals) are not remembered: nothing was
done.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

from agent.storage import write_atomically

_log = logging.getLogger(__name__)
_KEPT = 256


class Message(Protocol):
    """A protobuf message."""

    def SerializeToString(self) -> bytes: ...  # noqa: N802 protobuf's name

    def ParseFromString(self, data: bytes, /) -> int: ...  # noqa: N802


M = TypeVar("M", bound=Message)


class RequestMemory:
    """``directory`` holds one file per answer; the newest 256 are kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._in_flight: dict[str, asyncio.Task[Any]] = {}

    async def once(
        self, method: str, request_id: str, answer: Callable[[], M], work: Callable[[], Coroutine[Any, Any, M]]
    ) -> M:
        """The first answer, or that of ``work``. An empty request id is not remembered. Raises what ``work`` raises."""
        if not request_id:
            return await asyncio.shield(self._supervise(asyncio.ensure_future(work()), None))
        key = hashlib.sha256(f"{method}\0{request_id}".encode()).hexdigest()
        task = self._in_flight.get(key)
        if task is None:
            message = answer()
            if self._recall(key, message):
                return message
            task = asyncio.ensure_future(self._work(key, work))
            self._supervise(task, key)
        result: M = await asyncio.shield(task)
        return result

    async def drain(self, timeout: float) -> None:
        """Waits for work in flight, at most ``timeout`` seconds."""
        if self._in_flight:
            await asyncio.wait(self._in_flight.values(), timeout=timeout)

    async def _work(self, key: str, work: Callable[[], Awaitable[M]]) -> M:
        result = await work()
        try:
            await asyncio.to_thread(self._keep, key, result.SerializeToString())
        except OSError as error:
            # The work is done; a full disk must not make it look failed. Only a repeat would do it again.
            _log.error("the answer to %s cannot be remembered: %s", key, error)
        return result

    def _keep(self, key: str, answer: bytes) -> None:
        write_atomically(self._directory / key, answer, 0o600)
        self._forget_old()

    def _supervise(self, task: asyncio.Task[M], key: str | None) -> asyncio.Task[M]:
        name = key or f"anonymous-{id(task)}"
        self._in_flight[name] = task

        def finished(done: asyncio.Task[M]) -> None:
            self._in_flight.pop(name, None)
            if not done.cancelled():
                done.exception()  # retrieved here too: its caller may have gone away

        task.add_done_callback(finished)
        return task

    def _recall(self, key: str, message: Message) -> bool:
        try:
            message.ParseFromString((self._directory / key).read_bytes())
        except FileNotFoundError:
            return False
        return True

    def _forget_old(self) -> None:
        answers = sorted((p for p in self._directory.iterdir() if p.is_file()), key=lambda p: p.stat().st_mtime_ns)
        for path in answers[:-_KEPT]:
            path.unlink(missing_ok=True)
