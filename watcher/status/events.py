"""Kubernetes Events on what is wrong with an App: a Warning when a problem has stood for a while, and again while it
stands, as the API server forgets Events after an hour.

Of what an operation is at work on nothing is told: it moves roles and restarts nodes on purpose.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from api.names import API_VERSION, STATUS_FIELD_MANAGER, app_labels
from api.operations import Notice, NoticeKind
from clients.errors import AlreadyExistsError, KubernetesError
from clients.kubernetes import Kubernetes
from clients.resources import EVENT, Manifest
from watcher.cache.caches import AppKey
from watcher.status.facts import AppFacts
from watcher.status.health import TOLD, Health, Kind, Problem

log = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds that a problem stands before it is told: a failover of the engine's own passes through some."""
LONGER = {
    Kind.WRITES_REFUSED: 8.0,
    Kind.FAILOVER_OFF: 30.0,
    Kind.FOLLOWS_ANOTHER: 15.0,
    Kind.ADDRESS_CHANGED: 15.0,
}
"""Of problems that a failover of the engine's own, or a Repair that is about to begin, ends by itself."""
REPAIRED = frozenset({Kind.FOLLOWS_ANOTHER, Kind.WRITES_REFUSED, Kind.ADDRESS_CHANGED})
"""Of these the App's workflow is woken; it looks by itself, and acts on what it finds."""
AGAIN_AFTER = 1800.0
_MESSAGE_LIMIT = 1024
"""The API server's limit for an Event's message."""


class Events:
    """``again`` is asked to have the App looked at once more after so many seconds; ``wake`` tells its workflow of what
    an operation can put right."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        again: Callable[[AppKey, float], None],
        wake: Callable[[Manifest, Notice], None],
    ) -> None:
        self._kubernetes, self._again, self._wake = kubernetes, again, wake
        self._since: dict[AppKey, dict[Problem, float]] = {}
        self._told: dict[AppKey, dict[Problem, float]] = {}

    def forget(self, key: AppKey) -> None:
        """The App is gone."""
        self._since.pop(key, None)
        self._told.pop(key, None)

    async def tell(self, key: AppKey, app: Manifest, health: Health, facts: AppFacts) -> None:
        """What has to be told now."""
        now = asyncio.get_running_loop().time()
        quiet = facts.working or not facts.began or facts.deleting
        standing = [] if quiet else [problem for problem in health.problems if problem.kind in TOLD]
        since = {problem: self._since.get(key, {}).get(problem, now) for problem in standing}
        told = {problem: at for problem, at in self._told.get(key, {}).items() if problem in since}
        for problem, began in since.items():
            due = began + LONGER.get(problem.kind, PATIENCE)
            if problem in told:
                due = told[problem] + AGAIN_AFTER
            if due > now:
                self._again(key, due - now)
            else:
                if problem.kind in REPAIRED:
                    self._wake(app, Notice(NoticeKind.DRIFT, problem.message))
                await self._write(app, problem)
                told[problem] = now
                self._again(key, AGAIN_AFTER)
        self._since[key], self._told[key] = since, told
        if not since:
            self.forget(key)

    async def _write(self, app: Manifest, problem: Problem) -> None:
        metadata = app["metadata"]
        namespace, name = str(metadata["namespace"]), str(metadata["name"])
        key = hashlib.sha256(f"{metadata['uid']}\n{problem.kind}\n{problem.message}".encode()).hexdigest()[:16]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{key}", "namespace": namespace, "labels": app_labels(name)},
            "involvedObject": {
                "apiVersion": API_VERSION, "kind": "App", "name": name, "namespace": namespace, "uid": metadata["uid"],
            },
            "reason": str(problem.kind),
            "message": problem.message[:_MESSAGE_LIMIT],
            "type": "Warning",
            "source": {"component": STATUS_FIELD_MANAGER},
            "reportingComponent": STATUS_FIELD_MANAGER,
            "reportingInstance": "watcher",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }  # fmt: skip
        try:
            try:
                await self._kubernetes.create(event)
            except AlreadyExistsError:  # from an earlier time that it stood, or from the watcher before
                live = await self._kubernetes.get(EVENT, f"{name}.{key}", namespace) or {}
                change = {"lastTimestamp": now, "count": int(live.get("count") or 1) + 1}
                await self._kubernetes.patch(EVENT, f"{name}.{key}", namespace, change, manager=STATUS_FIELD_MANAGER)
        except KubernetesError as error:  # the status says it as well
            log.warning("the Event %s could not be written: %s", problem.kind, error, extra={"app": name})
