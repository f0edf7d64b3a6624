"""What `status` and `env` print."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.table import Table

from deploy.local.instance import Instance
from deploy.local.processes import PROC


def table(instance: Instance) -> Table:
    """One line per component: whether it runs, whether it answers, its memory."""
    result = Table("component", "pid", "state", "MiB", title=f"Instance {instance.name}")
    total = 0
    for name in instance.components:
        pid = instance.pid(name)
        memory = proportional_memory(pid) if pid else 0
        total += memory
        state = "healthy" if instance.healthy(name) else "does not answer" if pid else "not running"
        result.add_row(name, str(pid or ""), state, str(memory >> 20))
    result.add_row("together", "", "", str(total >> 20))
    return result


def proportional_memory(pid: int) -> int:
    """Bytes, with each shared page counted once over those who share it (PSS): the programs are one file."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def shell_exports(instance: Instance) -> str:
    """Lines for `eval`: the instance's kubectl, helm and temporal first on PATH, and where its servers are."""
    lines = [f"export {key}={shlex.quote(value)}" for key, value in instance.environment().items()]
    programs: Path = instance.paths.bin
    return "\n".join([f'export PATH={shlex.quote(str(programs))}:"$PATH"', *lines])
