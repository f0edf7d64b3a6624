"""Pods that are gone, and whose machine had said before that their engine has ended.

A Pod object that is gone says nothing of its processes: it may have been deleted by force. One that its kubelet
removes has first told, as phase Succeeded or Failed with terminated containers, that nothing of it runs; but it is gone
a few milliseconds later, and who looks then has missed it. So the last state of each is kept here for a while.
"""

from __future__ import annotations

import asyncio
from collections import deque

from api.names import MIDDLEWARE_CONTAINER
from clients.pod_reason import container_status
from clients.resources import Manifest
from clients.shared_watch import Change, SharedWatch, WatchEvent

_KEPT_SECONDS = 300.0
"""Far longer than from a Pod's end to the Failover that asks for it."""


class TerminatedPods:
    """Remembers from the moment on at which it is made; a worker that was restarted since knows nothing."""

    def __init__(self, pods: SharedWatch) -> None:
        self._pods = pods
        self._ended: deque[tuple[float, Manifest]] = deque()
        pods.subscribe(self._changed)

    def of(self, namespace: str, labels: dict[str, str]) -> list[Manifest]:
        """Pods with these labels whose engine has ended, as they were last: those that are there still, and those
        that are gone."""
        self._forget()
        found = [pod for _, pod in self._ended if _selected(pod, namespace, labels)]
        return found + [pod for pod in self._pods.list(namespace, labels) if engine_ended(pod)]

    def _changed(self, event: WatchEvent) -> None:
        self._forget()
        if event.change is Change.DELETED and engine_ended(event.object):
            self._ended.append((_now(), event.object))

    def _forget(self) -> None:
        while self._ended and self._ended[0][0] < _now() - _KEPT_SECONDS:
            self._ended.popleft()


def engine_ended(pod: Manifest) -> bool:
    """The kubelet says that the engine's container, its agent 1 included, has ended, and it is not started again.

    The phase alone would not do: who collects the Pods of lost machines sets it too, while they may run on.
    """
    if not pod["metadata"].get("deletionTimestamp"):
        return False
    return "terminated" in (container_status(pod, MIDDLEWARE_CONTAINER).get("state") or {})


def engine_may_run(pod: Manifest) -> bool:
    """False only before its first start: the kubelet has not begun the engine's container yet."""
    status = container_status(pod, MIDDLEWARE_CONTAINER)
    begun = {"running", "terminated"} & set(status.get("state") or {}) or status.get("lastState")
    return bool(begun)


def engine_is_untold(pod: Manifest) -> bool:
    """The Pod has a machine, whose kubelet has told nothing of the engine's container yet: one that is cut off may have
    begun it all the same."""
    bound = bool((pod.get("spec") or {}).get("nodeName"))
    return bound and not container_status(pod, MIDDLEWARE_CONTAINER)


def _selected(pod: Manifest, namespace: str, labels: dict[str, str]) -> bool:
    own = pod["metadata"].get("labels") or {}
    return pod["metadata"].get("namespace") == namespace and labels.items() <= own.items()


def _now() -> float:
    return asyncio.get_running_loop().time()
