"""Resident memory and idle CPU of watcher, worker and each agent on this machine.

python -m tests.bench.footprint --seconds 30
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROGRAMS = {
    "-m watcher": "watcher",
    "-m worker": "worker",
    "/agent/lib/start.pyc manager": "agent 1",
    "/agent/lib/start.pyc tools": "agent 2",
}


def find() -> dict[int, str]:
    """Process ids of the platform's processes on this host."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            name = next((n for words, n in PROGRAMS.items() if line.endswith(words)), None)
            if name:
                found[int(entry.name)] = name
    return found


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    """Proportional set size would hide what each process costs alone: resident, in MiB."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    before = {pid: cpu_seconds(pid) for pid in find()}
    time.sleep(options.seconds)
    rows: dict[str, list[tuple[float, float]]] = {}
    for pid, name in find().items():
        if pid in before:
            used = 100 * (cpu_seconds(pid) - before[pid]) / options.seconds
            rows.setdefault(name, []).append((resident_mib(pid), used))
    print(f"{'process':<10}{'count':>6}{'resident MiB: median':>22}{'max':>8}{'% of a core: median':>21}{'max':>8}")
    for name, values in sorted(rows.items()):
        memory, cpu = sorted(m for m, _ in values), sorted(c for _, c in values)
        middle = len(values) // 2
        print(f"{name:<10}{len(values):>6}{memory[middle]:>22.1f}{memory[-1]:>8.1f}{cpu[middle]:>21.2f}{cpu[-1]:>8.2f}")


if __name__ == "__main__":
    main()
