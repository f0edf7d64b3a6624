"""The life of the engine's process.

1. What is wanted: nothing (STOPPED after a remembered Stop, HELD by the document) or a running engine.
2. The data directory's lock, for as long as the agent lives.
3. ``prepare``; where it fails, again after 1 s, growing to 10 s, without end: it waits for peers. Where another
   document took effect meanwhile, from 1. on.
4. Start. Younger than startSeconds is STARTING, then RUNNING.
5. An end that nobody asked for is EXITED, then BACKOFF with a growing delay. After too many ends in a row: FATAL, and
   the agent exits with the engine's exit code, so that the kubelet restarts the container and shows the crash loop.
6. A stop: the plugin's signal to the group, its time-out or the caller's, KILL to the group. SIGTERM to the agent is a
   stop, then exit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from agent.document import NodeDocument
from agent.documents import Bundle, DocumentError, DocumentStore
from agent.process.lock import DataLock
from agent.process.output import LineSink
from agent.process.preparation import Launch, NotPreparedError, prepare
from agent.process.reaper import Child, Reaper
from agent.process.state import State, StatusBoard
from agent.process.stoprequest import StopRequest
from agent.tooling.interpreter import Interpreter

_log = logging.getLogger(__name__)
T = TypeVar("T")

_LOCK_POLL = 0.2
_DOCUMENT_POLL = 1.0
_KILL_PATIENCE = 5.0
"""Seconds that a killed group may take to die (uninterruptible I/O) before the agent goes without it."""
_LAST_LINES = 1.0
"""Seconds that the container runtime may take to read the engine's last lines."""


@dataclass(frozen=True)
class RestartPolicy:
    """Seconds. ``attempts``: ends in a row before FATAL. A run of ``stable`` seconds makes the count start anew."""

    first_delay: float = 0.5
    longest_delay: float = 10.0
    attempts: int = 5
    stable: float = 60.0
    prepare_delay: float = 1.0

    def delay(self, failures: int, first: float) -> float:
        """Doubles with each failure."""
        return float(min(self.longest_delay, first * 2 ** min(failures - 1, 16)))


class Supervisor:
    """``run`` is the whole life; ``start``, ``stop``, ``restart`` and ``terminate`` change what is wanted."""

    def __init__(
        self,
        documents: DocumentStore,
        interpreter: Interpreter,
        lock: DataLock,
        board: StatusBoard,
        policy: RestartPolicy | None = None,
    ) -> None:
        self.board = board
        self._documents = documents
        self._interpreter = interpreter
        self._reaper: Reaper = interpreter.reaper
        self._lock = lock
        self._policy = policy or RestartPolicy()
        self._sink = LineSink()
        self._stop_request = StopRequest(interpreter.settings.state_dir)
        self._released = 0
        """Up to this revision of the document a hold is lifted. A later one holds the next start again: the node has
        been replaced as primary."""
        self._lead = False
        """The next preparation may make this node primary. Never on the disk: by the next start others may lead."""
        self._terminating = False
        self._changed = asyncio.Event()
        self._commands = asyncio.Lock()
        self._child: Child | None = None
        self._app_uid = ""
        self._failures = 0
        self._prepare_failures = 0
        self._exit_code = 0
        self._not_executed = ""
        self._kill_at: float | None = None
        """When whoever asked for the stop wants no more patience, by the monotonic clock."""

    # What others ask for

    async def start(self, *, lead: bool = False) -> None:
        """Returns when the state is no longer STARTING; where the engine already runs, at once.

        ``lead``: of the next preparation, and of no later one.
        """
        async with self._commands:
            await self._want_running(lead)
        await self._settled()

    async def stop(self, patience: float | None = None) -> None:
        """Returns when no process is left. Remembered on the volume: no automatic start until ``start``.

        ``patience`` replaces the plugin's time-out, also that of a stop which is under way: who fences a lost primary
        must not wait for one that hangs in an orderly stop.
        """
        if patience is not None:
            kill_at = time.monotonic() + patience
            self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)
            self._changed.set()
        async with self._commands:
            await self._stop()

    async def restart(self) -> None:
        """A stop and a start, as one command."""
        async with self._commands:
            await self._stop()
            await self._want_running()
        await self._settled()

    def signal(self, number: int) -> bool:
        """To the process's group; False where none runs."""
        return self._child is not None and self._child.signal_group(number)

    def forward(self, number: int) -> None:
        """A signal sent to the agent: the engine's own stop signal stops in order, any other goes to the group."""
        try:
            stop_signal = _number(self._documents.effective().document)
        except DocumentError:
            stop_signal = signal.SIGTERM
        if number == stop_signal:
            self.terminate()
        else:
            self.signal(number)

    def terminate(self) -> None:
        """Stop in order, then ``run`` returns. Not remembered: the next container starts the engine again."""
        if not self._terminating:
            _log.info("told to end: stopping the process")
        self._terminating = True
        self._changed.set()

    async def _settled(self) -> None:
        unsettled = (State.STARTING, State.STOPPED, State.HELD, State.STOPPING)
        await self.board.wait_until(lambda s: s.state not in unsettled or s.stop_requested)

    async def _stop(self) -> None:
        self._lead = False
        self._stop_request.set(self._app_uid)
        self.board.update(stop_requested=True)
        self._changed.set()
        # Beside the stop and not before it: a full or hanging disk must not keep a primary from being fenced.
        await asyncio.gather(
            self.board.wait_until(lambda s: s.state in (State.STOPPED, State.FATAL)), self._save_stop_request()
        )

    async def _save_stop_request(self) -> None:
        try:
            await asyncio.to_thread(self._stop_request.save)
        except OSError as error:
            _log.error("carried out, but the next container will not know of it: %s", error)

    async def _want_running(self, lead: bool = False) -> None:
        self._stop_request.set(None)
        self._kill_at = None
        await self._save_stop_request()
        self._released = self._revision()
        self._failures = 0
        self.board.update(stop_requested=False)
        # Together with the event: a preparation that is under way is begun anew, and that one is to have it.
        self._lead = lead and self._child is None
        self._changed.set()

    # The life

    async def run(self) -> int:
        """The agent's exit code: the engine's own after a stop or FATAL, 0 where none ran."""
        try:
            while not self._terminating and self.board.status.state is not State.FATAL:
                self._changed.clear()
                await self._turn()
        finally:
            if self._child is not None:
                self._child.signal_group(signal.SIGKILL)
            self._lock.release()
            await self._sink.drained(_LAST_LINES)
        if self.board.status.state is not State.FATAL:
            self.board.update(state=State.STOPPED, pid=0, message="the agent was told to end")
        return self._exit_code

    async def _turn(self) -> None:
        try:
            bundle = self._documents.effective()
        except DocumentError as error:
            if self._wanted():
                await self._back_off(str(error), _DOCUMENT_POLL)
            else:
                await self._stay_stopped()
            return
        document = bundle.document
        self._app_uid = document.node.app_uid
        if not self._wanted():
            await self._stay_stopped()
        elif self._holds(document):
            self.board.update(
                state=State.HELD, pid=0, message="held by the node document; waits for the platform's Start"
            )
            await self._interrupted(_DOCUMENT_POLL)  # a later document may lift it
        elif self._lock_data():
            await self._live(bundle)
        else:
            await self._interrupted(_LOCK_POLL)

    async def _stay_stopped(self) -> None:
        self.board.update(
            state=State.STOPPED, stop_requested=True, pid=0, message="stopped on request; waits for Start"
        )
        await self._changed.wait()

    def _lock_data(self) -> bool:
        try:
            if self._lock.try_acquire():
                return True
            message = f"waits for the data directory, which {self._lock.holder()} still uses"
        except OSError as error:
            message = f"cannot lock the data directory: {error}"
        if self.board.status.message != message:
            _log.warning(message)
        self.board.update(state=State.STARTING, pid=0, message=message)
        return False

    async def _live(self, bundle: Bundle) -> None:
        launch = await self._prepared(bundle)
        if launch is None:
            return
        process = bundle.document.process
        began = time.monotonic()
        self._not_executed = ""
        code = await self._run_child(launch, bundle.document)
        self._exit_code = code
        if not self._wanted():
            _log.info("process stopped, exit code %d", code)
            self.board.update(state=State.STOPPED, pid=0, exit_code=code, message="stopped on request")
            return
        ran = time.monotonic() - began
        self._failures = 1 if ran >= max(self._policy.stable, process.start_seconds) else self._failures + 1
        message = self._not_executed or f"{launch.argv[0]} ended by itself after {ran:.1f} s with exit code {code}"
        _log.error(message)
        self.board.update(state=State.EXITED, pid=0, exit_code=code, message=message)
        if self._failures >= self._policy.attempts:
            self._exit_code = code or 1
            self.board.update(state=State.FATAL, message=f"{message}; {self._failures} times in a row, giving up")
            return
        await self._back_off(message, self._policy.delay(self._failures, self._policy.first_delay))

    async def _prepared(self, bundle: Bundle) -> Launch | None:
        self.board.update(state=State.STARTING, pid=0, message="preparing the start")
        lead, self._lead = self._lead, False
        task = asyncio.ensure_future(prepare(bundle, self._interpreter, lead=lead))
        await self._race(task)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            return None
        try:
            launch = task.result()
        except NotPreparedError as error:
            self._prepare_failures += 1
            _log.warning("not started: %s", error)
            await self._back_off(str(error), self._policy.delay(self._prepare_failures, self._policy.prepare_delay))
            return None
        self._prepare_failures = 0
        return launch if self._wanted() and not self._superseded(bundle, lead) else None

    def _superseded(self, bundle: Bundle, lead: bool) -> bool:
        """Another document took effect during the preparation, which may have waited for peers for a minute.

        Who pushed it was told that no process runs. Nothing is awaited from here until it is known that one does.
        """
        try:
            current = self._documents.effective()
        except DocumentError:
            return True  # the next turn says why
        if current == bundle:
            return False
        _log.info("preparing the start anew: revision %d took effect meanwhile", current.document.revision)
        if not self._changed.is_set() and not self._holds(current.document):
            self._lead = lead  # the word was for a start, and there was none
        return True

    async def _run_child(self, launch: Launch, document: NodeDocument) -> int:
        """The exit code; 127 or 126 where the command cannot be executed, as a shell says it."""
        reading, writing = os.pipe()
        try:
            child = self._reaper.spawn(
                launch.argv,
                env=launch.env,
                directory=launch.directory,
                stdout=writing,
                stderr=writing,
                keep_open=(self._lock.descriptor,),
            )
        except OSError as error:
            os.close(reading)
            self._not_executed = f"cannot start {launch.argv[0]}: {error.strerror or error}"
            return 127 if isinstance(error, FileNotFoundError) else 126
        finally:
            os.close(writing)
        output = self._sink.attach(reading)
        self._child, self._lead = child, False
        _log.info("started %s as process %d", launch.argv[0], child.pid)
        self.board.update(
            state=State.STARTING,
            pid=child.pid,
            starts=self.board.status.starts + 1,
            message=f"started {launch.argv[0]}",
        )
        running = asyncio.get_running_loop().call_later(document.process.start_seconds, self._is_running, child)
        try:
            while not child.exited.done() and self._wanted():
                self._changed.clear()
                await self._race(child.exited)
            running.cancel()
            if not child.exited.done():
                await self._stop_child(child, document)
            return child.exited.result() if child.exited.done() else 128 + signal.SIGKILL
        finally:
            running.cancel()
            output.drain()
            self._child = None

    def _is_running(self, child: Child) -> None:
        if not child.exited.done():
            self.board.update(state=State.RUNNING, message="running")

    async def _stop_child(self, child: Child, document: NodeDocument) -> None:
        stop = document.process.stop
        began = time.monotonic()
        patience = stop.timeout if self._kill_at is None else max(0.0, self._kill_at - began)
        self.board.update(state=State.STOPPING, message=f"sent {stop.signal}, waits at most {patience:.3g} s")
        child.signal_group(_number(document))
        while not child.exited.done():
            self._changed.clear()
            kill_at = began + stop.timeout if self._kill_at is None else self._kill_at
            remaining = kill_at - time.monotonic()
            if remaining <= 0:
                break
            await self._race(child.exited, remaining)
        if not child.exited.done():
            waited = f"{time.monotonic() - began:.1f} s of {stop.signal}"
            _log.warning("process %d did not end within %s: killing its group", child.pid, waited)
            self.board.update(message=f"did not end within {waited}; killed")
            child.signal_group(signal.SIGKILL)
            await asyncio.wait([child.exited], timeout=_KILL_PATIENCE)
        self._kill_at = None

    # Small helpers

    def _revision(self) -> int:
        try:
            return self._documents.effective().document.revision
        except DocumentError:
            return self._released

    def _holds(self, document: NodeDocument) -> bool:
        return document.hold and document.revision > self._released

    def _wanted(self) -> bool:
        return not self._terminating and not self._stop_request.pending(self._app_uid)

    async def _back_off(self, message: str, delay: float) -> None:
        self.board.update(state=State.BACKOFF, pid=0, message=f"{message}; next try in {delay:g} s")
        await self._interrupted(delay)

    async def _interrupted(self, delay: float) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), delay)
        except TimeoutError:
            return

    async def _race(self, other: Awaitable[T], timeout: float | None = None) -> None:
        """Returns when ``other`` is done, something else is wanted or the time is over; cancels nothing."""
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            waited_for = {asyncio.ensure_future(other), changed}
            await asyncio.wait(waited_for, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()


def _number(document: NodeDocument) -> signal.Signals:
    return signal.Signals[f"SIG{document.process.stop.signal}"]
