"""Kubernetes Events on what is wrong with an App: a Warning when a problem has stood for a while, and again while it
stands, as the API server forgets Events after an hour.

Of what an operation is at work on nothing is told: it moves roles and restarts nodes on purpose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from api.names import STATUS_FIELD_MANAGER
from api.operations import Notice, NoticeKind
from clients.app_object import AppEvent, write_event
from clients.kubernetes import Kubernetes
from clients.resources import Manifest
from watcher.cache.caches import AppKey
from watcher.status.facts import AppFacts
from watcher.status.health import TOLD, Health, Kind, Problem

PATIENCE = 3.0
"""Seconds that a problem stands before it is told: a failover of the engine's own passes through some."""
LONGER = {
    Kind.WRITES_REFUSED: 8.0,
    Kind.FAILOVER_OFF: 30.0,
    Kind.FOLLOWS_ANOTHER: 15.0,
    Kind.ADDRESS_CHANGED: 15.0,
    Kind.SERVICE_MISSING: 15.0,
}
"""Of problems that a failover of the engine's own, or a Repair that is about to begin, ends by itself."""
REPAIRED = frozenset({Kind.FOLLOWS_ANOTHER, Kind.WRITES_REFUSED, Kind.ADDRESS_CHANGED, Kind.CREDENTIALS_CHANGED})
"""Of these the App's workflow is woken; it looks by itself, and acts on what it finds."""
AGAIN_AFTER = 1800.0


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
        if not quiet and _taken_back(self._told.get(key, {}), since):
            self._wake(app, Notice(NoticeKind.DRIFT, "an edited password was taken back"))
        self._since[key], self._told[key] = since, told
        if not since:
            self.forget(key)

    async def _write(self, app: Manifest, problem: Problem) -> None:
        """The status says it as well, so one that cannot be written fails nothing."""
        metadata = app["metadata"]
        event = AppEvent(
            str(metadata["namespace"]),
            str(metadata["name"]),
            str(metadata["uid"]),
            str(problem.kind),
            problem.message,
            warning=True,
        )
        await write_event(self._kubernetes, event, manager=STATUS_FIELD_MANAGER, instance="watcher")


def _taken_back(told: Mapping[Problem, float], standing: Mapping[Problem, float]) -> bool:
    """Whether an edit that the workflow could not carry out is gone, so that it says so no longer."""
    before, now = (any(each.kind is Kind.CREDENTIALS_CHANGED for each in known) for known in (told, standing))
    return before and not now
