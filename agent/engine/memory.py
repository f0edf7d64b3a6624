"""The memory of the container, as the kernel counts it: whether an engine that was killed had used it up.

Read from the control group, of version 2 or 1, wherever a container sees it. Where it cannot be read, nothing is known,
and nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED = 1 << 60
"""What version 1 says where there is no limit is above it."""


@dataclass(frozen=True)
class Kills:
    """Counts that only grow: processes that the kernel has killed for want of memory, and how often the container's own
    limit was met. A kill without that is for want of the machine's memory, or of the Pod's."""

    processes: int = 0
    at_limit: int = 0


class ContainerMemory:
    """Of the control group in which this process is."""

    def __init__(self, groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> None:
        self._group, self._version = _found(groups, own)

    def kills(self) -> Kills:
        if self._version == 2:
            events = _counts(self._group / "memory.events")
            return Kills(events.get("oom_kill", 0), events.get("oom", 0))
        events = _counts(self._group / "memory.oom_control")
        return Kills(events.get("oom_kill", 0), _number(self._group / "memory.failcnt"))

    def limit(self) -> int:
        """Bytes; 0 where there is none, or it is not known."""
        name = "memory.max" if self._version == 2 else "memory.limit_in_bytes"
        limit = _number(self._group / name)
        return limit if limit < _UNLIMITED else 0


def _found(groups: Path, own: Path) -> tuple[Path, int]:
    """The folder: below the path that the kernel gives, or, in a container that sees only its own, at the top."""
    for version, top, path in _lines(groups, own):
        for folder in (top / path.lstrip("/"), top):
            name = "memory.events" if version == 2 else "memory.oom_control"
            if (folder / name).is_file():
                return folder, version
    return groups, 2


def _lines(groups: Path, own: Path) -> Iterator[tuple[int, Path, str]]:
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield 1, groups / "memory", path
        elif not controllers:
            yield 2, groups, path


def _counts(path: Path) -> dict[str, int]:
    try:
        pairs = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return {}
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _number(path: Path) -> int:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0
