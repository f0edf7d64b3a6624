"""What has to be undone by itself is kept on the volume: no end of agent 2 leaves an engine fenced for ever.

1. What is due is written before the tool runs. A disk that refuses or hangs is logged and holds nothing up: a node with
   a full disk is just the one to move away from, and the timer in memory is still there.
2. It is carried out when its time has come and there is a process to ask, again and again until it succeeds.
3. It is dropped when it succeeded, whoever ran it, and when ``follow`` lifted the fence.
An agent that starts goes on with what its predecessor has left, unless it is of another App on the same volume.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.decoding import DecodingError, decode
from agent.documents import DocumentError, DocumentStore
from agent.process.state import StatusBoard
from agent.storage import remove, write_atomically
from agent.tooling.failure import ToolError

_log = logging.getLogger(__name__)
_DISK_WITHIN = 2.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
FENCE, FOLLOW = "fence", "follow"


@dataclass(frozen=True)
class Due:
    """``tool`` undoes ``of`` at the wall-clock time ``at`` (unix milliseconds); ``after`` seconds is the longest wait,
    should the clock have been set back."""

    app_uid: str
    of: str
    tool: str
    at: int
    after: float


@dataclass(frozen=True)
class _Kept:
    due: tuple[Due, ...]


class Undoing:
    """``run`` runs a tool; ToolError where it failed."""

    def __init__(
        self, state_dir: Path, documents: DocumentStore, board: StatusBoard, run: Callable[[str], Awaitable[None]]
    ) -> None:
        self._path = state_dir / "undo.json"
        self._documents = documents
        self._board = board
        self._run = run
        self._due: dict[str, Due] = {}
        self._timers: set[asyncio.Task[None]] = set()
        # What is being undone must not end the fence that comes just then.
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._disk = asyncio.Lock()
        self._saving: set[asyncio.Task[None]] = set()

    async def resume(self) -> None:
        """What the agent before this one has left. Before any tool is run."""
        for due in await asyncio.to_thread(_read, self._path):
            self._due[due.of] = due
            remaining = due.at / 1000 - time.time()
            self._start(due, max(0.0, min(remaining, due.after)))

    @asynccontextmanager
    async def later(self, app_uid: str, of: str, tool: str, seconds: float) -> AsyncIterator[None]:
        """Within runs ``of``; the time begins at its end, well or not. What an earlier run has due is replaced."""
        async with self._busy[of]:
            due = Due(app_uid, of, tool, int((time.time() + seconds) * 1000), seconds)
            self._due[of] = due
            await self._save()
            try:
                yield
            finally:
                self._start(due, seconds)

    def ended_by(self, tool: str) -> list[Due]:
        """What a success of ``tool``, which begins now, settles."""
        return [due for due in self._due.values() if due.tool == tool or (due.of, tool) == (FENCE, FOLLOW)]

    async def settle(self, settled: list[Due]) -> None:
        """Drops them, but not what was due anew since."""
        mine = [due for due in settled if self._due.get(due.of) is due]
        for due in mine:
            del self._due[due.of]
        if mine:
            await self._save()

    def _start(self, due: Due, seconds: float) -> None:
        timer = asyncio.create_task(self._carry_out(due, seconds))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def _carry_out(self, due: Due, seconds: float) -> None:
        if await self._foreign(due):
            return
        await asyncio.sleep(seconds)
        pause = _FIRST_PAUSE
        while self._due.get(due.of) is due:
            await self._board.wait_until(lambda status: status.alive)
            async with self._busy[due.of]:
                if await self._foreign(due) or await self._undone(due):
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _undone(self, due: Due) -> bool:
        """True also where it was settled meanwhile."""
        if self._due.get(due.of) is not due:
            return True
        try:
            await self._run(due.tool)
        except ToolError as error:
            _log.warning("%s is still to be undone: %s", due.of, error)
            return False
        _log.info("%s was undone by %s, %g s after it", due.of, due.tool, due.after)
        await self.settle([due])
        return True

    async def _foreign(self, due: Due) -> bool:
        """True where it is of another App, and then dropped. Without a usable document nobody knows."""
        try:
            app_uid = self._documents.effective().document.node.app_uid
        except DocumentError:
            return False
        if app_uid == due.app_uid:
            return False
        _log.info("what is due of %s is of another App, uid %s, and dropped", due.of, due.app_uid)
        await self.settle([due])
        return True

    async def _save(self) -> None:
        saving = asyncio.create_task(self._write())
        self._saving.add(saving)
        saving.add_done_callback(self._saving.discard)
        try:
            await asyncio.wait_for(asyncio.shield(saving), _DISK_WITHIN)
        except TimeoutError:
            _log.error("what is due to be undone is not on the disk after %g s", _DISK_WITHIN)

    async def _write(self) -> None:
        async with self._disk:  # one after another, each with what is due then: the last one is right
            due = list(self._due.values())
            try:
                await asyncio.to_thread(_store, self._path, due)
            except OSError as error:
                _log.error("what is due to be undone cannot be written: %s", error)


def _store(path: Path, due: list[Due]) -> None:
    if not due:
        remove(path)
        return
    write_atomically(path, json.dumps({"due": [_json(each) for each in due]}).encode())


def _json(due: Due) -> Mapping[str, str | int | float]:
    return {"appUid": due.app_uid, "of": due.of, "tool": due.tool, "at": due.at, "after": due.after}


def _read(path: Path) -> tuple[Due, ...]:
    try:
        return decode(_Kept, json.loads(path.read_text(encoding="utf-8")), path.name).due
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, DecodingError) as error:
        _log.error("what was due to be undone cannot be read: %s", error)
        return ()
