"""What a new agent 2 must know of the lease that the one before it kept, and agent 1 before it starts an engine.

Two places. In the Pod's own directory: when the lease was last renewed, at most once a second and without waiting for a
disk; a new agent in the same Pod goes on with that, and a new Pod begins without a lease. On the volume, like what is
due to be undone: that the engine was fenced, so that also a new Pod does not take writes before somebody renews the
lease.

Neither is waited for: a node with a hanging disk is just the one that must be fenced in time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.decoding import DecodingError, decode
from agent.settings import Settings
from agent.storage import remove, write_atomically

_log = logging.getLogger(__name__)
T = TypeVar("T")
NOTE = "lease.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NOTED_EVERY = 1.0


@dataclass(frozen=True)
class Remembered:
    """``since``: of the last renewal, by CLOCK_BOOTTIME; -inf where it was in another life of the machine."""

    since: float
    fenced: bool
    app_uid: str


@dataclass(frozen=True)
class _Note:
    boot: str
    since: float | None
    fenced: bool
    app_uid: str


@dataclass(frozen=True)
class _Mark:
    app_uid: str


class LeaseMemory:
    """``keep`` and ``forget`` return at once; the last one is what is on the disk in the end."""

    def __init__(self, settings: Settings) -> None:
        self._boot = _boot()
        self._note = settings.run_dir / NOTE
        self._mark = settings.state_dir / "fenced.json"
        self._writing_note = _Newest(self._note, _write_quickly, lambda path: path.unlink(missing_ok=True))
        self._writing_mark = _Newest(self._mark, write_atomically, remove)
        self._noted: Remembered | None = None

    def read(self) -> Remembered | None:
        """None where nothing is known. For a thread."""
        note, mark = _read(_Note, self._note), _read(_Mark, self._mark)
        if note is not None:
            since = note.since if note.since is not None and note.boot == self._boot else -math.inf
            return Remembered(since, note.fenced or mark is not None, note.app_uid)
        return None if mark is None else Remembered(-math.inf, True, mark.app_uid)

    def keep(self, known: Remembered) -> None:
        """A renewal shortly after the one that was written is not worth a write."""
        noted = self._noted
        if noted is not None and noted.fenced == known.fenced and known.since - noted.since < _NOTED_EVERY:
            return
        self._noted = known
        since = known.since if math.isfinite(known.since) else None
        note = {"boot": self._boot, "since": since, "fenced": known.fenced, "appUid": known.app_uid}
        self._writing_note.put(json.dumps(note).encode())
        self._writing_mark.put(json.dumps({"appUid": known.app_uid}).encode() if known.fenced else None)

    def forget(self) -> None:
        """There is no lease, or no writable role."""
        self._noted = None
        self._writing_note.put(None)
        self._writing_mark.put(None)


def is_held(settings: Settings, app_uid: str, seconds: float, now: float) -> bool:
    """By the note in this Pod, which may be a second older than the lease: never by more than what agent 2 knows."""
    note = _read(_Note, settings.run_dir / NOTE)
    if note is None or note.since is None or note.app_uid != app_uid or note.boot != _boot():
        return False
    return now < note.since + seconds


class _Newest:
    """One write at a time, each with the newest content; None removes the file."""

    def __init__(self, path: Path, write: Callable[[Path, bytes], None], delete: Callable[[Path], None]) -> None:
        self._path = path
        self._write = write
        self._delete = delete
        self._content: bytes | None = None
        self._stale = True
        self._task: asyncio.Task[None] | None = None

    def put(self, content: bytes | None) -> None:
        if content == self._content and not self._stale:
            return
        self._content, self._stale = content, True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while self._stale:
            content, self._stale = self._content, False
            try:
                await asyncio.to_thread(self._store, content)
            except OSError as error:
                _log.error("what the next agent 2 has to know of the lease cannot be written: %s", error)

    def _store(self, content: bytes | None) -> None:
        if content is None:
            self._delete(self._path)
        else:
            self._write(self._path, content)


def _boot() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


def _write_quickly(path: Path, content: bytes) -> None:
    """A crash of the machine may cost it: then it counts for nothing anyway."""
    write_atomically(path, content, durable=False)


def _read(kind: type[T], path: Path) -> T | None:
    try:
        return decode(kind, json.loads(path.read_text(encoding="utf-8")), path.name)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, DecodingError) as error:
        _log.error("what is known of the lease cannot be read: %s", error)
        return None
