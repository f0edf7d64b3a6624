"""Asks the engine for its role and readiness, again and again, and tells who listens.

1. Agent 1's state says whether there is a process to ask; without one the role is not known.
2. ``getRole`` and ``ready`` run at once, each on its own kept connections, so that a hung one does not delay the
   other.
3. The claim of a role is dated: the engine's own epoch, else the time when this node took the role. That time is kept
   on the volume, so a restarted agent does not make an old primary's claim look newer than its successor's.
4. What the volume remembers of it is another matter (``memory``).
5. Whether the lease (``lease``) is held and the volume (``volume``) is full is added to what was found.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from agent.document import NodeDocument, Tool
from agent.documents import Bundle, DocumentError, DocumentStore
from agent.nodefiles import node_names
from agent.process.state import State, Status, StatusBoard
from agent.record import Record
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter, Outcome
from agent.tooling.tcp import ConnectionPool
from agent.tools.lease import LeaseKeeper
from agent.tools.memory import Memory
from agent.tools.volume import Volume

_log = logging.getLogger(__name__)
_SIGN_OF_LIFE = 10.0
_EAGER = 0.1
_EAGER_FOR = 15.0
"""A starting engine is asked every 0.1 s for its first 15 s: half an interval on each node of a deploy adds up."""
_UNSAVED = "unsaved"


@dataclass(frozen=True)
class Report:
    """What one poll found; fields as in ``RoleReport``."""

    node: str = ""
    role: str = ""
    epoch: int = 0
    position: int = 0
    ready: bool = False
    message: str = "not asked yet"
    process: State = State.UNKNOWN
    sequence: int = 0
    last_ready: int = 0
    volume_full: bool = False
    fenced: bool = False
    unsaved: str = ""


@dataclass(frozen=True)
class _Readiness:
    """``unsaved`` None: the tool did not come to know."""

    problem: str = ""
    unsaved: str | None = None


@dataclass(frozen=True)
class _Finding:
    role: str = ""
    epoch: int = 0
    position: int = 0
    followers: int = 0
    problem: str = ""


class Monitor:
    """``run`` polls; ``poll`` asks at once; ``watch`` streams reports. ``incarnation`` is of this agent's life."""

    def __init__(
        self, documents: DocumentStore, interpreter: Interpreter, board: StatusBoard, lease: LeaseKeeper
    ) -> None:
        self.incarnation = os.urandom(8).hex()
        self.report = self._found = Report()
        self._documents = documents
        self._interpreter = interpreter
        self._board = board
        self._lease = lease
        self._volume = Volume(interpreter.settings.data_dir)
        self._lock = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._pools = {"getRole": ConnectionPool(), "ready": ConnectionPool()}
        self._asked: tuple[int, int] = (0, 0)
        self._alive_since = 0.0
        self._unsaved = ""
        self._memory = Memory(interpreter.settings.state_dir)
        self._writable: tuple[str, ...] = ()
        lease.listen(self._tell_again)
        lease.share(self._pools["getRole"])

    async def run(self) -> None:
        """Until cancelled. A failing poll is reported, never fatal."""
        while True:
            try:
                await self.poll()
            except Exception:
                _log.exception("poll failed")
            await self._pause()

    async def poll(self) -> Report:
        """Asks now and returns what was found."""
        async with self._lock:
            try:
                bundle = self._documents.effective()
            except DocumentError as error:
                report = replace(
                    self._found, role="", ready=False, message=str(error), process=self._board.status.state
                )
            else:
                report = await self._ask(bundle)
            await self._publish(report)
            return self.report

    def why_not_ready(self) -> str | None:
        """For the kubelet, whose word operations wait for before they stop the next node; None where it is. Whoever is
        writable serves, whatever it has saved: its clients have nobody else."""
        if not self.report.ready:
            return self.report.message
        return (self.report.unsaved or None) if self.report.role not in self._writable else None

    async def watch(self) -> AsyncIterator[Report]:
        """The current report, one for each change, and at least one every 10 s."""
        while True:
            sent = self.report
            yield sent
            await self._next(sent.sequence)

    async def _next(self, sequence: int) -> None:
        try:
            async with asyncio.timeout(_SIGN_OF_LIFE), self._changed:
                await self._changed.wait_for(lambda: self.report.sequence != sequence)
        except TimeoutError:
            return

    def close(self) -> None:
        """Ends the kept connections."""
        for pool in self._pools.values():
            pool.close()

    async def _pause(self) -> None:
        status = self._board.status
        try:
            interval = self._documents.effective().document.monitor_interval
        except DocumentError:
            interval = 1.0
        if status.alive and not self.report.ready and time.monotonic() - self._alive_since < _EAGER_FOR:
            interval = min(interval, _EAGER)
        try:
            async with asyncio.timeout(interval):
                await self._board.wait_until(lambda s: (s.state, s.pid) != (status.state, status.pid))
        except TimeoutError:
            return

    async def _ask(self, bundle: Bundle) -> Report:
        document = bundle.document
        status = self._board.status
        self._writable = tuple(document.writable_roles)
        if not status.alive:
            self.close()
            message = f"the process is {status.state.name}: {status.message}"
            last_ready = self._last_ready(document)
            return Report(node=document.node.name, message=message, process=status.state, last_ready=last_ready)
        self._reset_for(status)
        names, asked_at = node_names(bundle, self._memory.newest), self._lease.now()
        finding, ready = await asyncio.gather(self._find_role(document, names), self._find_readiness(document, names))
        after = self._board.status
        if (after.pid, after.starts) != (status.pid, status.starts):
            # The answers are of a process that has ended meanwhile.
            ended = f"the process is {after.state.name}"
            finding, ready = _Finding(problem=ended), _Readiness(ended)
        self._lease.observe(document, names, finding.role, finding.followers, asked_at)
        if ready.unsaved is not None:
            self._unsaved = ready.unsaved
        problems = [text for text in (finding.problem, ready.problem) if text]
        report = Report(
            node=document.node.name,
            role=finding.role,
            epoch=finding.epoch,
            position=finding.position,
            ready=not problems,
            message="; ".join(dict.fromkeys(problems)),
            process=after.state,
            last_ready=self._last_ready(document),
            unsaved=self._unsaved,
        )
        has_roles = "getRole" in document.tools
        observed = bool(finding.role) if has_roles else after.state is State.RUNNING
        return self._remember(document, report) if observed else report

    def _reset_for(self, status: Status) -> None:
        if self._asked != (status.pid, status.starts):
            self._asked = (status.pid, status.starts)
            self._unsaved = ""
            self._memory.process_began()
            self._alive_since = time.monotonic()
            self.close()

    async def _find_role(self, document: NodeDocument, names: dict[str, str]) -> _Finding:
        tool = document.tools.get("getRole")
        if tool is None:
            return _Finding()
        try:
            values = (await self._run("getRole", tool, names)).values
            epoch, position, followers = (_whole(values, name) for name in ("epoch", "position", "followers"))
            return _Finding(values.get("role", ""), epoch, position, followers)
        except ToolError as error:
            return _Finding(problem=str(error))

    async def _find_readiness(self, document: NodeDocument, names: dict[str, str]) -> _Readiness:
        tool = document.tools.get("ready")
        if tool is None:
            state = self._board.status.state
            return _Readiness("" if state is State.RUNNING else f"the process is {state.name}")
        try:
            return _Readiness("", (await self._run("ready", tool, names)).values.get(_UNSAVED, ""))
        except ToolError as error:
            return _Readiness(str(error), error.values.get(_UNSAVED))

    async def _run(self, name: str, tool: Tool, names: dict[str, str]) -> Outcome:
        return await self._interpreter.run(name, tool, names, pool=self._pools[name])

    def _remember(self, document: NodeDocument, report: Report) -> Report:
        now = time.time_ns() // 1_000_000
        last = self._memory.of(document.node.app_uid)
        epoch = report.epoch
        if not epoch and report.role:
            epoch = last.epoch if last is not None and last.role == report.role and last.epoch else now
        writable = report.role in document.writable_roles
        ready = report.ready and not self._lease.problem
        found = Record(
            app_uid=document.node.app_uid,
            role=report.role,
            last_writable=now if writable else (last.last_writable if last is not None else 0),
            last_seen=now,
            position=report.position,
            epoch=epoch,
            last_ready=now if ready else report.last_ready,
        )
        self._memory.saw(found, writable=writable, ready=report.ready, unsaved=bool(report.unsaved))
        return replace(report, epoch=epoch, last_ready=found.last_ready)

    def _last_ready(self, document: NodeDocument) -> int:
        last = self._memory.of(document.node.app_uid)
        return 0 if last is None else last.last_ready

    async def _tell_again(self) -> None:
        """Not through the lock of ``poll``: an engine that hangs must not delay what is known without it."""
        await self._publish(self._found)

    async def _publish(self, found: Report) -> None:
        self._found = found
        problem = self._lease.problem if self._board.status.alive else ""
        report = replace(
            found,
            ready=found.ready and not problem,
            message="; ".join(text for text in (problem, found.message) if text),
            fenced=self._lease.fenced,
            volume_full=self._volume.full(),
            sequence=self.report.sequence,
        )
        before, self.report = self.report, report
        if _without_progress(report) == _without_progress(before):
            return
        self.report = replace(report, sequence=report.sequence + 1)
        async with self._changed:
            self._changed.notify_all()


def _without_progress(report: Report) -> Report:
    """Without what grows at each poll of a node that is well."""
    return replace(report, position=0, last_ready=0)


def _whole(values: Mapping[str, str], name: str) -> int:
    text = values.get(name, "")
    if not text:
        return 0
    try:
        return int(text)
    except ValueError as error:
        raise ToolError(f"tool getRole, its result: {name} is {text!r}; it must be a whole number") from error
