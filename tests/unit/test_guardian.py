"""A test run that is killed leaves no engine behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.guardian import MARK
from tests.unit.agent.support import alive

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = """
import pathlib, subprocess, sys, time
from tests.support.guardian import Guardian
guardian = Guardian()
engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(engine.pid))
{ending}
"""


def run_with_engine(path: Path, ending: str) -> tuple[subprocess.Popen[bytes], int]:
    """A run of its own with an engine in a process group of its own; the run and the engine's id."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    words = [sys.executable, "-c", RUN.format(ending=ending), str(path)]
    run = subprocess.Popen(words, cwd=REPOSITORY, env=environment | {"PYTHONPATH": str(REPOSITORY)})
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return run, int(path.read_text())


def ended(pid: int, within: float = 15.0) -> bool:
    deadline = time.monotonic() + within
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_killed_run_leaves_no_engine(tmp_path: Path) -> None:
    run, engine = run_with_engine(tmp_path / "engine", "time.sleep(600)")
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert ended(engine)


def test_a_run_that_ends_and_forgot_an_engine_leaves_none(tmp_path: Path) -> None:
    run, engine = run_with_engine(tmp_path / "engine", "guardian.dismiss()")
    assert run.wait(30) == 0
    assert ended(engine)
