"""The watches that the leader keeps, each with only what is read of its objects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from api.names import LABEL_APP, LABEL_PLUGIN_VERSION, SYSTEM_NAMESPACE
from clients.kubernetes import Kubernetes
from clients.resources import (
    APP,
    COMPONENT,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    DISRUPTION_BUDGET_BETA,
    GROUP,
    MACHINE,
    POD,
    SERVICE,
    VOLUME_CLAIM,
    Manifest,
    Resource,
)
from clients.shared_watch import Change, SharedWatch, WatchEvent
from watcher import metrics
from watcher.cache import drift, machines, pods

log = logging.getLogger(__name__)

_PLUGIN_SELECTOR = f"{LABEL_PLUGIN_VERSION},app.kubernetes.io/component=plugin"


AppKey = tuple[str, str]
"""Namespace and name of an App."""
ComponentKey = tuple[str, str, str]
"""Namespace, App, component."""


class ByApp:
    """The objects of one watch by the App whose label they carry, so that one App's event does not read all Apps'."""

    def __init__(self, watch: SharedWatch) -> None:
        self._watch = watch
        self._names: dict[AppKey, set[str]] = {}
        watch.subscribe(self._changed)

    def of(self, key: AppKey) -> list[Manifest]:
        """In the order of their names."""
        found = (self._watch.get(key[0], name) for name in sorted(self._names.get(key, ())))
        return [manifest for manifest in found if manifest is not None]

    def _changed(self, event: WatchEvent) -> None:
        # An object that loses its label, or gets another App's, is first deleted from a watch that selects by it.
        for manifest, present in ((event.before, False), (event.object, event.change is not Change.DELETED)):
            key = drift.app_of(manifest) if manifest is not None else None
            if manifest is None or key is None:
                continue
            names = self._names.setdefault(key, set())
            (names.add if present else names.discard)(str(manifest["metadata"]["name"]))
            if not names:
                del self._names[key]


@dataclass(frozen=True)
class Caches:
    """Started, synced watches. ``kept``: kinds whose changes by others are drift."""

    kubernetes: Kubernetes
    apps: SharedWatch
    pods: SharedWatch
    plugins: SharedWatch
    machines: SharedWatch
    kept: tuple[SharedWatch, ...]
    components_of: ByApp
    groups_of: ByApp
    pods_of: ByApp
    services_of: ByApp
    deployments_of: ByApp
    config_maps_of: ByApp
    claims_of: ByApp

    def all(self) -> tuple[SharedWatch, ...]:
        return (self.apps, self.pods, self.plugins, self.machines, *self.kept)


@asynccontextmanager
async def watched(kubernetes: Kubernetes) -> AsyncIterator[Caches]:
    """Starts all watches; waits, without limit, until each has its first list. They end with the context."""

    def ours(resource: Resource, trim: Callable[[Manifest], None]) -> SharedWatch:
        return SharedWatch(kubernetes, resource, labels=LABEL_APP, trim=trim)

    # Asked once: an API server is upgraded across 1.21 and 1.25 with its watcher restarted on the way.
    budget = DISRUPTION_BUDGET if await _serves(kubernetes) else DISRUPTION_BUDGET_BETA
    components, groups, services = (ours(resource, drift.trim) for resource in (COMPONENT, GROUP, SERVICE))
    deployments, config_maps = (ours(resource, drift.trim) for resource in (DEPLOYMENT, CONFIG_MAP))
    claims, budgets = (ours(resource, drift.trim) for resource in (VOLUME_CLAIM, budget))
    nodes = ours(POD, pods.trim)
    cluster = Caches(
        kubernetes,
        apps=SharedWatch(kubernetes, APP),
        pods=nodes,
        components_of=ByApp(components),
        groups_of=ByApp(groups),
        pods_of=ByApp(nodes),
        services_of=ByApp(services),
        deployments_of=ByApp(deployments),
        config_maps_of=ByApp(config_maps),
        claims_of=ByApp(claims),
        plugins=SharedWatch(kubernetes, CONFIG_MAP, namespace=SYSTEM_NAMESPACE, labels=_PLUGIN_SELECTOR),
        machines=SharedWatch(kubernetes, MACHINE, trim=machines.trim),
        kept=(components, groups, services, deployments, config_maps, claims, budgets),
    )
    async with AsyncExitStack() as stack:
        for watch in cluster.all():
            _metered(watch)
            await stack.enter_async_context(watch)
        await asyncio.gather(*(_synced(watch) for watch in cluster.all()))
        yield cluster


def _metered(watch: SharedWatch) -> None:
    events = metrics.WATCH_EVENTS.labels(watch.resource.kind)
    watch.subscribe(lambda _: events.inc())
    metrics.WATCH_SILENCE.labels(watch.resource.kind).set_function(lambda: watch.silent_for)


async def _serves(kubernetes: Kubernetes) -> bool:
    while True:
        try:
            return await kubernetes.serves(DISRUPTION_BUDGET)
        except Exception as error:
            log.warning("the API server does not say what it serves: %s", error)
        await asyncio.sleep(1.0)


async def _synced(watch: SharedWatch) -> None:
    while True:
        try:
            return await watch.synced(30.0)
        except TimeoutError:
            log.warning("waiting for the first list of %s", watch.resource.plural)
