"""What the processes of an instance of the embedded cluster have used, as the kernel counts it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROGRAMS = {
    "-m watcher": "watcher",
    "-m worker": "worker",
    "/agent/lib/start.pyc manager": "agent 1",
    "/agent/lib/start.pyc tools": "agent 2",
}
"""By the end of the command line; others by the name of their program."""
_NAMED = ("kubelet", "containerd", "redis-server")


@dataclass(frozen=True)
class Usage:
    """``percent`` of a core, and resident MiB: the proportional size would hide what a process costs alone."""

    percent: float
    resident: float


def cpu_seconds(pid: int) -> float:
    """Of all its threads, in user and in kernel mode. Raises OSError where it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mib(pid: int) -> float:
    """Raises OSError where it is gone."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def median(values: list[float]) -> float:
    """The lower of the two in the middle."""
    return sorted(values)[(len(values) - 1) // 2]


def used(instance: str, seconds: float) -> dict[str, list[Usage]]:
    """By name of the process, of those that are there all the while."""
    before = {pid: (name, cpu_seconds(pid)) for pid, name in found(instance).items()}
    began = time.monotonic()
    time.sleep(seconds)
    result: dict[str, list[Usage]] = {}
    for pid in found(instance):
        if pid in before:
            name, earlier = before[pid]
            percent = 100 * (cpu_seconds(pid) - earlier) / (time.monotonic() - began)
            result.setdefault(name, []).append(Usage(percent, resident_mib(pid)))
    return result


def found(instance: str) -> dict[int, str]:
    """Process ids of the instance's processes on this machine."""
    lines, parents = {}, {}
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            lines[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    own = f"/middleware-platform/{instance}/"
    named = {pid: name for pid, line in lines.items() if (name := _name(line))}
    return {pid: name for pid, name in named.items() if any(own in lines.get(p, "") for p in _line(pid, parents))}


def _line(pid: int, parents: dict[int, int]) -> Iterator[int]:
    """The process and its ancestors: what runs in a Pod has a shim among them, which names its instance."""
    while pid:
        yield pid
        pid = parents.get(pid, 0)


def _name(line: str) -> str:
    for end, name in _PROGRAMS.items():
        if line.endswith(end):
            return name
    program = line.split(" ")[0].rsplit("/", 1)[-1]
    return program if program in _NAMED else ""
