"""Who used the processor: an instance's components, its Pods, and the containers of some of them.

Read from the kernel's own counters, so watching costs nothing: /proc for a component (with the children it waited
for), the control group for everything that comes and goes meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy.local.cgroups import ROOT
from deploy.local.instance import Instance
from tests.e2e.support.kube import Manifest

TICKS = os.sysconf("SC_CLK_TCK")
RUNTIME = "shims, runc"
"""What the components started and nobody waits for."""
PODS = "Pods"

Use = dict[str, float]


def _group_seconds(path: str) -> float:
    """Of a control group and all below it; 0 for one that is gone."""
    first_version, second = ROOT / "cpuacct" / path / "cpuacct.usage", ROOT / path / "cpu.stat"
    try:
        if first_version.exists():
            return int(first_version.read_text()) / 1e9
        return int(second.read_text().split()[1]) / 1e6  # its first line is usage_usec
    except OSError:
        return 0.0


def _process_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def _pod_group(instance: Instance, pod: Manifest) -> str:
    quality = str(pod["status"]["qosClass"]).lower()
    middle = "" if quality == "guaranteed" else f"/{quality}"
    return f"mw-{instance.name}/kubepods{middle}/pod{pod['metadata']['uid']}"


def use(instance: Instance, others: Iterable[Manifest]) -> Use:
    """Seconds of processor time so far, by component; ``others`` are Pods of the platform, named by their app label."""
    found: Use = {}
    for name in instance.components:
        pid = instance.pid(name)
        if pid is not None:
            found[name] = _process_seconds(pid)
    found[RUNTIME] = _group_seconds(f"mw-{instance.name}/system") - sum(found.values())
    found[PODS] = _group_seconds(f"mw-{instance.name}/kubepods")
    for pod in others:
        seconds = _group_seconds(_pod_group(instance, pod))
        name = str(pod["metadata"]["labels"]["app.kubernetes.io/component"])
        found[name] = found.get(name, 0.0) + seconds
        found[PODS] -= seconds
    return found


def since(before: Mapping[str, float], now: Mapping[str, float]) -> Use:
    """The difference, largest first."""
    return dict(sorted(((k, v - before.get(k, 0.0)) for k, v in now.items()), key=lambda item: -item[1]))


def of_containers(instance: Instance, pod: Manifest) -> Use:
    """Of a Pod, by container; what its init containers used is the rest of the whole."""
    group = _pod_group(instance, pod)
    found = {
        str(status["name"]): _group_seconds(f"{group}/{status['containerID'].rpartition('/')[2]}")
        for status in pod["status"]["containerStatuses"]
    }
    return {"init": _group_seconds(group) - sum(found.values())} | found
