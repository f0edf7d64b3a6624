"""The watcher's parts of an App's metadata ConfigMap: ``roles``, which node holds which role, and since which epoch;
``holders``, who held each role last that the platform replaces the holder of, also where it is gone.

Other parts of the ConfigMap have other writers, so each write names the ``resourceVersion`` that it is based on; on a
conflict it is read again, and written again only where the own write has not landed already.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from api.names import LABEL_NODE, STATUS_FIELD_MANAGER, metadata_name
from clients.errors import ConflictError, NotFoundError
from clients.kubernetes import Kubernetes
from clients.resources import CONFIG_MAP, Manifest
from clients.shared_watch import Change, WatchEvent
from watcher.cache import drift, pods
from watcher.cache.caches import AppKey, Caches
from watcher.work_queue import WorkQueue

log = logging.getLogger(__name__)

PART = "roles"
HOLDERS_PART = "holders"
DELAY = 0.2
"""Seconds that a change waits for others: a failover changes several nodes within moments."""
_ATTEMPTS = 5


@dataclass(frozen=True, order=True)
class RecordedRole:
    node: str
    role: str
    epoch: int


@dataclass(frozen=True, order=True)
class RecordedHolder:
    component: str
    role: str
    node: str


def recorded_holders(config_map: Manifest | None) -> list[RecordedHolder]:
    """As ``recorded_roles``."""
    text = ((config_map or {}).get("data") or {}).get(HOLDERS_PART) or "[]"
    try:
        return [RecordedHolder(str(e["component"]), str(e["role"]), str(e["node"])) for e in json.loads(text)]
    except (ValueError, TypeError, KeyError):
        return []


def recorded_roles(config_map: Manifest | None) -> list[RecordedRole]:
    """What the ConfigMap says; empty where the part is absent or was spoilt by hand."""
    text = ((config_map or {}).get("data") or {}).get(PART) or "[]"
    try:
        return [RecordedRole(str(e["node"]), str(e["role"]), int(e["epoch"])) for e in json.loads(text)]
    except (ValueError, TypeError, KeyError):
        return []


def roles_of(found: Sequence[Manifest], epochs: Mapping[str, int]) -> list[RecordedRole]:
    """From Pods' labels; ``epochs`` by Pod name. A node whose Pod is gone, or ended, has no entry."""
    entries = [
        RecordedRole(pods.label(pod, LABEL_NODE), role, epochs.get(str(pod["metadata"]["name"]), 0))
        for pod in found
        if (role := pods.role_of(pod)) is not None and pods.exists(pod)
    ]
    return sorted(set(entries))


class RoleRecorder:
    """``add`` an App's key when its roles may have changed. Use as ``async with``."""

    def __init__(
        self,
        cluster: Caches,
        epochs: Callable[[AppKey], Mapping[str, int]],
        holders: Callable[[AppKey], Sequence[RecordedHolder]] = lambda key: (),
    ) -> None:
        self._cluster, self._epochs, self._holders = cluster, epochs, holders
        self._done: dict[AppKey, tuple[list[RecordedRole], list[RecordedHolder]]] = {}
        self._queue: WorkQueue[AppKey] = WorkQueue("role record", self._write, delay=DELAY)

    async def __aenter__(self) -> None:
        self._cluster.apps.subscribe(self._app_changed)
        for watch in self._cluster.kept:
            if watch.resource is CONFIG_MAP:
                watch.subscribe(self._config_map_changed)

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()

    def add(self, key: AppKey) -> None:
        self._queue.add(key)

    def _app_changed(self, event: WatchEvent) -> None:
        if event.change is Change.DELETED:
            self._done.pop((str(event.object["metadata"]["namespace"]), str(event.object["metadata"]["name"])), None)

    def _config_map_changed(self, event: WatchEvent) -> None:
        """One that is made anew lacks our parts, and somebody may have edited them; roles need not change for that."""
        key = drift.app_of(event.object)
        if key is None or event.object["metadata"]["name"] != metadata_name(key[1]):
            return
        if event.change is Change.ADDED or drift.describe(event) is not None:
            self._done.pop(key, None)
            self._queue.add(key)

    async def _write(self, key: AppKey) -> None:
        if self._cluster.apps.get(*key) is None:
            return
        roles, holders = roles_of(self._cluster.pods_of.of(key), self._epochs(key)), list(self._holders(key))
        wanted = roles, holders
        if self._done.get(key) == wanted:
            return
        written = await write_roles(self._cluster.kubernetes, key, roles, holders)
        if written and self._cluster.apps.get(*key) is not None:
            self._done[key] = wanted


async def write_roles(
    kubernetes: Kubernetes, key: AppKey, wanted: Sequence[RecordedRole], holders: Sequence[RecordedHolder] = ()
) -> bool:
    """False where there is no ConfigMap yet. No ``holders``: that part stays as it is. Raises ConflictError after
    several lost races, KubernetesError."""
    namespace, name = key[0], metadata_name(key[1])
    parts = {PART: json.dumps([asdict(entry) for entry in wanted])}
    if holders:
        parts[HOLDERS_PART] = json.dumps([asdict(entry) for entry in holders])
    for attempt in range(_ATTEMPTS):
        config_map = await kubernetes.get(CONFIG_MAP, name, namespace)
        if config_map is None:
            return False
        present = config_map.get("data") or {}
        if all((present.get(part) or "[]") == text for part, text in parts.items()):
            return True
        version = {"resourceVersion": config_map["metadata"]["resourceVersion"]}
        try:
            change = {"metadata": version, "data": parts}
            await kubernetes.patch(CONFIG_MAP, name, namespace, change, manager=STATUS_FIELD_MANAGER)
            return True
        except NotFoundError:
            return False
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
    return False
