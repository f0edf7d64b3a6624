"""A process beside each test run that ends what the run leaves behind, also when the run is killed.

Tests start real agents, and those start real engines in process groups of their own. A run that is killed runs no
fixture's end, and six redis-servers once lived on. So the run marks its environment, every process below it inherits
the mark, and the guardian holds one end of a pipe whose other end the run holds: when the run is gone, however it
ended, the guardian kills whatever still carries the mark. The embedded cluster's daemons are started with an
environment of their own and do not carry it: ``Instance.down`` ends them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

MARK = "MW_TEST_RUN"
GRACE = 1.0
"""Seconds in which the workers of a run that was killed notice it by themselves."""


class Guardian:
    """Started once by the run's first process; its workers inherit the mark and need none of their own."""

    def __init__(self) -> None:
        os.environ[MARK] = uuid.uuid4().hex
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__, os.environ[MARK]],
            stdin=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a signal to the run's process group is not for the guardian
        )

    def dismiss(self) -> None:
        """At the run's end: it looks once more and ends."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=30)
        del os.environ[MARK]


def marked(mark: str) -> list[int]:
    """Ids of the processes whose environment carries the mark."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # it has ended, or is not ours to read
            continue
        if wanted in environment.split(b"\0"):
            found.append(int(entry.name))
    return found


def end_all(mark: str, run: int) -> None:
    """Kills what carries the mark until nothing does; ``run`` is the run's first process, which may still be ending."""
    deadline = time.monotonic() + 20
    while (left := [pid for pid in marked(mark) if pid != run]) and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def main() -> None:
    run = os.getppid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    if os.getppid() != run:  # it was killed: its workers may be about to end by themselves
        time.sleep(GRACE)
    end_all(sys.argv[1], run)


if __name__ == "__main__":
    main()
