"""One process of the engine: its start, its orderly stop, how it ended, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence

from agent.engine.end import End
from agent.engine.lastwords import last_words
from agent.engine.memory import ContainerMemory
from agent.engine.output import LineSink, LineSource
from agent.engine.processes import descendants
from agent.process.preparation import Launch
from agent.process.reaper import Child, Reaper
from agent.process.state import State, StatusBoard
from agent.process.waiting import Wakeup

_log = logging.getLogger(__name__)
KILLED = 128 + signal.SIGKILL
_KILL_AGAIN = 1.0
_SHOWN = 5
"""Processes that are named in a message."""


class NotExecutedError(Exception):
    """The command cannot be executed. ``end`` has 127 or 126 as a shell says it."""

    def __init__(self, end: End) -> None:
        super().__init__(end.sentence())
        self.end = end


class EngineRun:
    """``drain`` when nothing of it is left, then ``end``."""

    def __init__(self, program: str, child: Child, output: LineSource, memory: ContainerMemory) -> None:
        self.child = child
        self._program, self._output, self._memory = program, output, memory
        self._kills = memory.kills()
        self._began = time.monotonic()
        self._ended: float | None = None
        child.exited.add_done_callback(self._has_exited)

    @classmethod
    def start(
        cls, launch: Launch, reaper: Reaper, sink: LineSink, memory: ContainerMemory, keep_open: Sequence[int]
    ) -> EngineRun:
        """Raises NotExecutedError."""
        program = launch.argv[0]
        reading, writing = os.pipe()
        try:
            child = reaper.spawn(
                launch.argv,
                env=launch.env,
                directory=launch.directory,
                stdout=writing,
                stderr=writing,
                keep_open=keep_open,
            )
        except (OSError, ValueError) as error:  # ValueError: a word of it that cannot be passed on, with a NUL in it
            os.close(reading)
            code = 127 if isinstance(error, FileNotFoundError) else 126
            why = (error.strerror if isinstance(error, OSError) else "") or str(error)
            raise NotExecutedError(End(program, code, not_executed=why)) from error
        finally:
            os.close(writing)
        return cls(program, child, sink.attach(reading), memory)

    @property
    def exited(self) -> asyncio.Future[int]:
        return self.child.exited

    @property
    def exit_code(self) -> int:
        """Once it has ended, or was killed and does not end."""
        return self.exited.result() if self.exited.done() else KILLED

    @property
    def seconds(self) -> float:
        """From its start to its end."""
        return (time.monotonic() if self._ended is None else self._ended) - self._began

    def _has_exited(self, _: asyncio.Future[int]) -> None:
        self._ended = time.monotonic()

    async def stop(self, number: int, kill_at: Callable[[], float], wakeup: Wakeup) -> str:
        """Asks it to end. Empty where it has; else a sentence, when its time is over and it must be killed.

        ``kill_at``: by the monotonic clock; may change meanwhile, with a ``wakeup``.
        """
        began = time.monotonic()
        self.child.signal_group(number)
        while not self.exited.done():
            wakeup.clear()
            remaining = kill_at() - time.monotonic()
            if remaining <= 0:
                waited = f"{time.monotonic() - began:.1f} s of {signal.Signals(number).name.removeprefix('SIG')}"
                _log.warning("process %d did not end within %s: killing all of it", self.child.pid, waited)
                return f"did not end within {waited}; killed"
            await wakeup.race(self.exited, remaining)
        return ""

    def drain(self) -> None:
        """Passes on what it left in its pipe."""
        self._output.drain()

    def end(self, mask: Callable[[str], str]) -> End:
        """``mask`` blackens secrets."""
        seconds, code = self.seconds, self.exit_code
        kills = self._memory.kills()
        out_of_memory = code == KILLED and kills.processes > self._kills.processes
        own_limit = out_of_memory and kills.at_limit > self._kills.at_limit
        return End(
            program=self._program,
            exit_code=code,
            seconds=seconds,
            output=last_words(self._output.last_lines(), mask),
            out_of_memory=out_of_memory,
            memory_limit=self._memory.limit() if own_limit else 0,
        )


async def none_left(reaper: Reaper, board: StatusBoard, patience: float, give_up: Callable[[], bool]) -> bool:
    """Kills whatever runs below us, and returns when nothing does. What is left after ``patience`` seconds is told as
    LINGERING; False where somebody is to ``give_up`` then."""
    while not await reaper.end_all(patience):
        left = descendants(os.getpid())
        named = ", ".join(f"{each.pid} ({each.name}, state {each.state})" for each in left[:_SHOWN])
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        message = f"its processes were killed and do not end: {named or 'others are started all the time'}{more}"
        if board.status.message != message:
            _log.error(message)
        board.update(state=State.LINGERING, pid=0, message=message)
        if give_up():
            return False
        patience = _KILL_AGAIN
    return True
