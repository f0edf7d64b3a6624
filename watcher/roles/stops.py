"""Nodes that may not be stopped now, by their own word: the label that keeps their Pods from being evicted.

An eviction (``kubectl drain``, an autoscaler) asks a disruption budget and nobody else. The agent asks the plugin's
tool ``safeToStop`` every few seconds; of a node that says no the Pod gets a label, by which a budget selects that
allows no eviction (``render.manifests.budgets``). A Pod that is not ready loses the label: its stop may be its remedy.
One whose agent is silent, or has not been heard by a watcher that has just begun, keeps it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from api.names import LABEL_STOP, STATUS_FIELD_MANAGER, STOP_REFUSED
from clients.errors import NotFoundError
from clients.resources import POD, Manifest
from watcher.cache import pods
from watcher.cache.caches import AppKey, Caches
from watcher.roles.said import Said
from watcher.work_queue import WorkQueue

log = logging.getLogger(__name__)


def stop_label(pod: Manifest, said: Said | None) -> str:
    """What it should be; empty for none. Pure."""
    if not pods.is_ready(pod):
        return ""
    if said is None:
        return pods.label(pod, LABEL_STOP)
    return STOP_REFUSED if said.stop_refused else ""


class StopLabels:
    """Use as ``async with``; ``add`` an App's key when one of its Pods is another, or its agent says something else.
    ``said``: by Pod name, for one App."""

    def __init__(self, cluster: Caches, said: Callable[[AppKey], Mapping[str, Said]]) -> None:
        self._cluster, self._said = cluster, said
        self._queue: WorkQueue[AppKey] = WorkQueue("stops", self._settle)

    async def __aenter__(self) -> None:
        """``add`` does all: the role monitor adds each App when it begins."""

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()

    def add(self, key: AppKey) -> None:
        self._queue.add(key)

    async def _settle(self, key: AppKey) -> None:
        said = self._said(key)
        for pod in self._cluster.pods_of.of(key):
            name = str(pod["metadata"]["name"])
            wanted = stop_label(pod, said.get(name))
            if wanted == pods.label(pod, LABEL_STOP):
                continue
            body = {"metadata": {"labels": {LABEL_STOP: wanted or None}}}
            try:
                await self._cluster.kubernetes.patch(POD, name, key[0], body, manager=STATUS_FIELD_MANAGER)
            except NotFoundError:
                continue
            log.info(
                "it may %s", "not be stopped now" if wanted else "be stopped",
                extra={"app": f"{key[0]}/{key[1]}", "pod": name},
            )  # fmt: skip
