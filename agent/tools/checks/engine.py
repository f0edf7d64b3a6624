"""Whether the engine takes writes, whether it accepts the credentials that the App's Secret holds now, and whether its
node may be stopped.

These are facts that nobody needs for the next step, so no poll waits for them: an engine whose writes are held back by
a fence does not answer the question whether it takes them, and ``safeToStop`` may take long. Whoever stops a node by
plan asks that himself; this answer is for evictions, which ask nobody but a budget. Credentials are tried on a
connection of their own, when the Secret has changed and else once a minute, should somebody have changed the engine's:
those connections that are open were let in by the former ones, and stay.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from agent.document import NodeDocument
from agent.documents import DocumentError, DocumentStore
from agent.nodefiles import node_names
from agent.process.state import StatusBoard
from agent.tooling.connections import ConnectionPool
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter

_log = logging.getLogger(__name__)
EVERY = 2.0
ASK_STOP_EVERY = 5.0
TRY_CREDENTIALS_EVERY = 60.0
TAKES_WRITES, SAFE_TO_STOP = "takesWrites", "safeToStop"
_ASKS_THE_ENGINE = ("getRole", "ready")
"""Tools that log in, the first that there is."""


class Writes(Enum):
    """As ``Writes`` in the contract, by number."""

    UNSPECIFIED = 0
    ACCEPTED = 1
    REFUSED = 2
    REFUSED_HERE = 3


_WORDS = {"accepted": Writes.ACCEPTED, "refused": Writes.REFUSED, "refusedHere": Writes.REFUSED_HERE}


@dataclass(frozen=True)
class Checked:
    writes: Writes = Writes.UNSPECIFIED
    refusal: str = ""
    credentials_refused: bool = False
    credentials_changed: str = ""
    """As ``Secrets.changed``."""
    stop_refused: bool = False


class EngineChecks:
    """``run`` looks every 2 s, and every 5 s at the last; ``found`` is what it saw last of the process that runs."""

    def __init__(self, documents: DocumentStore, interpreter: Interpreter, board: StatusBoard) -> None:
        self.found = Checked()
        self._documents, self._interpreter, self._board = documents, interpreter, board
        self._pool = ConnectionPool()
        self._process: tuple[int, int] | None = None
        self._tried = ""
        """The version of the Secret that was tried last, by whichever connection."""
        self._tried_at = -math.inf
        self._tell: Callable[[], Awaitable[None]] = _nobody

    def listen(self, tell: Callable[[], Awaitable[None]]) -> None:
        """``tell`` is called when ``found`` has changed."""
        self._tell = tell

    def close(self) -> None:
        """Ends the kept connections."""
        self._pool.close()

    async def run(self) -> None:
        """Until cancelled. A failing look is logged, never fatal."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._again_and_again(self._look, EVERY))
            both.create_task(self._again_and_again(self._ask_stop, ASK_STOP_EVERY))

    async def _again_and_again(self, look: Callable[[], Awaitable[None]], every: float) -> None:
        while True:
            try:
                await look()
            except Exception:
                _log.exception("the engine cannot be looked at")
            await asyncio.sleep(every)

    async def _look(self) -> None:
        status = self._board.status
        process = (status.pid, status.starts) if status.alive else None
        if process != self._process:
            self._process, self._tried_at = process, -math.inf
            self._pool.close()
            await self._saw(Checked())
        if process is None:
            return
        try:
            bundle = self._documents.effective()
        except DocumentError:
            return
        names = node_names(bundle, None)
        refused = await self._credentials_refused(bundle.document, names)
        writes, refusal = await self._takes_writes(bundle.document, names)
        changed = self._interpreter.secrets.changed()
        if process == self._process:
            await self._saw(Checked(writes, refusal, refused, changed, self.found.stop_refused))

    async def _ask_stop(self) -> None:
        """Of one that cannot be asked nobody knows: its stop may be its remedy."""
        status = self._board.status
        process = (status.pid, status.starts)
        if not status.alive:
            return
        try:
            document = (bundle := self._documents.effective()).document
        except DocumentError:
            return
        refused = False
        if SAFE_TO_STOP in document.tools:
            try:
                await self._interpreter.run(SAFE_TO_STOP, document.toolbox, node_names(bundle, None))
            except ToolError:
                refused = True
        if process == self._process:
            await self._saw(replace(self.found, stop_refused=refused))

    async def _saw(self, found: Checked) -> None:
        if found != self.found:
            self.found = found
            await self._tell()

    async def _takes_writes(self, document: NodeDocument, names: Mapping[str, Any]) -> tuple[Writes, str]:
        if TAKES_WRITES not in document.tools:
            return Writes.UNSPECIFIED, ""
        try:
            values = (await self._interpreter.run(TAKES_WRITES, document.toolbox, names, pool=self._pool)).values
        except ToolError:
            return Writes.UNSPECIFIED, ""  # getRole says what is wrong with an engine that does not answer
        writes = _WORDS.get(values.get("writes", ""), Writes.UNSPECIFIED)
        refused = writes in (Writes.REFUSED, Writes.REFUSED_HERE)
        return writes, values.get("refusal", "") if refused else ""

    async def _credentials_refused(self, document: NodeDocument, names: Mapping[str, Any]) -> bool:
        version = self._interpreter.secrets.version()
        now = asyncio.get_running_loop().time()
        fresh = now - self._tried_at < TRY_CREDENTIALS_EVERY
        if version == self._tried and fresh and not self.found.credentials_refused:
            return False
        name = next((each for each in _ASKS_THE_ENGINE if each in document.tools), None)
        if name is None:
            return False
        try:
            await self._interpreter.run(name, document.toolbox, names)
        except ToolError as error:
            if not error.login_refused:
                # It was not reached: what it said before is no word on an engine that hangs by now. Tried again.
                self._tried = ""
                return False
            self._tried, self._tried_at = version, now
            return True
        self._tried, self._tried_at = version, now
        return False


async def _nobody() -> None:
    """Until somebody listens."""
