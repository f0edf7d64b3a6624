"""The lock of the data directory on a disk that is full; two agents on one volume are in test_process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.engine.lock import DataLock


@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_a_full_disk_keeps_no_engine_from_its_own_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The holder's name is for a message; a descriptor that is locked and lost would never be free again."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    lock, other = (DataLock(tmp_path / "lock", name, f"uid-of-{name}") for name in ("pod-0", "pod-1"))
    with monkeypatch.context() as disk:
        disk.setattr(os, call, full)
        assert lock.try_acquire()
    assert lock.try_acquire()
    assert lock.descriptor >= 0, "the engine inherits it"
    assert not other.try_acquire()
    assert other.holder() == "another Pod"
    lock.release()
    assert other.try_acquire()
    assert other.holder() == "Pod pod-1 (uid uid-of-pod-1)"
    other.release()
