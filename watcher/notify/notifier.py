"""Turns what happens to Apps and their objects into notices to their workflows: coalesced per App, sent until sent.

Temporal may be down for as long as it likes: nothing else in the watcher waits for it, and what is kept for later is
one notice per App, never a queue of events.
"""

from __future__ import annotations

import asyncio
import logging

from temporalio.client import Client
from temporalio.service import RPCError

from api.names import LABEL_PLUGIN, LABEL_PLUGIN_VERSION, entity_workflow_id
from api.operations import AppReference, Notice, NoticeKind
from clients import temporal
from clients.resources import Manifest
from clients.shared_watch import Change, WatchEvent
from watcher import metrics
from watcher.cache import apps, drift, pods
from watcher.cache.caches import AppKey, Caches
from watcher.work_queue import WorkQueue

log = logging.getLogger(__name__)

DRIFT_DELAY = 0.3
"""Seconds that drift waits for company: who deletes one object by a selector deletes several."""
_DETAILS = 10
_PRIORITY = {NoticeKind.SPEC: 3, NoticeKind.RESYNC: 2, NoticeKind.CORDON: 1, NoticeKind.DRIFT: 0}


def combined(first: Notice | None, second: Notice) -> Notice:
    """One notice that says both: the stronger kind, details without repetition, of bounded length."""
    if first is None:
        return second
    kind = max(NoticeKind(first.kind), NoticeKind(second.kind), key=lambda kind: _PRIORITY[kind])
    details = list(dict.fromkeys(part for n in (first, second) for part in n.detail.split("; ") if part))
    if len(details) > _DETAILS:
        details = [*details[: _DETAILS - 1], "and more"]
    return Notice(kind, "; ".join(details))


class Notifier:
    """Use as ``async with``: subscribes to the watches, and tells every App's workflow that a watcher has begun."""

    def __init__(self, cluster: Caches, installation: str) -> None:
        self._cluster = cluster
        self._installation = installation
        self._pending: dict[AppKey, Notice] = {}
        self._queue: WorkQueue[AppKey] = WorkQueue("notice", self._send, workers=16)
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> None:
        self._cluster.apps.subscribe(self._app_changed)
        self._cluster.plugins.subscribe(self._plugin_changed)
        for watch in self._cluster.kept:
            watch.subscribe(self._object_changed)
        self._cluster.pods.subscribe(self._pod_changed)
        for app in self._cluster.apps.list():
            self._app_changed(WatchEvent(Change.ADDED, app, None))

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()

    def tell(self, app: Manifest, notice: Notice) -> None:
        """What another part of the watcher has seen; after a moment, in which the workers' caches see it too."""
        self._add(app, notice, DRIFT_DELAY)

    def _app_changed(self, event: WatchEvent) -> None:
        notice = apps.notice_for(event)
        if notice is not None:
            self._add(event.object, notice, 0.0)

    def _plugin_changed(self, event: WatchEvent) -> None:
        if event.change is not Change.ADDED:
            return
        name, version = (pods.label(event.object, key) for key in (LABEL_PLUGIN, LABEL_PLUGIN_VERSION))
        for app in self._cluster.apps.list():
            if apps.uses_plugin(app, name, version):
                self._add(app, Notice(NoticeKind.RESYNC, f"plugin {name} {version} was installed"), 0.0)

    def _object_changed(self, event: WatchEvent) -> None:
        key = drift.app_of(event.object)
        app = self._cluster.apps.get(*key) if key is not None else None
        if (
            drift.is_output(event.object)
            or app is None
            or not apps.is_living(app)
            or not drift.belongs_to(event.object, app)
        ):
            return
        phrase = drift.describe(event)
        if phrase is not None:
            log.info("drift: %s", phrase, extra={"app": "/".join(key or ())})
            self._add(app, Notice(NoticeKind.DRIFT, phrase), DRIFT_DELAY)

    def _pod_changed(self, event: WatchEvent) -> None:
        """A Pod that goes without having been asked to has lost its labels, or was deleted by force."""
        if event.change is Change.DELETED and not pods.is_terminating(event.object):
            self._object_changed(event)

    def _add(self, app: Manifest, notice: Notice, delay: float) -> None:
        key = str(app["metadata"]["namespace"]), str(app["metadata"]["name"])
        self._pending[key] = combined(self._pending.get(key), notice)
        self._queue.add(key, delay)

    async def _send(self, key: AppKey) -> None:
        client = await self.connected()
        notice = self._pending.pop(key, None)
        if notice is None:
            return
        app = self._cluster.apps.get(*key) or {}
        plugin = str(((app.get("spec") or {}).get("plugin") or {}).get("name") or "")
        reference = AppReference(namespace=key[0], app=key[1])
        try:
            await temporal.notify_entity(client, self._installation, reference, notice, plugin=plugin)
        except BaseException as error:
            self._pending[key] = combined(notice, self._pending[key]) if key in self._pending else notice
            if isinstance(error, RPCError):
                metrics.SIGNAL_FAILURES.inc()
                raise TimeoutError(f"Temporal did not take the notice: {error.status.name}: {error.message}") from error
            raise
        metrics.SIGNALS.labels(str(notice.kind)).inc()
        log.info(
            "notice sent: %s",
            notice.detail,
            extra={
                "app": f"{key[0]}/{key[1]}",
                "kind": str(notice.kind),
                "workflow_id": entity_workflow_id(self._installation, *key),
            },
        )

    async def connected(self) -> Client:
        """The one connection to Temporal; waits for as long as it is down."""
        async with self._connecting:
            if self._client is None:
                self._client = await temporal.connect()
            return self._client
