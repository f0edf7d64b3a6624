"""What the watcher notes of roles, in a Component's status: ``roles``, which node holds which role, and since which
epoch; ``holders``, who held each role last that the platform replaces the holder of, also where it is gone.

A later watcher, and the steps of operations, go by it; no tenant may write it. Other fields of the status have other
writers: only these two are patched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from api.component import ComponentStatus, NodeRole, RoleHolder
from api.names import LABEL_NODE, ROLES_FIELD_MANAGER
from clients.errors import NotFoundError
from clients.resources import COMPONENT, Manifest
from clients.shared_watch import Change, WatchEvent
from watcher.cache import drift, pods
from watcher.cache.caches import AppKey, Caches
from watcher.work_queue import WorkQueue

DELAY = 0.2
"""Seconds that a change waits for others: a failover changes several nodes within moments."""


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


def recorded_holders(component: Manifest) -> list[RecordedHolder]:
    """As ``recorded_roles``."""
    name, status = str(component["spec"]["component"]), ComponentStatus.model_validate(component.get("status") or {})
    return [RecordedHolder(name, each.role, each.node) for each in status.holders]


def recorded_roles(component: Manifest) -> list[RecordedRole]:
    """As an earlier watcher, or this one, has written them."""
    status = ComponentStatus.model_validate(component.get("status") or {})
    return [RecordedRole(each.node, each.role, each.epoch) for each in status.roles]


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
        self._queue: WorkQueue[AppKey] = WorkQueue("role record", self._write, delay=DELAY)

    async def __aenter__(self) -> None:
        for watch in self._cluster.kept:
            if watch.resource is COMPONENT:
                watch.subscribe(self._component_changed)

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()

    def add(self, key: AppKey) -> None:
        self._queue.add(key)

    def _component_changed(self, event: WatchEvent) -> None:
        """One that is made anew lacks what was noted; roles need not change for that."""
        key = drift.app_of(event.object)
        if key is not None and event.change is not Change.DELETED:
            self._queue.add(key)

    async def _write(self, key: AppKey) -> None:
        app = self._cluster.apps.get(*key)
        if app is None:
            return
        found, holders = self._cluster.pods_of.of(key), self._holders(key)
        for component in self._cluster.components_of.of(key):
            if not drift.belongs_to(component, app):
                continue
            name = str(component["spec"]["component"])
            own = [pod for pod in found if pods.component_of(pod) == (*key, name)]
            roles = roles_of(own, self._epochs(key))
            await self._note(component, roles, [each for each in holders if each.component == name])

    async def _note(
        self, component: Manifest, roles: Sequence[RecordedRole], holders: Sequence[RecordedHolder]
    ) -> None:
        """No ``holders``: nobody is known to this watcher yet, so what an earlier one has noted stays."""
        wanted = {"roles": [NodeRole(node=e.node, role=e.role, epoch=e.epoch).model_dump() for e in roles]}
        if holders:
            wanted["holders"] = [RoleHolder(role=e.role, node=e.node).model_dump() for e in holders]
        present = component.get("status") or {}
        change = {field: value for field, value in wanted.items() if (present.get(field) or []) != value}
        if not change:
            return
        metadata = component["metadata"]
        # With the uid: not into another Component of the name.
        patch = {"metadata": {"uid": metadata["uid"]}, "status": change}
        try:
            await self._cluster.kubernetes.patch(
                COMPONENT,
                str(metadata["name"]),
                str(metadata["namespace"]),
                patch,
                manager=ROLES_FIELD_MANAGER,
                subresource="status",
            )
        except NotFoundError:
            return
