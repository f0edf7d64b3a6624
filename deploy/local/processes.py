"""Daemons: start a program so that it outlives us, find it again, stop it, and never touch another's process.

A process is known by its id and its start time: an id alone is given to someone else after a while, and a reboot
starts the count anew (the boot id guards against an equal start time after one).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local.errors import LocalError

LOG_LIMIT = 64 * 1024 * 1024  # bytes; a larger log is set aside when its component next starts
PROC = Path("/proc")


@dataclass(frozen=True)
class Identity:
    """One process, and no later one of the same id. `started` is in clock ticks since boot (proc(5), field 22)."""

    pid: int
    started: int
    boot: str


def boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """When the process started, or None where it is gone or a zombie (which only waits to be reaped)."""
    try:
        # The command's name, in parentheses, may itself hold blanks and parentheses: fields count from the last one.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def identify(pid: int) -> Identity | None:
    started = start_time(pid)
    return None if started is None else Identity(pid, started, boot_id())


def is_alive(identity: Identity) -> bool:
    return identity.boot == boot_id() and start_time(identity.pid) == identity.started


def read_pid_file(path: Path) -> Identity | None:
    """The living process that a pid file names; None where it is stale, damaged or absent."""
    try:
        identity = Identity(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return identity if is_alive(identity) else None


def send(identity: Identity, number: signal.Signals) -> None:
    """Signal this process and no other: the pidfd is opened first and the start time compared after, so that the id
    cannot be given away in between."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(identity):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def wait_gone(identity: Identity, seconds: float) -> bool:
    """True once the process is gone; False when it still lives after that many seconds."""
    deadline = time.monotonic() + seconds
    while is_alive(identity):
        if time.monotonic() > deadline:
            return False
        with contextlib.suppress(ChildProcessError):  # where we are its parent, it stays a zombie until waited for
            os.waitpid(identity.pid, os.WNOHANG)
        time.sleep(0.02)
    return True


@dataclass(frozen=True)
class Daemon:
    """One supervised program: its pid file, its log, and how it is started."""

    name: str
    pid_file: Path
    log: Path

    def find(self) -> Identity | None:
        return read_pid_file(self.pid_file)

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        network_namespace: Path,
        cgroups: Sequence[Path],
    ) -> Identity:
        """Start the program in the network namespace and in the cgroups, unless it runs already."""
        running = self.find()
        if running:
            return running
        self._rotate()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # nsenter replaces itself by the program, so its pid is the program's. Not `ip netns exec`: that mounts
            # a new /sys, under which no cgroup file system lies.
            process = subprocess.Popen(
                ["nsenter", f"--net={network_namespace}", "--", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(environment),
                cwd="/", start_new_session=True, umask=0o022,
            )  # fmt: skip
        for group in cgroups:
            (group / "cgroup.procs").write_text(str(process.pid))
        identity = identify(process.pid)
        if identity is None:
            raise LocalError(f"{self.name} ended at once: {self.last_words()}")
        temporary = self.pid_file.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(identity)))
        temporary.replace(self.pid_file)
        # The child is meant to outlive us; without this the interpreter warns of it at exit.
        process.returncode = 0
        return identity

    def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL after that many seconds."""
        stop_together({self: seconds})

    def kill(self) -> None:
        """SIGKILL at once, as a fault would."""
        identity = self.find()
        if identity:
            send(identity, signal.SIGKILL)
            wait_gone(identity, 10)
        self.pid_file.unlink(missing_ok=True)

    def last_words(self, lines: int = 5) -> str:
        """The end of the log, for an error message."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 8192))
                tail = log.read().decode(errors="replace").strip().splitlines()[-lines:]
        except FileNotFoundError:
            return "it left no log"
        return " | ".join(tail) + f" (more in {self.log})"

    def _rotate(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))


def stop_together(graces: Mapping[Daemon, float]) -> None:
    """SIGTERM to all of them at once, and SIGKILL to each that still lives after its seconds."""
    started = time.monotonic()
    running = {daemon: daemon.find() for daemon in graces}
    for identity in running.values():
        if identity:
            send(identity, signal.SIGTERM)
    for daemon, identity in running.items():
        if identity and not wait_gone(identity, max(0, started + graces[daemon] - time.monotonic())):
            send(identity, signal.SIGKILL)
            wait_gone(identity, 10)
        daemon.pid_file.unlink(missing_ok=True)
