"""Tells Apps' workflows what is suspected: at once, until Temporal has taken it, and again for as long as it stands."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from temporalio.client import Client
from temporalio.service import RPCError

from api.operations import AppReference, Suspicion
from clients import temporal
from watcher import metrics
from watcher.cache.caches import Caches, ComponentKey
from watcher.failover.detection_rules import Kind
from watcher.work_queue import WorkQueue

log = logging.getLogger(__name__)

AGAIN_AFTER = 15.0
"""A workflow that could not act on it when it came is told again."""


@dataclass(frozen=True)
class Reason:
    """What is told once, however often it is found."""

    key: ComponentKey
    node: str
    kind: Kind


class Suspicions:
    """Use as ``async with``. Like the notices', its patience with Temporal has no end."""

    def __init__(self, cluster: Caches, installation: str, connected: Callable[[], Awaitable[Client]]) -> None:
        self._cluster, self._installation, self._connected = cluster, installation, connected
        self._standing: dict[Reason, Suspicion] = {}
        self._taken: set[Reason] = set()
        self._queue: WorkQueue[Reason] = WorkQueue("suspicion", self._send, workers=16, longest_backoff=2.0)

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()

    def stand(self, key: ComponentKey, found: dict[Reason, Suspicion]) -> None:
        """All that is suspected of the component now; what is not named is over."""
        for reason in [reason for reason in self._standing if reason.key == key and reason not in found]:
            log.info("over: %s", self._standing.pop(reason).why, extra={"app": "/".join(key[:2])})
            self._taken.discard(reason)
        for reason, suspicion in found.items():
            new = reason not in self._standing
            self._standing[reason] = suspicion
            if new:
                metrics.SUSPICIONS.labels(reason.kind).inc()
                log.warning("suspected: %s", suspicion.why, extra={"app": "/".join(key[:2]), "node": reason.node})
                self._queue.add(reason, 0.0)

    def taken(self, reason: Reason) -> bool:
        """Whether the App's workflow has been told."""
        return reason in self._taken

    async def _send(self, reason: Reason) -> None:
        client = await self._connected()
        suspicion = self._standing.get(reason)
        if suspicion is None:
            return  # over before it could be told
        namespace, app, _ = reason.key
        manifest = self._cluster.apps.get(namespace, app) or {}
        plugin = str(((manifest.get("spec") or {}).get("plugin") or {}).get("name") or "")
        reference = AppReference(namespace, app)
        try:
            await temporal.suspect_entity(client, self._installation, reference, suspicion, plugin=plugin)
        except RPCError as error:
            metrics.SIGNAL_FAILURES.inc()
            raise TimeoutError(f"Temporal did not take the suspicion: {error.status.name}: {error.message}") from error
        metrics.SIGNALS.labels("suspicion").inc()
        if reason in self._standing:
            self._taken.add(reason)
            self._queue.add(reason, AGAIN_AFTER)
