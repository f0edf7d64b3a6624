"""Writes the statuses that ``watcher.status.summary`` sums up: only what differs, soon after what made it differ."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from api.names import STATUS_FIELD_MANAGER
from api.operations import Notice
from clients.errors import ConflictError, NotFoundError
from clients.resources import APP, COMPONENT, CONFIG_MAP, DEPLOYMENT, GROUP, SERVICE, VOLUME_CLAIM, Manifest, Resource
from clients.shared_watch import Change, WatchEvent
from watcher import metrics
from watcher.cache import drift, pods
from watcher.cache.caches import AppKey, Caches
from watcher.roles.rules import RoleRules
from watcher.roles.said import Said
from watcher.roles.streams import EAGER_SECONDS
from watcher.status.events import Events
from watcher.status.facts import differing_of
from watcher.status.gather import Snapshot
from watcher.status.health import Kind, only_unheard
from watcher.status.summary import Statuses, summarize
from watcher.work_queue import WorkQueue

log = logging.getLogger(__name__)

DELAY = 0.1
"""Seconds that a change waits for others: ``kubectl wait`` sees this as latency, the API server as fewer writes."""
BEGIN_SECONDS = 5.0
"""For so long a watcher that has just begun waits for the agents of ready nodes before it says anything: else each
change of the watcher would be a change of every App's status."""
UNHEARD_SECONDS = EAGER_SECONDS
"""For so long it does not say that a node is not heard where it has nothing else to tell: its streams say nothing of an
agent that they do not reach for as long."""
SILENCE_SECONDS = 5.0
"""For so long an agent that was heard may be silent: it is restarted, and connected again, within less."""


class Roles(Protocol):
    """What the role monitor knows of an App's Pods, by their names."""

    def messages(self, key: AppKey) -> Mapping[str, str]: ...

    def said(self, key: AppKey) -> Mapping[str, Said]: ...

    def claims(self, key: AppKey) -> Mapping[str, str]: ...


class StatusWriter:
    """Use as ``async with``; ``add`` an App's key for what the watches do not show (agents' messages)."""

    def __init__(
        self,
        cluster: Caches,
        roles: Roles,
        rules: RoleRules,
        notes: Callable[[AppKey], Sequence[str]] = lambda key: (),
        wake: Callable[[Manifest, Notice], None] = lambda app, notice: None,
    ) -> None:
        self._cluster, self._roles, self._rules, self._notes = cluster, roles, rules, notes
        self._events = Events(cluster.kubernetes, self._again, wake)
        self._began = 0.0
        self._queue: WorkQueue[AppKey] = WorkQueue("status", self._write, delay=DELAY)
        self._watches = {watch.resource: watch for watch in (cluster.apps, *cluster.kept)}
        self._conditions: dict[str, list[dict[str, Any]]] = {}
        self._metered: dict[AppKey, set[tuple[str, str]]] = {}

    async def __aenter__(self) -> None:
        cluster = self._cluster
        self._began = _now()
        cluster.apps.subscribe(self._app_changed)
        for watch in (
            cluster.pods,
            *(w for w in cluster.kept if w.resource in (COMPONENT, GROUP, SERVICE, VOLUME_CLAIM)),
        ):
            watch.subscribe(self._object_changed)
        for watch in (w for w in cluster.kept if w.resource in (DEPLOYMENT, CONFIG_MAP)):
            watch.subscribe(self._note_changed)
        for app in cluster.apps.list():
            self._app_changed(WatchEvent(Change.ADDED, app, None))

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()

    def add(self, key: AppKey) -> None:
        self._queue.add(key)

    def _again(self, key: AppKey, after: float) -> None:
        self._queue.add(key, after)

    def _note_changed(self, event: WatchEvent) -> None:
        key = drift.app_of(event.object)
        before = drift.note_of(event.before) if event.before is not None else ""
        after = "" if event.change is Change.DELETED else drift.note_of(event.object)
        if key is not None and before != after:
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
        snapshot = self._snapshot(key, app)
        unheard = any(pods.is_ready(p) and str(p["metadata"]["name"]) not in snapshot.said for p in snapshot.pods)
        if unheard and self._waits(key, BEGIN_SECONDS):
            return
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        statuses = summarize(snapshot, now)
        if unheard and only_unheard(statuses.health) and self._waits(key, UNHEARD_SECONDS):
            return
        components, groups = snapshot.components, snapshot.groups
        # The App last: who sees it Ready finds its parts so.
        parts = [(COMPONENT, c, statuses.components[c["metadata"]["name"]]) for c in components]
        parts += [(GROUP, g, statuses.groups[g["metadata"]["name"]]) for g in groups]
        await asyncio.gather(*(self._apply(*part) for part in parts))
        await self._apply(APP, app, statuses.app)
        self._meter(key, statuses if self._cluster.apps.get(*key) is not None else None)
        # Last: an Event that cannot be written holds up no status.
        await self._events.tell(key, app, statuses.health, statuses.facts)

    def _snapshot(self, key: AppKey, app: Manifest) -> Snapshot:
        cluster = self._cluster
        components = [self._current(c) for c in cluster.components_of.of(key) if drift.belongs_to(c, app)]
        names = [str(component["spec"]["component"]) for component in components]
        config_maps, deployments = cluster.config_maps_of.of(key), cluster.deployments_of.of(key)
        return Snapshot(
            self._current(app),
            components,
            [self._current(g) for g in cluster.groups_of.of(key) if drift.belongs_to(g, app)],
            cluster.pods_of.of(key),
            [s for s in cluster.services_of.of(key) if drift.belongs_to(s, app)],
            messages=self._roles.messages(key),
            said={pod: self._lasting(key, said) for pod, said in self._roles.said(key).items()},
            claims=self._roles.claims(key),
            writable={name: self._rules.writable(*key, name) for name in names},
            exclusive={name: self._rules.exclusive(*key, name) for name in names},
            announced={str(each["metadata"]["name"]): drift.note_of(each) for each in deployments},
            differing={str(each["metadata"]["name"]): differing_of(drift.note_of(each)) for each in config_maps},
            going=frozenset(
                str(each["metadata"]["name"])
                for each in cluster.claims_of.of(key)
                if each["metadata"].get("deletionTimestamp")
            ),
            notes=self._notes(key),
        )

    def _waits(self, key: AppKey, seconds: float) -> bool:
        """Whether the watcher has begun less than ``seconds`` ago. The App is looked at again then, or when one of its
        agents is heard."""
        left = self._began + seconds - _now()
        if left > 0:
            self._queue.add(key, left)
        return left > 0

    def _lasting(self, key: AppKey, said: Said) -> Said:
        """Without a silence that has not lasted yet; the App is looked at again when it has."""
        left = 0.0 if said.silent_since is None else said.silent_since + SILENCE_SECONDS - _now()
        if left <= 0:
            return said
        self._queue.add(key, left)
        return replace(said, silence="", silent_since=None)

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
            log.info(
                "status %s, %s: %s", status["ready"], status["phase"], status["message"],
                extra={"app": f"{metadata['namespace']}/{metadata['name']}"},
            )  # fmt: skip

    def _meter(self, key: AppKey, statuses: Statuses | None) -> None:
        namespace, app = key
        roles: set[tuple[str, str]] = set()
        nodes = [n for g in (statuses.groups.values() if statuses else ()) for n in g["nodes"]]
        if statuses is None:
            for state in ("ready", "not_ready"):
                metrics.forget(metrics.NODES, namespace, app, state)
            metrics.forget(metrics.AS_WANTED, namespace, app)
            for kind in Kind:
                metrics.forget(metrics.PROBLEMS, namespace, app, kind)
            self._events.forget(key)
        else:
            metrics.AS_WANTED.labels(namespace, app).set(statuses.health.as_wanted)
            found = Counter(problem.kind for problem in statuses.health.problems)
            for kind in Kind:  # an App in good health has no series for what could be wrong with it
                if kind in found:
                    metrics.PROBLEMS.labels(namespace, app, kind).set(found[kind])
                else:
                    metrics.forget(metrics.PROBLEMS, namespace, app, kind)
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


def _now() -> float:
    return asyncio.get_running_loop().time()
