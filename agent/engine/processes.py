"""What the kernel knows of processes: which descend from one, and what tells one that hangs from a busy one.

A stopped process, and one that waits for a disk that does not answer, use no processor time from one look to the next;
one that loads its data or runs a long command does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_DEAD = frozenset("ZX")


@dataclass(frozen=True)
class Process:
    """``state`` is the kernel's letter: R, S, D (waits for the disk), T (stopped), Z and others."""

    pid: int
    parent: int
    name: str
    state: str
    threads: int
    cpu_milliseconds: int

    @property
    def lives(self) -> bool:
        """Also where its first thread has ended and others go on."""
        return self.state not in _DEAD or self.threads > 1


def look(pid: int) -> Process | None:
    """None where there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's own name in parentheses, and it may hold spaces and parentheses itself.
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    user, system = int(fields[11]), int(fields[12])
    return Process(
        pid=pid,
        parent=int(fields[1]),
        name=head.partition("(")[2],
        state=fields[0],
        threads=int(fields[17]),
        cpu_milliseconds=(user + system) * 1000 // _TICKS_PER_SECOND,
    )


def descendants(of: int) -> list[Process]:
    """Those that live, parents before their children: a parent that is killed first starts no other child. In whichever
    session or group they are. One whose parent ends while we look may be missing: look again."""
    children: dict[int, list[Process]] = {}
    for each in _all():
        children.setdefault(each.parent, []).append(each)
    found, parents = [], [of]
    for parent in parents:
        for each in children.get(parent, ()):
            parents.append(each.pid)
            if each.lives:
                found.append(each)
    return found


def _all() -> Iterator[Process]:
    for name in os.listdir(_PROC):
        if name.isdecimal() and (process := look(int(name))) is not None:
            yield process
