"""Whether the node's volume is full: an engine that ends for want of space would end on another node just as well.

Full is less than 0.5 % free for a process without privileges, but never less than 1 MiB (a small volume) nor more than
64 MiB (a large one, where 0.5 % is room for hours of work; engines that write in segments fail while one segment, 16 to
64 MiB, does not fit any more). A volume without a free inode is full as well.
"""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import Executor, Future
from pathlib import Path

_log = logging.getLogger(__name__)
_LEAST, _MOST = 1024 * 1024, 64 * 1024 * 1024
_EVERY = 1.0


class Volume:
    """``full`` never waits: a look at a disk that hangs stays in its thread, and what was seen last counts on."""

    def __init__(self, path: Path, disk: Executor) -> None:
        self._path = path
        self._disk = disk
        self._full = False
        self._looking: Future[None] | None = None
        self._looked_at = 0.0

    def full(self) -> bool:
        """As seen last, about a second ago."""
        idle = self._looking is None or self._looking.done()
        if idle and time.monotonic() - self._looked_at >= _EVERY:
            self._looked_at = time.monotonic()
            self._looking = self._disk.submit(self._look)
        return self._full

    def _look(self) -> None:
        try:
            self._full = is_full(self._path)
        except OSError as error:
            _log.warning("how full the volume is cannot be seen: %s", error)


def is_full(path: Path) -> bool:
    """Raises OSError; waits for as long as the disk does."""
    seen = os.statvfs(path)
    least = min(max(seen.f_blocks * seen.f_frsize // 200, _LEAST), _MOST)
    return seen.f_bavail * seen.f_frsize < least or (seen.f_files > 0 and seen.f_favail == 0)
