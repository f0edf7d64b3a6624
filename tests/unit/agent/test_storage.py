"""Files that both agents write, each as process 1 of its own container, and what a killed one leaves behind."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from agent.storage import write_atomically
from proto import agent_pb2 as pb
from tests.unit.agent.support import Manager, Node

LONG_AGO = time.time() - 7200


def test_two_agents_that_write_one_file_at_once_both_write_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one begins and ends while the first waits for its disk; their process numbers are the same."""
    path, sync, seen = tmp_path / "redis.conf", os.fsync, []

    def slow(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        write_atomically(path, b"of the other", 0o600)
        seen.append(path.read_bytes())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    write_atomically(path, b"of the first", 0o640)
    assert [*seen, path.read_bytes()] == [b"of the other", b"of the first"]
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["redis.conf"]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "redis.conf"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["redis.conf"]


def _leave(path: Path, at: float = LONG_AGO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half of i")
    os.utime(path, (at, at))
    return path


async def test_what_killed_agents_have_left_half_written_goes_before_the_next_start(
    node: Node, manager: Manager
) -> None:
    conf = node.data / "conf"
    left = [
        _leave(node.data / ".agent" / ".record.json.0123456789abcdef.tmp"),
        _leave(node.data / ".agent" / ".record.json.1.tmp"),
        _leave(node.root / "scripts" / ".agent" / ".lease.json.0123456789abcdef.tmp"),
        _leave(conf / ".engine.conf.fedcba9876543210.tmp"),
    ]
    kept = [
        _leave(node.data / ".agent" / ".record.json.00112233445566ff.tmp", time.time()),  # somebody may be at it
        _leave(conf / ".index.0123456789abcdef.tmp"),  # may be the engine's
        _leave(conf / ".engine.conf.swp"),
    ]
    files = [{"path": "/middleware/conf/engine.conf", "source": "conf", "write": "always", "mode": "0600"}]
    node.mount(node.document(files=files), conf="size 1\n")
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    assert [path.name for path in left if path.exists()] == []
    assert all(path.exists() for path in kept)
