"""What the kernel knows of the engine's process: it tells a process that hangs from one that is busy.

A stopped process, and one that waits for a disk that does not answer, use no processor time from one look to the next;
one that loads its data or runs a long command does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Seen:
    """``state`` is the kernel's letter: R, S, D (waits for the disk), T (stopped), Z and others."""

    state: str
    cpu_milliseconds: int


def look(pid: int) -> Seen | None:
    """None where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's own name in parentheses, and it may hold spaces and parentheses itself.
    fields = text.rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return Seen(fields[0], (user + system) * 1000 // _TICKS_PER_SECOND)
