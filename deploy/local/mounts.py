"""Unmount what the container runtime and the kubelet mounted below the instance's own directories."""

from __future__ import annotations

import re
from pathlib import Path

from deploy.local.commands import run


def mounts_below(directories: list[Path]) -> list[Path]:
    """The mount points below these directories, the innermost first; the same point once per mount on it."""
    found: list[Path] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # proc(5): blanks and the like are written as three octal digits.
        point = Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), line.split()[4]))
        if any(point.is_relative_to(directory) for directory in directories):
            found.append(point)
    return list(reversed(found))


def unmount_below(directories: list[Path]) -> None:
    """Unmount lazily: a process that still holds one must not keep the rest from going."""
    for point in mounts_below(directories):
        run(["umount", "--lazy", "--no-mtab", str(point)], check=False)
