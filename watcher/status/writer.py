"""Writes the statuses that ``watcher.status.summary`` sums up: only what differs, soon after what made it differ."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from api.names import STATUS_FIELD_MANAGER
from clients.errors import ConflictError, NotFoundError
from clients.resources import APP, COMPONENT, GROUP, SERVICE, Manifest, Resource
from clients.shared_watch import Change, WatchEvent
from watcher import metrics
from watcher.cache import drift
from watcher.cache.caches import AppKey, Caches
from watcher.status.summary import Snapshot, Statuses, summarize
from watcher.work_queue import WorkQueue

log = logging.getLogger(__name__)

DELAY = 0.1
"""Seconds that a change waits for others: ``kubectl wait`` sees this as latency, the API server as fewer writes."""


class StatusWriter:
    """Use as ``async with``; ``add`` an App's key for what the watches do not show (agents' messages)."""

    def __init__(
        self,
        cluster: Caches,
        messages: Callable[[AppKey], Mapping[str, str]],
        notes: Callable[[AppKey], Sequence[str]] = lambda key: (),
    ) -> None:
        self._cluster, self._messages, self._notes = cluster, messages, notes
        self._queue: WorkQueue[AppKey] = WorkQueue("status", self._write, delay=DELAY)
        self._watches = {watch.resource: watch for watch in (cluster.apps, *cluster.kept)}
        self._conditions: dict[str, list[dict[str, Any]]] = {}
        self._metered: dict[AppKey, set[tuple[str, str]]] = {}

    async def __aenter__(self) -> None:
        cluster = self._cluster
        cluster.apps.subscribe(self._app_changed)
        for watch in (cluster.pods, *(w for w in cluster.kept if w.resource in (COMPONENT, GROUP, SERVICE))):
            watch.subscribe(self._object_changed)
        for app in cluster.apps.list():
            self._app_changed(WatchEvent(Change.ADDED, app, None))

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()

    def add(self, key: AppKey) -> None:
        self._queue.add(key)

    def _app_changed(self, event: WatchEvent) -> None:
        metadata = event.object["metadata"]
        key = str(metadata["namespace"]), str(metadata["name"])
        if event.change is Change.DELETED:
            self._conditions.pop(str(metadata.get("uid")), None)
            self._meter(key, None)
        else:
            self._queue.add(key)

    def _object_changed(self, event: WatchEvent) -> None:
        key = drift.app_of(event.object)
        if event.change is Change.DELETED:
            self._conditions.pop(str(event.object["metadata"].get("uid")), None)
        if key is not None:
            self._queue.add(key)

    async def _write(self, key: AppKey) -> None:
        app = self._cluster.apps.get(*key)
        if app is None:
            return
        components = [self._current(c) for c in self._cluster.components_of.of(key) if drift.belongs_to(c, app)]
        groups = [self._current(g) for g in self._cluster.groups_of.of(key) if drift.belongs_to(g, app)]
        snapshot = Snapshot(
            self._current(app),
            components,
            groups,
            self._cluster.pods_of.of(key),
            [s for s in self._cluster.services_of.of(key) if drift.belongs_to(s, app)],
            self._messages(key),
            self._notes(key),
        )
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        statuses = summarize(snapshot, now)
        # The App last: who sees it Ready finds its parts so.
        parts = [(COMPONENT, c, statuses.components[c["metadata"]["name"]]) for c in components]
        parts += [(GROUP, g, statuses.groups[g["metadata"]["name"]]) for g in groups]
        await asyncio.gather(*(self._apply(*part) for part in parts))
        await self._apply(APP, app, statuses.app)
        self._meter(key, statuses if self._cluster.apps.get(*key) is not None else None)

    def _current(self, manifest: Manifest) -> Manifest:
        """With the conditions written last, which the cache may not show yet: their times must not be made anew."""
        written = self._conditions.get(str(manifest["metadata"].get("uid")))
        if written is None:
            return manifest
        status = dict(manifest.get("status") or {})
        own = {condition["type"] for condition in written}
        others = [c for c in status.get("conditions") or [] if c.get("type") not in own]
        return {**manifest, "status": {**status, "conditions": [*others, *written]}}

    async def _apply(self, resource: Resource, manifest: Manifest, status: dict[str, Any]) -> None:
        if not differs(manifest.get("status") or {}, status):
            return
        metadata = manifest["metadata"]
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "status": status,
        }
        try:
            await self._cluster.kubernetes.apply(body, manager=STATUS_FIELD_MANAGER, subresource="status")
        except (NotFoundError, ConflictError) as error:
            # Gone, or another object of the same name by now: the watch says so in a moment.
            log.info("status not written: %s", error)
            return
        live = self._watches[resource].get(str(metadata["namespace"]), str(metadata["name"]))
        if live is not None and live["metadata"]["uid"] == metadata["uid"]:  # else it has been forgotten already
            self._conditions[str(metadata["uid"])] = status["conditions"]
        metrics.STATUS_WRITES.labels(resource.kind).inc()
        if resource is APP:
            ready = status["conditions"][0]
            log.info(
                "status %s, %s: %s", status["ready"], ready["reason"], ready["message"],
                extra={"app": f"{metadata['namespace']}/{metadata['name']}"},
            )  # fmt: skip

    def _meter(self, key: AppKey, statuses: Statuses | None) -> None:
        namespace, app = key
        roles: set[tuple[str, str]] = set()
        nodes = [n for g in (statuses.groups.values() if statuses else ()) for n in g["nodes"]]
        if statuses is None:
            for state in ("ready", "not_ready"):
                metrics.forget(metrics.NODES, namespace, app, state)
        else:
            ready = sum(n["ready"] for n in nodes)
            metrics.NODES.labels(namespace, app, "ready").set(ready)
            metrics.NODES.labels(namespace, app, "not_ready").set(len(nodes) - ready)
            roles = {(n["name"], n["role"]) for n in nodes if n["role"]}
        for node, role in self._metered.pop(key, set()) - roles:
            metrics.forget(metrics.ROLES, namespace, app, node, role)
        for node, role in roles:
            metrics.ROLES.labels(namespace, app, node, role).set(1)
        if roles:
            self._metered[key] = roles


def differs(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the present status says something else in the fields, and the conditions, that are wanted."""
    known = {condition.get("type"): condition for condition in present.get("conditions") or []}
    if any(known.get(condition["type"]) != condition for condition in wanted["conditions"]):
        return True
    rest = {key: value for key, value in wanted.items() if key != "conditions"}
    if "primary" in present and "primary" not in wanted:
        return True
    return any(present.get(key) != value for key, value in rest.items())
