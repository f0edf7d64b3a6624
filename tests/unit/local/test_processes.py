"""Pid files: only the very process that was started is found, signalled and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from deploy.local import processes
from deploy.local.processes import Daemon, Identity, identify, is_alive, read_pid_file, send, stop_together, wait_gone


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def daemon(tmp_path: Path) -> Daemon:
    return Daemon("sleeper", tmp_path / "sleeper.json", tmp_path / "sleeper.log")


def test_a_process_is_found_by_its_pid_file(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    identity = identify(child.pid)
    assert identity is not None
    path = tmp_path / "pid.json"
    path.write_text(json.dumps(asdict(identity)))
    assert read_pid_file(path) == identity


@pytest.mark.parametrize("changed", [{"started": 1}, {"boot": "another boot"}])
def test_a_later_process_of_the_same_id_is_neither_found_nor_signalled(
    tmp_path: Path, child: subprocess.Popen[bytes], changed: dict[str, str | int]
) -> None:
    identity = identify(child.pid)
    assert identity is not None
    earlier = replace(identity, **changed)  # type: ignore[arg-type]
    path = tmp_path / "sleeper.json"
    path.write_text(json.dumps(asdict(earlier)))
    assert read_pid_file(path) is None
    send(earlier, signal.SIGKILL)
    daemon(tmp_path).stop(1)
    assert is_alive(identity)
    assert not path.exists()


def test_a_zombie_counts_as_gone(child: subprocess.Popen[bytes]) -> None:
    identity = identify(child.pid)
    assert identity is not None
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, not yet reaped
    assert not is_alive(identity)


def test_wait_gone_says_when_it_is_not(child: subprocess.Popen[bytes]) -> None:
    identity = identify(child.pid)
    assert identity is not None
    assert not wait_gone(identity, 0)


def test_a_name_with_parentheses_and_blanks_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "7").mkdir()
    fields = ["S", *["0"] * 18, "4711"]
    (tmp_path / "7" / "stat").write_text(f"7 (a ) R 1 (b) {' '.join(fields)}")
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert processes.start_time(7) == 4711


@pytest.mark.parametrize("content", ["", "17", '{"pid": 1}', "not json"])
def test_a_damaged_pid_file_is_stale(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pid.json"
    path.write_text(content)
    assert read_pid_file(path) is None


def test_a_gone_process_has_no_identity() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    assert identify(process.pid) is None
    send(Identity(process.pid, 1, processes.boot_id()), signal.SIGKILL)


def test_last_words_are_the_end_of_the_log(tmp_path: Path) -> None:
    assert "no log" in daemon(tmp_path).last_words()
    (tmp_path / "sleeper.log").write_text("\n".join(f"line {number}" for number in range(1000)))
    words = daemon(tmp_path).last_words(2)
    assert words.startswith("line 998 | line 999")
    assert "sleeper.log" in words


def test_what_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        identity = identify(process.pid)
        assert identity is not None
        stubborn = daemon(tmp_path)
        stubborn.pid_file.write_text(json.dumps(asdict(identity)))
        stop_together({stubborn: 0.1})
        assert not is_alive(identity)
        assert not stubborn.pid_file.exists()
        process.returncode = 0  # reaped by the wait
