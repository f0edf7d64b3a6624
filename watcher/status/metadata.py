"""The metadata ConfigMap of each App: ``basic``, ``nodes``, ``config`` and ``roles``, for people and their programs.

It is output. It is written from the statuses of App, Groups and Components whenever it differs from them: when they
change, and when somebody has edited or removed it, at any moment and whatever operation is under way. Nothing decides
by what it says, so nothing waits for it either.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from api.app import DeployedStatus
from api.component import ComponentStatus
from api.group import GroupStatus, MemberState
from api.names import API_VERSION, LABEL_MANAGED_BY, MANAGED_BY, STATUS_FIELD_MANAGER, app_labels, metadata_name
from clients.errors import NotFoundError
from clients.resources import COMPONENT, CONFIG_MAP, GROUP, Manifest
from clients.shared_watch import Change, WatchEvent
from watcher.cache import drift
from watcher.cache.caches import AppKey, Caches
from watcher.work_queue import WorkQueue

log = logging.getLogger(__name__)

DELAY = 0.1
"""Seconds that a change waits for others: a step of an operation writes several statuses."""


class MetadataWriter:
    """Use as ``async with``."""

    def __init__(self, cluster: Caches) -> None:
        self._cluster = cluster
        self._done: dict[AppKey, dict[str, str]] = {}
        self._touched: set[AppKey] = set()
        """Apps whose ConfigMap somebody else has changed since it was looked at."""
        self._queue: WorkQueue[AppKey] = WorkQueue("metadata", self._write, delay=DELAY)

    async def __aenter__(self) -> None:
        self._cluster.apps.subscribe(self._app_changed)
        for watch in self._cluster.kept:
            if watch.resource in (COMPONENT, GROUP):
                watch.subscribe(self._object_changed)
            elif watch.resource is CONFIG_MAP:
                watch.subscribe(self._config_map_changed)
        for app in self._cluster.apps.list():
            self._app_changed(WatchEvent(Change.ADDED, app, None))

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()

    def _app_changed(self, event: WatchEvent) -> None:
        key = str(event.object["metadata"]["namespace"]), str(event.object["metadata"]["name"])
        if event.change is Change.DELETED:
            self._done.pop(key, None)
            self._touched.discard(key)
        else:
            self._queue.add(key)

    def _object_changed(self, event: WatchEvent) -> None:
        key = drift.app_of(event.object)
        if key is not None:
            self._queue.add(key)

    def _config_map_changed(self, event: WatchEvent) -> None:
        key = drift.app_of(event.object)
        if key is None or not drift.is_output(event.object):
            return
        if event.change is Change.ADDED or drift.describe(event) is not None:
            self._touched.add(key)
            self._queue.add(key)

    async def _write(self, key: AppKey) -> None:
        app = self._cluster.apps.get(*key)
        if app is None or app["metadata"].get("deletionTimestamp"):
            return
        components = [c for c in self._cluster.components_of.of(key) if drift.belongs_to(c, app)]
        groups = [g for g in self._cluster.groups_of.of(key) if drift.belongs_to(g, app)]
        wanted = parts(app, components, groups)
        if wanted is None or (self._done.get(key) == wanted and key not in self._touched):
            return
        self._touched.discard(key)  # before it is read: who changes it from now on is seen the next time
        await self._put(app, wanted)
        if self._cluster.apps.get(*key) is not None:
            self._done[key] = wanted

    async def _put(self, app: Manifest, data: dict[str, str]) -> None:
        kubernetes, owner = self._cluster.kubernetes, app["metadata"]
        name, namespace = metadata_name(str(owner["name"])), str(owner["namespace"])
        live = await kubernetes.get(CONFIG_MAP, name, namespace)
        labels = {**app_labels(str(owner["name"])), LABEL_MANAGED_BY: MANAGED_BY}
        own = {"apiVersion": API_VERSION, "kind": "App", "name": owner["name"], "uid": owner["uid"]}
        reference = {**own, "controller": False, "blockOwnerDeletion": False}
        if live is not None and not drift.belongs_to(live, app):
            log.warning("ConfigMap %s belongs to another App: not written", name, extra={"app": f"{namespace}/{name}"})
            return
        if live is not None and live.get("immutable"):
            # Somebody has made it so, for good: another one takes its place, unless it was written since it was read.
            known = live["metadata"]
            await kubernetes.delete(CONFIG_MAP, name, namespace, uid=known["uid"], version=known["resourceVersion"])
            live = None
        if live is None:
            head = {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [reference]}
            manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": data}
            await kubernetes.create(manifest, manager=STATUS_FIELD_MANAGER)
            return
        change = _change(live, data, labels, reference)
        if not change:
            return
        try:
            await kubernetes.patch(CONFIG_MAP, name, namespace, change, manager=STATUS_FIELD_MANAGER)
        except NotFoundError:
            self._queue.add((namespace, str(owner["name"])))


def _change(live: Manifest, data: dict[str, str], labels: dict[str, str], reference: dict[str, Any]) -> Manifest:
    """What is to be patched; empty where it is as it should be."""
    change: Manifest = {}
    present, metadata = live.get("data") or {}, live["metadata"]
    if present != data:
        change["data"] = {**dict.fromkeys(present), **data}
    head: Manifest = {}
    if not labels.items() <= (metadata.get("labels") or {}).items():
        head["labels"] = labels
    owners = metadata.get("ownerReferences") or []
    if all(each.get("uid") != reference["uid"] for each in owners):
        head["ownerReferences"] = [*owners, reference]
    return {**change, "metadata": head} if head else change


def parts(app: Manifest, components: Sequence[Manifest], groups: Sequence[Manifest]) -> dict[str, str] | None:
    """By name, as JSON; None before anything was deployed. Pure."""
    found = (app.get("status") or {}).get("deployed")
    if found is None:
        return None
    statuses = {
        str(each["spec"]["component"]): ComponentStatus.model_validate(each.get("status") or {}) for each in components
    }
    roles = [role.model_dump() for status in statuses.values() for role in status.roles]
    values: dict[str, Any] = {
        "basic": _basic(app, DeployedStatus.model_validate(found), groups),
        "nodes": _nodes(groups),
        "config": {name: status.parameters for name, status in statuses.items() if status.parameters},
        "roles": sorted(roles, key=lambda each: (each["node"], each["role"])),
    }
    return {name: json.dumps(value, sort_keys=name != "roles") for name, value in values.items()}


def _basic(app: Manifest, deployed: DeployedStatus, groups: Sequence[Manifest]) -> dict[str, str]:
    versions = {str(each["spec"].get("runtimeVersion") or "") for each in groups} - {""}
    facts = {
        "uid": str(app["metadata"]["uid"]),
        "plugin": deployed.plugin,
        "pluginVersion": deployed.plugin_version,
        "previousPlugin": deployed.previous_plugin,
        "runtimeVersion": ", ".join(sorted(versions)),
        "topology": deployed.topology,
        "created": deployed.created,
        "updated": deployed.updated,
    }
    return {name: value for name, value in facts.items() if value}


def _nodes(groups: Sequence[Manifest]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {str(state): [] for state in MemberState}
    for group in groups:
        for member in GroupStatus.model_validate(group.get("status") or {}).members:
            place = {"component": str(group["spec"]["component"]), "group": str(group["spec"]["group"])}
            node = {"name": member.name, **place, "version": member.version, "data": member.data}
            unverified = {"unverified": "true"} if member.unverified else {}
            found[str(member.state)].append({key: value for key, value in node.items() if value} | unverified)
    return found
