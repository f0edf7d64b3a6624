"""The life of the engine's process.

1. What is wanted: nothing (STOPPED after a remembered Stop, HELD by the document) or a running engine.
2. The data directory's lock, for as long as the agent lives.
3. ``prepare``; where it fails, again after 1 s, growing to 10 s, without end: it waits for peers. Where another
   document took effect meanwhile, from 1. on. One that was writable and would begin so again is WAITING until it has
   a lease or somebody's word (``agent.lease.gate``), and is prepared anew meanwhile: there may be a primary by then.
   UNREADABLE, and nothing is touched, where its version may not be given the volume (``agent.engine.data_version``).
4. The version is noted on the volume, then the start. Younger than startSeconds is STARTING, then RUNNING.
5. An end that nobody asked for is EXITED, then BACKOFF with a growing delay; after too many in a row CRASH_LOOP, with
   delays of up to 30 s. Another document or secret may be the cure: the next try then comes at once.
6. A stop: the plugin's signal to the group, its time-out or the caller's, KILL to all that runs below us. SIGTERM to
   the agent is a stop, then exit.
7. After each end, and after each preparation, nothing may be left of it in whichever session before anything else is
   said or done; what cannot be killed is LINGERING. So nobody is told of an end while a process may still write, and no
   engine starts beside one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import time

from agent.document import NodeDocument
from agent.documents import Bundle, DocumentError, DocumentStore
from agent.engine.data_version import DataVersion, UnreadableDataError
from agent.engine.end import End
from agent.engine.lock import DataLock
from agent.engine.memory import ContainerMemory
from agent.engine.output import LineSink
from agent.lease.gate import NO_WORD, POLL, POLLS, WAITS, Word, may_begin
from agent.process.preparation import Launch, NotPreparedError, prepare
from agent.process.reaper import Reaper
from agent.process.run import EngineRun, NotExecutedError, none_left
from agent.process.state import LingeringError, State, StatusBoard
from agent.process.waiting import RestartPolicy
from agent.process.wanted import Wanted
from agent.tooling.interpreter import Interpreter

_log = logging.getLogger(__name__)

_LOCK_POLL = 0.2
_DOCUMENT_POLL = 1.0
_LAST_LINES = 1.0
"""Seconds that the container runtime may take to read the engine's last lines."""

Cause = tuple[Bundle, str]
"""What a try goes by: the document with its files, and the version of the secrets."""


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
        self._wanted = Wanted(documents, interpreter.settings.state_dir)
        self._commands = asyncio.Lock()
        self._memory = ContainerMemory()
        self.data_version = DataVersion(interpreter.settings.state_dir, interpreter.settings.engine_version)
        self._engine: EngineRun | None = None
        self._prepare_failures = 0
        self._exit_code = 0

    # What others ask for

    async def start(self, word: Word = NO_WORD) -> None:
        """Returns when this try is no longer STARTING; at once where the engine runs. Raises LingeringError."""
        async with self._commands:
            await self._want_running(word)
        await self._settled()

    async def stop(self, patience: float | None = None) -> None:
        """Returns when no process is left. Remembered on the volume: no automatic start until ``start``. Raises
        LingeringError.

        ``patience`` replaces the plugin's time-out, also that of a stop which is under way: who fences a lost primary
        must not wait for one that hangs in an orderly stop.
        """
        if patience is not None:
            self._wanted.hurry(patience)
        async with self._commands:
            await self._stop()

    async def restart(self) -> None:
        """A stop and a start, as one command. Raises LingeringError.

        The stop is not remembered: should the agent end within, the next one is to start the engine."""
        async with self._commands:
            try:
                await self._stop(remembered=False)
            finally:
                await self._want_running()
        await self._settled()

    def signal(self, number: int) -> bool:
        """To the process's group; False where none runs."""
        return self._engine is not None and self._engine.child.signal_group(number)

    def reload(self, number: int) -> bool:
        """A signal to the process alone; False where none runs."""
        return self._engine is not None and self._engine.child.signal(number)

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
        if not self._wanted.terminating:
            _log.info("told to end: stopping the process")
        self._wanted.end()

    async def _settled(self) -> None:
        unsettled = (State.STARTING, State.STOPPED, State.HELD, State.STOPPING, State.WAITING)
        status = await self.board.wait_until(lambda s: s.state not in unsettled or s.stop_requested)
        if status.state is State.LINGERING:
            raise LingeringError(status.message)

    async def _stop(self, *, remembered: bool = True) -> None:
        self._wanted.stand()
        self.board.update(stop_requested=True)
        self._wanted.wakeup.set()
        stands = self.board.wait_until(lambda s: s.state in (State.STOPPED, State.LINGERING))
        if remembered:
            # Beside the stop and not before it: a full or hanging disk must not keep a primary from being fenced.
            stopped, _ = await asyncio.gather(stands, self._wanted.save())
        else:
            stopped = await stands
        if stopped.state is State.LINGERING:
            raise LingeringError(stopped.message)

    async def _want_running(self, word: Word = NO_WORD) -> None:
        await self._wanted.run()
        self._begin_anew()
        self.board.update(stop_requested=False)
        if self.board.status.state in (State.BACKOFF, State.CRASH_LOOP):
            # Else the answer would be what became of the last try, and not of this one.
            self.board.update(state=State.STARTING, message=self.board.status.again("preparing the start"))
        # Together with the event: a preparation that is under way is begun anew, and that one is to have it.
        self._wanted.word = word if self._engine is None else NO_WORD
        self._wanted.wakeup.set()

    # The life

    async def run(self) -> int:
        """The agent's exit code: the engine's own, 0 where none ran."""
        try:
            while not self._wanted.terminating:
                self._wanted.wakeup.clear()
                await self._turn()
        finally:
            ended = await self._reaper.end_all(_LAST_LINES)
            self._lock.release()
            await self._sink.drained(_LAST_LINES)
        if ended:
            self.board.update(state=State.STOPPED, pid=0, message="the agent was told to end")
        return self._exit_code

    async def _turn(self) -> None:
        try:
            bundle = self._documents.effective()
        except DocumentError as error:
            if self._wanted.runs:
                await self._back_off(str(error), _DOCUMENT_POLL)
            else:
                await self._stay_stopped()
            return
        document = bundle.document
        self._wanted.app_uid = document.node.app_uid
        if not self._wanted.runs:
            await self._stay_stopped()
        elif self._wanted.holds(document):
            self.board.update(
                state=State.HELD, pid=0, message="held by the node document; waits for the platform's Start"
            )
            await self._wanted.wakeup.pause(_DOCUMENT_POLL)  # a later document may lift it
        elif self._lock_data():
            await self._live(bundle)
        else:
            await self._wanted.wakeup.pause(_LOCK_POLL)

    async def _stay_stopped(self) -> None:
        self.board.update(
            state=State.STOPPED, stop_requested=True, pid=0, message="stopped on request; waits for Start"
        )
        await self._wanted.wakeup.wait()

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
        cause = bundle, self._interpreter.secrets.version()
        launch = await self._prepared(bundle, cause)
        if launch is None:
            return
        end = await self._run_engine(launch, bundle.document)
        if end is None:
            return
        self._exit_code = end.exit_code
        if not self._wanted.runs:
            _log.info("process stopped, exit code %d", end.exit_code)
            self.board.update(state=State.STOPPED, pid=0, exit_code=end.exit_code, message="stopped on request")
            return
        failures = self.board.status.failures + 1
        _log.error(end.sentence())
        self.board.update(
            state=State.EXITED,
            pid=0,
            exit_code=end.exit_code,
            failures=failures,
            keeps_ending=failures >= self._policy.attempts,
            last_end=end,
            message=end.sentence(),
        )
        state = State.CRASH_LOOP if self.board.status.keeps_ending else State.BACKOFF
        await self._back_off(self.board.status.trouble, self._policy.after_end(failures), state, cause)

    async def _prepared(self, bundle: Bundle, cause: Cause) -> Launch | None:
        if self.board.status.state is not State.WAITING:
            self.board.update(state=State.STARTING, pid=0, message=self.board.status.again("preparing the start"))
        word, self._wanted.word = self._wanted.word, NO_WORD
        if not await self._none_left():
            return None
        if self.board.status.state is State.LINGERING:
            self.board.update(state=State.STARTING, message="preparing the start")
        task = asyncio.ensure_future(prepare(bundle, self._interpreter, self.data_version, lead=word.lead))
        await self._wanted.wakeup.race(task)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not await self._none_left() or task.cancelled():
            return None
        try:
            launch = task.result()
        except UnreadableDataError as error:
            await self._unreadable(error, cause)
            return None
        except NotPreparedError as error:
            await self._not_prepared(str(error), cause)
            return None
        except Exception as error:  # nobody has thought of it: a reason for another try, and not to end the agent
            why = self._interpreter.secrets.mask(f"preparing the start: {type(error).__name__}: {error}")
            await self._not_prepared(why, cause)
            return None
        if launch.asks and not (word.lead or word.permit) and not await self._has_lease(bundle.document):
            return None
        if why := await asyncio.to_thread(self.data_version.note, bundle.document):
            await self._not_prepared(why, cause)
            return None
        self._prepare_failures = 0
        return launch if self._wanted.runs and not self._superseded(bundle, word) else None

    async def _not_prepared(self, why: str, cause: Cause) -> None:
        self._prepare_failures += 1
        _log.warning("not started: %s", why)
        await self._back_off(why, self._policy.after_preparation(self._prepare_failures), State.BACKOFF, cause)

    async def _unreadable(self, error: UnreadableDataError, cause: Cause) -> None:
        """Until it is stopped, or another document may say that it may: the plugin was moved, say. Nobody else can: the
        volume of a Pod, and its image, stay what they are."""
        _log.error("not started: %s", error)
        self.board.update(state=State.UNREADABLE, pid=0, message=str(error))
        await self._wanted.wakeup.pause_unless(math.inf, lambda: self._differs(cause))

    async def _has_lease(self, document: NodeDocument) -> bool:
        """Waits for it a little; False also where something else is wanted meanwhile."""
        for _ in range(POLLS):
            if may_begin(self._interpreter.settings, document):
                return True
            self.board.update(state=State.WAITING, pid=0, message=WAITS)
            await self._wanted.wakeup.pause(POLL)
            if self._wanted.wakeup.is_set():
                break
        return False

    def _superseded(self, bundle: Bundle, word: Word) -> bool:
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
        if not self._wanted.wakeup.is_set() and not self._wanted.holds(current.document):
            self._wanted.word = word  # it was for a start, and there was none
        return True

    async def _run_engine(self, launch: Launch, document: NodeDocument) -> End | None:
        """When nothing of it is left. None where something is, and the agent is to end."""
        program = launch.argv[0]
        try:
            run = EngineRun.start(launch, self._reaper, self._sink, self._memory, (self._lock.descriptor,))
        except NotExecutedError as error:
            return error.end
        self._engine, self._wanted.word = run, NO_WORD
        _log.info("started %s as process %d", program, run.child.pid)
        self.board.update(
            state=State.STARTING,
            pid=run.child.pid,
            starts=self.board.status.starts + 1,
            message=self.board.status.again(f"started {program}"),
        )
        started, stable = document.process.start_seconds, max(self._policy.stable, document.process.start_seconds)
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(started, self._is_running, run), loop.call_later(stable, self._is_stable, run)]
        try:
            while not run.exited.done() and self._wanted.runs:
                self._wanted.wakeup.clear()
                await self._wanted.wakeup.race(run.exited)
            for timer in timers:
                timer.cancel()
            if not run.exited.done():
                await self._stop_engine(run, document)
            if not await self._none_left():
                self._exit_code = run.exit_code
                return None
            run.drain()
            return run.end(self._interpreter.secrets.mask)
        finally:
            for timer in timers:
                timer.cancel()
            run.drain()
            self._engine = None

    def _is_running(self, run: EngineRun) -> None:
        if not run.exited.done():
            self.board.update(state=State.RUNNING, message=self.board.status.again("running"))

    def _is_stable(self, run: EngineRun) -> None:
        if not run.exited.done():
            self._begin_anew()
            self.board.update(message="running")

    async def _stop_engine(self, run: EngineRun, document: NodeDocument) -> None:
        stop, began = document.process.stop, time.monotonic()

        def kill_at() -> float:
            return began + stop.timeout if self._wanted.kill_at is None else self._wanted.kill_at

        patience = max(0.0, kill_at() - began)
        self.board.update(state=State.STOPPING, message=f"sent {stop.signal}, waits at most {patience:.3g} s")
        overdue = await run.stop(_number(document), kill_at, self._wanted.wakeup)
        self._wanted.kill_at = None
        if overdue:
            self.board.update(message=overdue)

    async def _none_left(self) -> bool:
        """False where something is, and the agent is to end."""
        return await none_left(self._reaper, self.board, self._policy.kill_patience, lambda: self._wanted.terminating)

    # Small helpers

    def _begin_anew(self) -> None:
        """What failed before says nothing any more."""
        self._prepare_failures = 0
        self.board.update(failures=0, keeps_ending=False)

    async def _back_off(
        self, message: str, delay: float, state: State = State.BACKOFF, cause: Cause | None = None
    ) -> None:
        """Less where ``cause``, of what has failed, is another by now."""
        self.board.update(state=state, pid=0, message=f"{message}; next try in {delay:g} s")
        if await self._wanted.wakeup.pause_unless(delay, lambda: cause is not None and self._differs(cause)):
            _log.info("its document or a secret has changed: the next try is due")
            self._begin_anew()

    def _differs(self, cause: Cause) -> bool:
        try:
            return (self._documents.effective(), self._interpreter.secrets.version()) != cause
        except DocumentError:
            return False  # the next turn says why


def _number(document: NodeDocument) -> signal.Signals:
    return signal.Signals[f"SIG{document.process.stop.signal}"]
