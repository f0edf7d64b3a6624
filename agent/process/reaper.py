"""Spawns children and collects everything that dies: the one place of an agent that calls ``wait``.

PID 1 inherits every orphan of its container and must reap it, but a blind ``waitpid(-1)`` beside asyncio's child
watchers takes the exit code of a child that somebody else waits for. So all children are spawned here, SIGCHLD drives
one loop, and whoever wants an exit code awaits the child's future. Everything runs on the event loop's thread:
between ``fork`` and the entry in the table no signal handler can run.

A child may take a session and a group of its own, as the processes of most databases do; a signal to the engine's group
does not reach it. So an end is an end of every descendant (``end_all``), in whichever group, and also of those that
are stopped or have lost their parents: the kernel gives each of these to us. None is left when we have no child: every
descendant has one of ours above it, and a child that loses its parent becomes ours in one step with that.

Adoption of a living engine after the agent's own end cannot arise: the kernel kills a container's processes with its
PID 1, and outside a container the engine holds the inherited lock of its data directory (``lock``), so a second agent
waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.engine.processes import Process, descendants

_log = logging.getLogger(__name__)
_PR_SET_CHILD_SUBREAPER = 36
_AGENTS_OWN = ("MW_",)
"""Prefixes of environment variables that concern the agent only."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.1
"""Seconds between two rounds of killing: a killed process is gone within milliseconds, or waits for a disk."""
_ONE_BY_ONE = 0.3
"""Seconds in which each process is killed by its number. Where they are started faster than they are found, all are
then killed at once."""


@dataclass
class Child:
    """A process that leads its own session and group. ``exited`` gives the exit code, 128+N for signal N."""

    pid: int
    exited: asyncio.Future[int]
    _process: subprocess.Popen[bytes] = field(repr=False)

    def signal_group(self, number: int) -> bool:
        """False where the group is gone. Never signals after the child was reaped: its number may belong to another."""
        if self.exited.done():
            return False
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def signal(self, number: int) -> bool:
        """To the process alone; False where it is gone."""
        if self.exited.done():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """With all that descends from it, in whichever session; what has lost its parent before is not found here."""
        if not self.exited.done():
            below = descendants(self.pid)
            self.signal_group(signal.SIGKILL)
            for process in below:
                kill(process)

    def ended(self, code: int) -> None:
        """Called by the reaper."""
        self._process.returncode = code  # Popen would call waitpid itself and warn
        if not self.exited.done():
            self.exited.set_result(code)


class Reaper:
    """One per agent; ``start`` must have run on the event loop before ``spawn``."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}

    def start(self) -> None:
        """Takes SIGCHLD. A process other than PID 1 asks for its descendants' orphans, as in a container."""
        if os.getpid() != 1:
            _become_subreaper()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        directory: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        stderr: int | None = None,
        keep_open: Sequence[int] = (),
    ) -> Child:
        """Raises OSError where the program cannot be executed. When it ends, the rest of its group is killed."""
        process = subprocess.Popen(
            list(argv),
            env={name: value for name, value in env.items() if not name.startswith(_AGENTS_OWN)},
            cwd=directory,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(keep_open),
            start_new_session=True,
        )
        child = Child(process.pid, asyncio.get_running_loop().create_future(), process)
        self._children[process.pid] = child
        return child

    def childless(self) -> bool:
        """Whether no descendant is left; a dead one is collected first."""
        self.reap()
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return False

    async def end_all(self, patience: float) -> bool:
        """Kills every descendant until none is left; False where some are after ``patience`` seconds.

        For agent 1, which runs one thing after another: whatever runs below it now is what something before has left.
        """
        began, pause, killed = time.monotonic(), _FIRST_PAUSE, set[int]()
        while not self.childless():
            spent = time.monotonic() - began
            if spent >= patience:
                return False
            found = descendants(os.getpid())
            for process in found:
                kill(process)
            numbers = {process.pid for process in found}
            # None found may be one that was just collected: all at once takes a person's exec session along.
            hidden = not numbers and not self.childless()
            if spent >= _ONE_BY_ONE and (hidden or not numbers <= killed):
                _kill_at_once()
            killed |= numbers
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True

    def reap(self) -> None:
        """Collects every dead child, known or inherited."""
        while True:
            try:
                # WNOWAIT: the zombie keeps its number, so the group that is killed next is still its own.
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            child = self._children.pop(found.si_pid, None)
            if child is not None:
                child.signal_group(signal.SIGKILL)
            _, status = os.waitpid(found.si_pid, 0)
            if child is not None:
                code = os.waitstatus_to_exitcode(status)
                child.ended(code if code >= 0 else 128 - code)
            else:
                _log.debug("reaped orphan %d", found.si_pid)


def kill(process: Process) -> None:
    """One that was seen a moment ago: numbers are given away again only after thousands of others."""
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError:
        _log.warning("process %d (%s) runs as another user and cannot be killed", process.pid, process.name)


def _kill_at_once() -> None:
    """In one step for the kernel, so no start of another process escapes it. Not at first: it also ends what
    ``kubectl exec`` has started in the container."""
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)


def _become_subreaper() -> None:
    import ctypes  # 1 MiB that PID 1 does not need

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
