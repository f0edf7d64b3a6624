"""The machine-wide kernel settings that a kubelet changes: remembered before the first, put back after the last."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.local.paths import RUN_ROOT

# What kubelet's container manager sets (pkg/kubelet/cm, setupKernelTunables).
KEYS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
        "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes")  # fmt: skip
_SYSCTL = Path("/proc/sys")


def remember(run_root: Path = RUN_ROOT, sysctl: Path = _SYSCTL) -> None:
    """Write the present values down, unless an instance is up already: they are then its kubelet's."""
    record = run_root / "sysctls.json"
    if record.exists():
        return
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({key: (sysctl / key).read_text() for key in KEYS if (sysctl / key).exists()}))


def restore(run_root: Path = RUN_ROOT, sysctl: Path = _SYSCTL) -> None:
    """Put them back once no instance is up any more."""
    record = run_root / "sysctls.json"
    if not record.exists() or any(path.is_dir() for path in run_root.iterdir()):
        return
    for key, value in json.loads(record.read_text()).items():
        if (sysctl / key).read_text() != value:
            (sysctl / key).write_text(value)
    record.unlink()
