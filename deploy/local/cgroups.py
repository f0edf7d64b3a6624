"""The instance's control groups, on cgroup v1, v2 and the hybrid of both.

`/mw-<instance>` is the kubelet's cgroup root (its Pods go below `kubepods`), `/mw-<instance>/system` holds the
components themselves: a login session's end must not take them along.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalError
from deploy.local.processes import identify, send

ROOT = Path("/sys/fs/cgroup")
V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")
V2_NEEDED = ("cpu", "memory", "pids")
V1_NEEDED = ("cpu", "cpuacct", "memory", "cpuset")


@dataclass(frozen=True)
class ControlGroups:
    """The directories of one instance in every hierarchy."""

    name: str
    root: Path = ROOT

    @property
    def kubelet_root(self) -> str:
        """What the kubelet calls its cgroup root: a path below each hierarchy."""
        return f"/mw-{self.name}"

    @property
    def is_v2(self) -> bool:
        return (self.root / "cgroup.controllers").exists()

    def hierarchies(self) -> list[Path]:
        """The mount points: one on v2, one per controller on v1 (links such as `cpu -> cpu,cpuacct` not counted)."""
        if self.is_v2:
            return [self.root]
        return [path for path in sorted(self.root.iterdir()) if path.is_dir() and not path.is_symlink()]

    def system(self) -> list[Path]:
        return [hierarchy / f"mw-{self.name}" / "system" for hierarchy in self.hierarchies()]

    def up(self) -> None:
        """Make the directories, with the controllers that the kubelet needs."""
        if self.is_v2:
            self._delegate(self.root)
        else:
            missing = [name for name in V1_NEEDED if not (self.root / name).exists()]
            if missing:
                raise LocalError(
                    f"The kernel has no cgroup controller {', '.join(missing)}: mount it below {self.root}"
                )
        for group in self.system():
            group.parent.mkdir(exist_ok=True)
            if self.is_v2:
                self._delegate(group.parent)
            self._copy_cpuset(group.parent)
            group.mkdir(exist_ok=True)
            self._copy_cpuset(group)

    def down(self) -> None:
        """Kill what is still in the groups (a container whose shim is gone) and remove them."""
        for hierarchy in self.hierarchies():
            top = hierarchy / f"mw-{self.name}"
            deadline = time.monotonic() + 10
            while not _remove(top) and time.monotonic() < deadline:
                for pid in _members(top):
                    identity = identify(pid)
                    if identity:
                        send(identity, signal.SIGKILL)
                time.sleep(0.05)

    def kill(self, seconds: float = 10) -> None:
        """SIGKILL to all of it, again and again until nobody lives: the one may just be starting another."""
        deadline = time.monotonic() + seconds
        while (living := self.members()) and time.monotonic() < deadline:
            for identity in map(identify, living):
                if identity:
                    send(identity, signal.SIGKILL)
            time.sleep(0.02)

    def members(self) -> set[int]:
        """Every process of the instance: components and containers."""
        found: set[int] = set()
        for hierarchy in self.hierarchies():
            found |= _members(hierarchy / f"mw-{self.name}")
        return found

    def _delegate(self, group: Path) -> None:
        available = (group / "cgroup.controllers").read_text().split()
        missing = [name for name in V2_NEEDED if name not in available]
        if missing:
            raise LocalError(
                f"The cgroup controller {', '.join(missing)} is not available in {group}: in a container, start it "
                "with its own delegated cgroup tree"
            )
        for name in V2_CONTROLLERS:
            if name in available:
                try:
                    (group / "cgroup.subtree_control").write_text(f"+{name}")
                except OSError as refused:
                    if name in V2_NEEDED:
                        raise LocalError(f"The kernel refused the controller {name} in {group}: {refused}") from refused

    def _copy_cpuset(self, group: Path) -> None:
        """A v1 cpuset group starts with no processor and no memory, and takes no process until it has both."""
        for name in ("cpuset.cpus", "cpuset.mems"):
            path = group / name
            if not self.is_v2 and path.exists() and not path.read_text().strip():
                path.write_text((group.parent / name).read_text())


def _members(top: Path) -> set[int]:
    found: set[int] = set()
    for path in top.rglob("cgroup.procs") if top.exists() else ():
        try:
            found.update(int(line) for line in path.read_text().split())
        except OSError:
            continue  # the group was removed meanwhile, or holds threads only
    return found


def _remove(top: Path) -> bool:
    """Remove the tree, deepest group first; False where a process still lives in it."""
    if not top.exists():
        return True
    for path in sorted((path for path in top.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts)):
        try:
            path.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    try:
        top.rmdir()
    except OSError:
        return not top.exists()
    return True
