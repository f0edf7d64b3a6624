"""A machine that stood still is told from one that is slow."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.stalls import EVERY, Stalls

REPOSITORY = Path(__file__).resolve().parents[2]
ASKED = (
    "import sys, time; from tests.support.stalls import in_time, stood_still\n"
    "began = time.monotonic(); print('begun', flush=True); sys.stdin.readline()\n"
    "print(stood_still(began) > 0.9, in_time(began, 0.01))"
)


def test_a_process_that_was_stopped_knows_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ASKED], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)
        process.send_signal(signal.SIGCONT)
        assert process.communicate("go on\n", timeout=60)[0] == "True True\n"


def test_one_that_is_woken_a_little_late_has_no_excuse() -> None:
    stalls = Stalls(0.0)
    for turn in range(1, 50):
        stalls.woken(turn * (EVERY + 0.2))
    assert stalls.longest(0.0, 12.5) == 0


def test_only_what_was_since_then_counts_also_before_anybody_is_woken() -> None:
    stalls = Stalls(0.0)
    stalls.woken(3.0)
    stalls.woken(3.0 + EVERY)
    assert stalls.longest(2.9, 3.1) == 3.0 - EVERY
    assert stalls.longest(3.0, 3.1) == 0
    assert stalls.longest(3.0, 5.0) > 1.8
