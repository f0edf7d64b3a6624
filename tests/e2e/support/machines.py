"""Machines as their operator empties them (``kubectl cordon``, ``drain``, ``uncordon``), and what is on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api.names import SYSTEM_NAMESPACE
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, Manifest

_PART = "app.kubernetes.io/component"


@dataclass(frozen=True)
class Machines:
    kube: Kube

    def names(self) -> list[str]:
        """Of those that are ready."""
        return sorted(str(each["metadata"]["name"]) for each in self.kube.find("node", "default") if _ready(each))

    @contextmanager
    def cordoned(self, *names: str) -> Iterator[None]:
        """They take Pods again afterwards, whatever happened."""
        self.kube.run("cordon", *names)
        try:
            yield
        finally:
            self.kube.run("uncordon", *names)

    def drain(self, name: str, app: RunningApp, *, timeout: int) -> str:
        """Of the App's Pods only, since the platform may be on the same machine. Raises KubectlError where they are not
        gone within ``timeout`` seconds."""
        return self.kube.run(
            "drain", name, "--delete-emptydir-data", "--ignore-daemonsets",
            f"--pod-selector=middleware.io/app={app.name}", f"--timeout={timeout}s",
            timeout=timeout + 60,
        )  # fmt: skip


@dataclass(frozen=True)
class PlatformPods:
    """Watchers and workers, and which machines they are on."""

    kube: Kube

    def on(self, machine: str) -> list[str]:
        """Their parts there; the active watcher by that name."""
        leader = self._leader()
        return sorted(
            "active watcher" if pod["metadata"]["name"] == leader else _part(pod)
            for pod in self._pods()
            if machine_of(pod) == machine
        )

    def leader(self) -> str:
        """The machine of the active watcher. Raises LookupError while there is none."""
        leader = self._leader()
        found = [machine_of(pod) for pod in self._pods() if pod["metadata"]["name"] == leader]
        if not found:
            raise LookupError(f"{leader or 'nobody'} has the Lease and no Pod")
        return found[0]

    def delete_leader(self) -> None:
        self.kube.run("delete", "pod", self._leader(), "-n", SYSTEM_NAMESPACE)

    def whole(self, *, without: str = "") -> bool:
        """Whether all that are wanted are ready, none of them on the machine ``without``."""
        ready = [_part(pod) for pod in self._pods() if machine_of(pod) != without and _ready(pod)]
        wanted = {
            each["metadata"]["labels"][_PART]: each["spec"]["replicas"]
            for each in self.kube.find("deployment", SYSTEM_NAMESPACE, _PART)
        }
        return bool(wanted) and all(ready.count(part) >= replicas for part, replicas in wanted.items())

    def _leader(self) -> str:
        lease = self.kube.get("lease", "middleware-watcher", SYSTEM_NAMESPACE) or {}
        return str((lease.get("spec") or {}).get("holderIdentity") or "")

    def _pods(self) -> list[Manifest]:
        pods = self.kube.find("pod", SYSTEM_NAMESPACE, _PART)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _part(pod: Manifest) -> str:
    return str(pod["metadata"]["labels"][_PART])


def machine_of(pod: Manifest) -> str:
    return str(pod["spec"].get("nodeName", ""))


def _ready(thing: Manifest) -> bool:
    """A machine or a Pod."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in thing["status"].get("conditions", []))
