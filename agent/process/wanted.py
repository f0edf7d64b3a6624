"""What others want of the engine: that it runs, and by which word it may begin, or that it stands.

Said by commands, at any moment; the supervisor reads it whenever it is woken. A Stop is remembered on the volume.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from agent.document import NodeDocument
from agent.documents import DocumentError, DocumentStore
from agent.lease.gate import NO_WORD, Word
from agent.process.waiting import Wakeup
from agent.storage import remove, write_atomically

_log = logging.getLogger(__name__)


class StopRequest:
    """A Stop asked for over gRPC, remembered on the volume: a fenced engine stays down when its container restarts.
    Belongs to one App: a volume that a later App takes over does not inherit it."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "stopped"
        self._app_uid: str | None = None
        self._read = False

    def set(self, app_uid: str | None) -> None:
        """Takes effect in this agent; None is a Start. ``save`` makes it durable."""
        self._app_uid, self._read = app_uid, True

    def save(self) -> None:
        """Durable when it returns; may take as long as the disk does, so not for the event loop. Raises OSError."""
        if self._app_uid is None:
            remove(self._path)
        else:
            write_atomically(self._path, self._app_uid.encode())

    def pending(self, app_uid: str) -> bool:
        """A Stop of this App (or one taken while the App was not known) waits for its Start."""
        if not self._read:
            try:
                self._app_uid = self._path.read_text(encoding="utf-8")
            except FileNotFoundError:
                self._app_uid = None
            self._read = True
        return self._app_uid is not None and self._app_uid in ("", app_uid)


class Wanted:
    """``wakeup`` is set whenever it is something else. ``word``: of a Start, for the next preparation. ``kill_at``:
    when whoever asked for the stop wants no more patience, by the monotonic clock. ``app_uid``: as the document says
    that the supervisor goes by."""

    def __init__(self, documents: DocumentStore, state_dir: Path) -> None:
        self.wakeup = Wakeup()
        self.word: Word = NO_WORD
        self.kill_at: float | None = None
        self.app_uid = ""
        self.terminating = False
        self._documents = documents
        self._stop_request = StopRequest(state_dir)
        self._released = 0
        """Up to this revision of the document a hold is lifted. A later one holds the next start again: the node has
        been replaced as primary."""

    @property
    def runs(self) -> bool:
        return not self.terminating and not self._stop_request.pending(self.app_uid)

    def holds(self, document: NodeDocument) -> bool:
        return document.hold and document.revision > self._released

    def hurry(self, patience: float) -> None:
        """A stop, also one that is under way, is to take no longer than that."""
        kill_at = time.monotonic() + patience
        self.kill_at = kill_at if self.kill_at is None else min(self.kill_at, kill_at)
        self.wakeup.set()

    def stand(self) -> None:
        """In effect when it returns; ``save`` makes it durable."""
        self.word = NO_WORD
        self._stop_request.set(self.app_uid)

    async def run(self) -> None:
        """Not in effect before the supervisor is woken, which is the caller's."""
        self._stop_request.set(None)
        self.kill_at = None
        await self.save()
        self._released = self._revision()

    def end(self) -> None:
        self.terminating = True
        self.wakeup.set()

    async def save(self) -> None:
        try:
            await asyncio.to_thread(self._stop_request.save)
        except OSError as error:
            _log.error("carried out, but the next container will not know of it: %s", error)

    def _revision(self) -> int:
        try:
            return self._documents.effective().document.revision
        except DocumentError:
            return self._released
