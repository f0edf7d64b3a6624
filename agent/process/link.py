"""How agent 2 learns the process's state: a Unix socket in the Pod's own shared directory, one JSON line per
change. And how its tools ask for a restart or a signal: one line on a connection of its own, and one in answer.

A socket and not a file: a file still says RUNNING when agent 1 was killed; a broken connection says that it is gone.
Not on the volume: there the next Pod's agent 2 would find the old Pod's agent 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.decoding import DecodingError, decode, encode
from agent.engine.end import End
from agent.process.state import LingeringError, State, Status, StatusBoard
from agent.tooling.failure import RefusedError

_log = logging.getLogger(__name__)
_RETRY = 0.2
_ANSWER = 2.0


@dataclass(frozen=True)
class _WireStatus:
    state: str
    pid: int = 0
    starts: int = 0
    exit_code: int | None = None
    failures: int = 0
    keeps_ending: bool = False
    last_end: End | None = None
    stop_requested: bool = False
    message: str = ""


def _line(status: Status) -> bytes:
    told = _WireStatus(
        state=status.state.name,
        pid=status.pid,
        starts=status.starts,
        exit_code=status.exit_code,
        failures=status.failures,
        keeps_ending=status.keeps_ending,
        last_end=status.last_end,
        stop_requested=status.stop_requested,
        message=status.message,
    )
    return json.dumps(encode(told)).encode() + b"\n"


def _parsed(line: bytes) -> _WireStatus:
    return decode(_WireStatus, json.loads(line), "status")


@dataclass(frozen=True)
class _Request:
    """``ask``: restart, or reload with a ``signal``."""

    ask: str
    signal: str = ""


@dataclass(frozen=True)
class _Answer:
    """``refusal``: a sentence; empty: done."""

    refusal: str


class Engine(Protocol):
    """What agent 2's tools may ask of agent 1: its supervisor."""

    @property
    def board(self) -> StatusBoard: ...

    async def restart(self) -> None: ...

    def reload(self, number: int) -> bool: ...


RELOADS = ("HUP", "USR1", "USR2")


class StatusPublisher:
    """Agent 1's side."""

    def __init__(self, path: Path, board: StatusBoard, engine: Engine | None = None) -> None:
        self._path = path
        self._board = board
        self._engine = engine
        self._asked: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Replaces a socket that an earlier container of the Pod left."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path))
        self._path.chmod(0o600)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        telling = asyncio.ensure_future(self._tell(writer))
        try:
            if line := await reader.readline():
                telling.cancel()
                work = asyncio.ensure_future(self._answer(line, writer))  # goes on though agent 2 goes away
                self._asked.add(work)
                work.add_done_callback(self._asked.discard)
                await asyncio.shield(work)
        except (OSError, asyncio.CancelledError):
            pass  # the same, or we end
        finally:
            telling.cancel()
            writer.transport.abort()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            refusal = await self._carry_out(decode(_Request, json.loads(line), "request"))
        except (ValueError, DecodingError, LingeringError) as error:
            refusal = str(error)
        with contextlib.suppress(OSError):
            writer.write(json.dumps(encode(_Answer(refusal))).encode() + b"\n")
            await writer.drain()

    async def _carry_out(self, request: _Request) -> str:
        """Why not; empty where it is done. Raises LingeringError."""
        engine, before = self._engine, self._board.status
        if engine is None or before.stop_requested or not before.alive:
            return f"no process runs, its state is {before.state.name}: {before.message}"
        if request.ask == "restart":
            await engine.restart()
            after = self._board.status
            return "" if after.state is State.RUNNING else f"it does not run again: {after.state.name}, {after.message}"
        if request.ask == "reload" and request.signal in RELOADS:
            done = engine.reload(signal.Signals[f"SIG{request.signal}"])
            return "" if done else f"no process runs, its state is {before.state.name}: {before.message}"
        return f"agent 1 knows no request {request.ask!r} {request.signal!r}"

    async def _tell(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            async for status in self._board.watch():
                writer.write(_line(status))
                await writer.drain()


class StatusFollower:
    """Agent 2's side: keeps ``board`` at agent 1's state, UNKNOWN while agent 1 does not answer."""

    def __init__(self, path: Path, board: StatusBoard) -> None:
        self._path = path
        self._board = board

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
            except OSError:
                self._lost()
                await asyncio.sleep(_RETRY)
                continue
            try:
                while line := await reader.readline():
                    self._apply(line)
            except (OSError, ValueError, DecodingError) as error:
                _log.warning("agent 1 sent a state that cannot be read: %s", error)
            finally:
                writer.transport.abort()
            self._lost()
            await asyncio.sleep(_RETRY)

    async def alive(self) -> bool:
        """Whether there is a process by now: of one that has just been started ``run`` may not have heard yet."""
        if self._board.status.alive:
            return True
        try:
            async with asyncio.timeout(_ANSWER):
                reader, writer = await asyncio.open_unix_connection(str(self._path))
                try:
                    return _parsed(await reader.readline()).pid != 0
                finally:
                    writer.transport.abort()
        except (OSError, ValueError, DecodingError):
            return self._board.status.alive

    async def restart(self) -> None:
        """Returns when the engine runs again. Raises RefusedError; the deadline is the caller's."""
        before = self._board.status.starts
        await self._ask(_Request("restart"))
        # Whoever asks next is to know of the new process, as the engine's own answers are its.
        await self._board.wait_until(lambda status: status.starts > before and status.state is State.RUNNING)

    async def reload(self, name: str) -> None:
        """Sends the signal to the engine's main process. Raises RefusedError; the deadline is the caller's."""
        await self._ask(_Request("reload", name))

    async def _ask(self, request: _Request) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._path))
            try:
                writer.write(json.dumps(encode(request)).encode() + b"\n")
                while line := await reader.readline():
                    answer = json.loads(line)
                    if "refusal" in answer:  # its state comes on each connection
                        break
                else:
                    raise RefusedError("agent 1 has closed the connection before it answered")
            finally:
                writer.transport.abort()
        except (OSError, ValueError) as error:
            raise RefusedError(f"agent 1 does not answer: {error}") from error
        if refusal := decode(_Answer, answer, "answer").refusal:
            raise RefusedError(refusal)

    def _apply(self, line: bytes) -> None:
        wire = _parsed(line)
        self._board.update(
            state=State.__members__.get(wire.state, State.UNKNOWN),
            pid=wire.pid,
            starts=wire.starts,
            exit_code=wire.exit_code,
            failures=wire.failures,
            keeps_ending=wire.keeps_ending,
            last_end=wire.last_end,
            stop_requested=wire.stop_requested,
            message=wire.message,
        )

    def _lost(self) -> None:
        self._board.update(state=State.UNKNOWN, pid=0, keeps_ending=False, message="agent 1 does not answer")
