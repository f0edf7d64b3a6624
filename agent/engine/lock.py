"""The lock of the data directory: two engines on one volume destroy it.

A ReplicaSet starts a Pod's successor while the old one still terminates, and ReadWriteOnce binds a volume to a
machine, not to a Pod. The engine inherits the locked descriptor: when PID 1 is killed, the kernel closes its files
before it kills the rest of the container, and the lock must not be free while the engine still writes.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from pathlib import Path

_log = logging.getLogger(__name__)


class DataLock:
    """``path`` is on the volume. The holder writes its name into the file, for the message of whoever waits."""

    def __init__(self, path: Path, pod_name: str, pod_uid: str) -> None:
        self._path = path
        self._holder = {"pod": pod_name, "uid": pod_uid}
        self._descriptor = -1

    @property
    def descriptor(self) -> int:
        """To be inherited by the engine; -1 while not held."""
        return self._descriptor

    def try_acquire(self) -> bool:
        """Never waits. Raises OSError where the volume cannot be written."""
        if self._descriptor >= 0:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor  # at once: one that is locked and lost keeps us out as if we were another Pod
        self._write_holder()
        return True

    def _write_holder(self) -> None:
        """The name is for a message only: a full disk must not keep the engine, which may make room, from its start."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(self._holder).encode(), 0)
        except OSError as error:
            _log.warning("the data directory is locked, but who holds it could not be written into the lock: %s", error)

    def holder(self) -> str:
        """A name for the message: the Pod that wrote itself into the file."""
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            return f"Pod {data['pod']} (uid {data['uid']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another Pod"

    def release(self) -> None:
        """Frees our share; while a process that inherited the descriptor lives, the directory stays locked."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
