"""Machines as their operator empties them: ``kubectl cordon``, ``drain``, ``uncordon``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, Manifest


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


def machine_of(pod: Manifest) -> str:
    return str(pod["spec"].get("nodeName", ""))


def _ready(machine: Manifest) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in machine["status"].get("conditions", []))
