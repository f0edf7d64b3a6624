"""What can be killed, as it would die: kill -9 from outside, nobody warned."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from deploy.local.instance import Instance
from tests.e2e.support import platform
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import eventually

Fault = Callable[[Instance, RunningApp], None]


def _platform(module: str) -> Fault:
    def inject(instance: Instance, app: RunningApp) -> None:
        eventually(f"{module} runs", lambda: platform.processes(module, instance.name), timeout=60)
        assert platform.kill(module, instance.name) >= 1

    return inject


def _component(name: str) -> Fault:
    def inject(instance: Instance, app: RunningApp) -> None:
        instance.kill(name)
        instance.start(name)

    return inject


def agent_processes(which: str, pods: set[str]) -> list[int]:
    """Process ids on this host of the agents (``manager`` or ``tools``) in the named Pods."""
    names = {f"HOSTNAME={pod}".encode() for pod in pods}
    return platform.matching(
        lambda words, environment: b"agent" in words and which.encode() in words and bool(names & environment)
    )


def _agents(which: str, *, of_primary: bool = False) -> Fault:
    def inject(instance: Instance, app: RunningApp) -> None:
        pods = app.pods()
        primary = app.status().get("primary")
        chosen = {node: pod for node, pod in pods.items() if not of_primary or node == primary}
        for pid in agent_processes(which, {pod["metadata"]["name"] for pod in chosen.values()}):
            os.kill(pid, signal.SIGKILL)

    return inject


KILLS_ENGINES = "agent1-of-the-primary"
FAULTS: dict[str, Fault] = {
    "worker": _platform("worker"),
    "watcher": _platform("watcher"),
    "temporal": _component("temporal"),
    "apiserver": _component("apiserver"),
    "agent2": _agents("tools"),
    KILLS_ENGINES: _agents("manager", of_primary=True),
}
"""``agent1`` takes the engine with it, so there it is one node's and not all nodes'."""
