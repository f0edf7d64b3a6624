"""Watches an App while a fault is at work: was there ever more than one writable node?

Three looks, from the strictest to the most telling:
1. The labels, as the API server has them, change by change: Pods that carry the writable role.
2. The Service, likewise: ready endpoints of the writable role's Service, over all its slices.
3. The engines themselves, four times a second, through the address that their peers know: how long more than one says
   that it is primary. A node that hangs or is cut off says nothing; whoever reached it alone could not tell either.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import redis

from tests.e2e.support.day2 import RunningApp

WRITABLE = "master"
_SAMPLE = 0.25


@dataclass
class Seen:
    """``labelled``, ``served``: each moment's holders where there was more than one. ``both``: seconds."""

    labelled: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    both: float = 0.0


class Observer:
    """Use as a context manager; ``seen`` is complete afterwards."""

    def __init__(self, app: RunningApp) -> None:
        self.seen = Seen()
        self._app, self._stop = app, threading.Event()
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._engines = {node: app.of_node(node, timeout=0.3) for node in app.nodes()}
        pods = "{.type} {.object.metadata.name} {.object.metadata.labels.middleware\\.io/role}"
        ready = "{range .object.endpoints[?(@.conditions.ready==true)]}{.targetRef.name},{end}"
        slices = "{.type} {.object.metadata.name} " + ready
        of_app = f"middleware.io/app={app.name},middleware.io/component=redis-server"
        of_service = f"kubernetes.io/service-name={app.name}-redis-server-{WRITABLE}"
        self._threads = [
            threading.Thread(target=self._watch, args=("pod", of_app, pods, self._pod), daemon=True),
            threading.Thread(target=self._watch, args=("endpointslice", of_service, slices, self._slice), daemon=True),
            threading.Thread(target=self._sample, daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for process in self._processes.values():
            process.terminate()
        for thread in self._threads:
            thread.join(timeout=10)
        for client in self._engines.values():
            client.close()

    def _watch(self, kind: str, selector: str, path: str, changed: Callable[[dict[str, str]], None]) -> None:
        """One line for each change; begun anew where the API server was away."""
        kube = self._app.kube
        words = [kind, "-n", self._app.namespace, "-l", selector, "--watch", "--output-watch-events"]
        command = [kube.program, f"--kubeconfig={kube.kubeconfig}", "get", *words, "-o", f"jsonpath={path}{{'\\n'}}"]
        while not self._stop.is_set():
            present: dict[str, str] = {}
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self._processes[kind] = process
            assert process.stdout is not None
            with process, process.stdout as lines:
                for line in lines:
                    change, name, held = line.rstrip("\n").split(" ", 2)
                    if change == "DELETED":
                        present.pop(name, None)
                    else:
                        present[name] = held.strip()
                    changed(present)
            self._stop.wait(0.2)

    def _pod(self, roles: dict[str, str]) -> None:
        holders = sorted(pod for pod, role in roles.items() if role == WRITABLE)
        if len(holders) > 1:
            self.seen.labelled.append(" ".join(holders))

    def _slice(self, slices: dict[str, str]) -> None:
        endpoints = sorted({pod for held in slices.values() for pod in held.split(",") if pod})
        if len(endpoints) > 1:
            self.seen.served.append(" ".join(endpoints))

    def _sample(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(_SAMPLE):
            writable = [node for node, client in self._engines.items() if _says_writable(client)]
            now = time.monotonic()
            if len(writable) > 1:
                self.seen.both += now - last
            last = now


def _says_writable(client: redis.Redis) -> bool:
    try:
        return str(client.info("replication")["role"]) == WRITABLE
    except (redis.RedisError, OSError):
        return False
