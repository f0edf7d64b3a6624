"""What a node's volume remembers of its engine: from it is decided whose data is the newest, and who begins as primary
where nobody runs. So it says no more of its data than what the engine would load after its death.

1. What the engine has not saved (``ready`` gives ``unsaved``) leaves all as it was, its role too.
2. A process that has just started is about to copy, maybe, and so is one that has just become a replica. Its position
   stays until it was ready and had saved.
3. So does one found while it is not ready, until the next look: it may have copied since ``ready`` was asked.
4. When it was writable last is no word on its data: by that it is known since when others may lack something.
5. Of an engine that keeps nothing on its volume as it goes (``ready`` gives ``volatile``) a replica would come back
   with less at any moment: it remembers no position. A primary does, so that it is known to have had data.
6. It is written on change and every 5 s, at most once per second, and a new role at once.
"""

from __future__ import annotations

import logging
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path

from agent.record import Record, read_record, write_record

_log = logging.getLogger(__name__)
_AFTER_CHANGE_MS = 1000
_EVERY_MS = 5000


class Memory:
    """``newest``: of the engine that runs, also what is not on the volume yet; None where none has run on it."""

    def __init__(self, state_dir: Path, disk: Executor) -> None:
        self._state_dir = state_dir
        self._disk = disk
        self.newest: Record | None = read_record(state_dir)
        self._kept = self._written = self.newest
        self._settled = False
        self._written_at = 0
        self._writing: Future[None] | None = None

    def of(self, app_uid: str) -> Record | None:
        """``newest``, but for an earlier App's."""
        return self.newest if self.newest is not None and self.newest.app_uid == app_uid else None

    def process_began(self) -> None:
        """It has what was saved."""
        self.newest, self._settled = self._kept, False

    def saw(self, found: Record, *, writable: bool, ready: bool, unsaved: bool, volatile: bool = False) -> None:
        """``ready``: as the engine's own tool says. ``found.last_seen`` is now."""
        last = self.of(found.app_uid)
        same = last is not None and last.role == found.role
        self._settled = not unsaved and (ready or (self._settled and (same or writable)))
        if unsaved or not (writable or self._settled):
            self._kept = self._as_before(found, writable=writable)
        elif volatile and not writable:
            self._kept = replace(found, position="", last_ready=0)
        elif writable or ready:
            self._kept = found
        else:
            self._kept = replace(found, position=last.position if last is not None else "")
        self.newest = found
        self._save(found.last_seen)

    def _as_before(self, found: Record, *, writable: bool) -> Record:
        """As if it had been seen last when it was in sync. Of one that has become a replica nothing counts: its data
        may be set aside. One that has become primary is remembered as such when it has saved what makes it one."""
        before = self._kept
        if before is not None and before.app_uid == found.app_uid and (writable or before.role == found.role):
            return replace(before, last_seen=before.last_ready, last_writable=found.last_writable)
        return replace(found, position="", last_seen=0, last_ready=0)

    def _save(self, now: int) -> None:
        kept, written = self._kept, self._written
        if kept is None:
            return
        changed = written is None or _what_matters(written) != _what_matters(kept)
        age = now - self._written_at
        # A new role is written at once: a crash right after a promotion must find it on the disk.
        urgent = written is None or (written.app_uid, written.role) != (kept.app_uid, kept.role)
        if not (urgent or (changed and age >= _AFTER_CHANGE_MS) or age >= _EVERY_MS or age < 0):
            return
        if self._writing is None or self._writing.done():
            # Nobody waits for it: the role must be told while the disk hangs.
            self._writing = self._disk.submit(self._write, kept, now)

    def _write(self, record: Record, now: int) -> None:
        try:
            write_record(self._state_dir, record)
        except OSError as error:
            _log.warning("the record of role and position cannot be written: %s", error)
        else:
            self._written = record
        self._written_at = now


def _what_matters(record: Record) -> tuple[str, str, int, str, bool]:
    return record.app_uid, record.role, record.epoch, record.position, record.last_ready == record.last_seen
