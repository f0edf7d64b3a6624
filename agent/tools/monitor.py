"""Asks the engine for its role and readiness, again and again, and tells who listens.

1. Agent 1's state says whether there is a process to ask; without one the role is not known.
2. ``getRole`` and ``ready`` have kept connections of their own, and where one waits the other runs meanwhile: a hung
   one does not delay the other.
3. The claim of a role is dated: the engine's own epoch, else the time when this node took the role. That time is kept
   on the volume, so a restarted agent does not make an old primary's claim look newer than its successor's.
4. What the volume remembers of it is another matter (``memory``).
5. Whether the lease (``lease``) is held, the volume (``volume``) is full, and the engine takes writes and the Secret's
   credentials (``checks``) is added to what was found.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

from agent.document import NodeDocument
from agent.documents import Bundle, DocumentError, DocumentStore
from agent.lease.keeper import LeaseKeeper
from agent.nodefiles import node_names
from agent.process.state import State, Status, StatusBoard
from agent.record import Record
from agent.tooling.connections import ConnectionPool
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from agent.tools.checks.engine import EngineChecks, Writes
from agent.tools.memory import Memory
from agent.tools.volume import Volume
from language.positions import Position, PositionError

_log = logging.getLogger(__name__)
_SIGN_OF_LIFE = 10.0
_EAGER = 0.1
_EAGER_FOR = 15.0
"""A starting engine is asked every 0.1 s for its first 15 s: half an interval on each node of a deploy adds up."""
_UNKNOWN_INTERVAL = 1.0
_LARGEST = 2**63 - 1
"""Of an epoch, as reports have it."""
_UNSAVED, _VOLATILE, _FOLLOWS, _FAILOVER_OFF = "unsaved", "volatile", "follows", "failoverOff"


@dataclass(frozen=True)
class Report:
    """What one poll found; fields as in ``RoleReport``."""

    node: str = ""
    role: str = ""
    epoch: int = 0
    position: str = ""
    ready: bool = False
    message: str = "not asked yet"
    process: State = State.UNKNOWN
    sequence: int = 0
    last_ready: int = 0
    volume_full: bool = False
    fenced: bool = False
    unsaved: str = ""
    keeps_ending: bool = False
    writes: Writes = Writes.UNSPECIFIED
    refusal: str = ""
    follows: str = ""
    credentials_refused: bool = False
    credentials_changed: str = ""
    failover_off: str = ""
    stop_refused: bool = False


_NEWS = attrgetter(*({each.name for each in fields(Report)} - {"position", "last_ready"}))
"""What is told at once. Left out is what grows at each poll of a node that is well."""


@dataclass(frozen=True)
class _Readiness:
    """None: the tool did not come to know."""

    problem: str = ""
    unsaved: str | None = None
    volatile: str | None = None
    follows: str = ""
    failover_off: str = ""
    login_refused: bool = False


@dataclass(frozen=True)
class _Finding:
    role: str = ""
    epoch: int = 0
    position: str = ""
    followers: str = ""
    problem: str = ""
    login_refused: bool = False


class Monitor:
    """``run`` polls; ``poll`` asks at once; ``watch`` streams reports. ``incarnation`` is of this agent's life."""

    def __init__(
        self,
        documents: DocumentStore,
        interpreter: Interpreter,
        board: StatusBoard,
        lease: LeaseKeeper,
        checks: EngineChecks,
    ) -> None:
        self.incarnation = os.urandom(8).hex()
        self.report = self._found = Report()
        self._documents = documents
        self._interpreter = interpreter
        self._board = board
        self._lease = lease
        self._checks = checks
        disk = ThreadPoolExecutor(1, "disk")  # one for both: what is due at one poll wakes it once
        self._volume = Volume(interpreter.settings.data_dir, disk)
        self._lock = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._pools = {"getRole": ConnectionPool(), "ready": ConnectionPool()}
        self._asked: tuple[int, int] = (0, 0)
        self._alive_since = 0.0
        self._interval = _UNKNOWN_INTERVAL
        self._unsaved, self._volatile = "", False
        self._served = False
        """The process that runs was ready once: what happened to those before it is over."""
        self._memory = Memory(interpreter.settings.state_dir, disk)
        self._writable: tuple[str, ...] = ()
        lease.listen(self._tell_again)
        checks.listen(self._tell_again)
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
                self._interval = bundle.document.monitor_interval
                report = await self._ask(bundle)
            except DocumentError as error:
                self._interval = _UNKNOWN_INTERVAL
                report = self._unasked(str(error))
            except Exception as error:  # nobody has thought of it: what was found before must not be told on and on
                _log.exception("poll failed")
                said = f"the engine cannot be asked: {type(error).__name__}: {error}"
                report = self._unasked(self._interpreter.secrets.mask(said))
            await self._publish(report)
            return self.report

    def _unasked(self, why: str) -> Report:
        return replace(self._found, role="", ready=False, message=why, process=self._board.status.state)

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
        interval = self._interval
        eager = self._board.status.alive and not self.report.ready
        if eager and time.monotonic() - self._alive_since < _EAGER_FOR:
            interval = min(interval, _EAGER)
        await self._board.pause(interval)

    async def _ask(self, bundle: Bundle) -> Report:
        document = bundle.document
        status = self._board.status
        self._writable = tuple(document.writable_roles)
        if not status.alive:
            self.close()
            last_ready = self._last_ready(document)
            return Report(
                node=document.node.name,
                message=_stands(status),
                process=status.state,
                last_ready=last_ready,
                keeps_ending=status.keeps_ending,
            )
        self._reset_for(status)
        names, asked_at = node_names(bundle, self._memory.newest), self._lease.now()
        finding, ready = await self._find(document, names)
        after = self._board.status
        if (after.pid, after.starts) != (status.pid, status.starts):
            # The answers are of a process that has ended meanwhile.
            ended = _stands(after)
            finding, ready = _Finding(problem=ended), _Readiness(ended)
        self._lease.observe(document, names, finding.role, finding.followers, asked_at)
        if ready.unsaved is not None:
            self._unsaved = ready.unsaved
        if ready.volatile is not None:
            self._volatile = ready.volatile == "true"
        problems = [text for text in (finding.problem, ready.problem) if text]
        self._served = self._served or not problems
        if after.alive and after.trouble and not self._served:
            problems.append(f"before that: {after.trouble}")
        epoch, last_ready = finding.epoch, self._last_ready(document)
        has_roles = "getRole" in document.tools
        if finding.role if has_roles else after.state is State.RUNNING:
            epoch, last_ready = self._remember(document, finding, ready=not problems)
        return Report(
            node=document.node.name,
            role=finding.role,
            epoch=epoch,
            position=finding.position,
            ready=not problems,
            message="; ".join(dict.fromkeys(problems)),
            process=after.state,
            last_ready=last_ready,
            unsaved=self._unsaved,
            keeps_ending=after.keeps_ending and not self._served,
            follows=ready.follows if finding.role not in self._writable else "",
            credentials_refused=finding.login_refused or ready.login_refused,
            failover_off=ready.failover_off,
        )

    def _reset_for(self, status: Status) -> None:
        if self._asked != (status.pid, status.starts):
            self._asked = (status.pid, status.starts)
            self._unsaved, self._volatile, self._served = "", False, False
            self._memory.process_began()
            self._alive_since = time.monotonic()
            self.close()

    async def _find(self, document: NodeDocument, names: dict[str, Any]) -> tuple[_Finding, _Readiness]:
        """An engine that is well answers within a moment: only where one question waits, the other gets a task."""
        waiting: list[asyncio.Task[_Readiness]] = []

        def meanwhile() -> None:
            if not waiting:
                waiting.append(asyncio.create_task(self._find_readiness(document, names)))

        try:
            finding = await self._find_role(document, names, meanwhile)
            return finding, await (waiting[0] if waiting else self._find_readiness(document, names))
        finally:
            for task in waiting:
                task.cancel()

    async def _find_role(self, document: NodeDocument, names: dict[str, Any], waits: Callable[[], object]) -> _Finding:
        if "getRole" not in document.tools:
            return _Finding()
        try:
            found = await self._interpreter.run(
                "getRole", document.toolbox, names, pool=self._pools["getRole"], waits=waits
            )
            epoch, position = _whole(found.values, "epoch"), _position(found.values)
            return _Finding(found.values.get("role", ""), epoch, position, found.values.get("followers", ""))
        except ToolError as error:
            return _Finding(problem=str(error), login_refused=error.login_refused)

    async def _find_readiness(self, document: NodeDocument, names: dict[str, Any]) -> _Readiness:
        if "ready" not in document.tools:
            state = self._board.status.state
            return _Readiness("" if state is State.RUNNING else f"the process is {state.name}")
        try:
            found = await self._interpreter.run("ready", document.toolbox, names, pool=self._pools["ready"])
            return _readiness("", found.values, found.values.get(_UNSAVED, ""), found.values.get(_VOLATILE, ""))
        except ToolError as error:
            said = _readiness(str(error), error.values, error.values.get(_UNSAVED), error.values.get(_VOLATILE))
            return replace(said, login_refused=error.login_refused)

    def _remember(self, document: NodeDocument, finding: _Finding, *, ready: bool) -> tuple[int, int]:
        """The epoch of its claim, and when it was ready last."""
        now = time.time_ns() // 1_000_000
        last = self._memory.of(document.node.app_uid)
        epoch = finding.epoch
        if not epoch and finding.role:
            epoch = last.epoch if last is not None and last.role == finding.role and last.epoch else now
        writable = finding.role in document.writable_roles
        found = Record(
            app_uid=document.node.app_uid,
            role=finding.role,
            last_writable=now if writable else (last.last_writable if last is not None else 0),
            last_seen=now,
            position=finding.position,
            epoch=epoch,
            last_ready=now if ready and not self._lease.problem else (last.last_ready if last is not None else 0),
        )
        unsaved = bool(self._unsaved)
        self._memory.saw(found, writable=writable, ready=ready, unsaved=unsaved, volatile=self._volatile)
        return epoch, found.last_ready

    def _last_ready(self, document: NodeDocument) -> int:
        last = self._memory.of(document.node.app_uid)
        return 0 if last is None else last.last_ready

    async def _tell_again(self) -> None:
        """Not through the lock of ``poll``: an engine that hangs must not delay what is known without it."""
        await self._publish(self._found)

    async def _publish(self, found: Report) -> None:
        self._found = found
        problem = self._lease.problem if self._board.status.alive else ""
        before, checked = self.report, self._checks.found
        self.report = report = replace(
            found,
            ready=found.ready and not problem,
            message="; ".join(text for text in (problem, found.message) if text),
            fenced=self._lease.fenced,
            volume_full=self._volume.full(),
            writes=checked.writes,
            refusal=checked.refusal,
            credentials_refused=found.credentials_refused or checked.credentials_refused,
            credentials_changed=checked.credentials_changed,
            stop_refused=checked.stop_refused,
            sequence=before.sequence,
        )
        if _NEWS(report) == _NEWS(before):
            return
        self.report = replace(report, sequence=report.sequence + 1)
        async with self._changed:
            self._changed.notify_all()


def _readiness(problem: str, values: Mapping[str, str], unsaved: str | None, volatile: str | None) -> _Readiness:
    return _Readiness(problem, unsaved, volatile, values.get(_FOLLOWS, ""), values.get(_FAILOVER_OFF, ""))


def _stands(status: Status) -> str:
    if status.state is State.UNREADABLE:
        return status.message
    return f"the process is {status.state.name}: {status.message}"


def _whole(values: Mapping[str, str], name: str) -> int:
    text = values.get(name, "")
    if not text:
        return 0
    try:
        number = int(text)
        if abs(number) > _LARGEST:
            raise ValueError
    except ValueError as error:
        said = f"tool getRole, its result: {name} is {text[:40]!r}; it must be a whole number of at most 64 bits"
        raise ToolError(said) from error
    return number


def _position(values: Mapping[str, str]) -> str:
    """In the one way in which it is written. Raises ToolError."""
    try:
        return str(Position.parse(values.get("position", "")))
    except PositionError as error:
        raise ToolError(f"tool getRole, its result: position: {error}") from error
