"""Tells an App's workflow when a drain waits for it: a machine is cordoned on which a node runs that cannot just go.

What is to be done about it the workflow finds by itself, at every look. Here it is only woken: at once, and again with
each change of what it would find, such as a node elsewhere that has become ready and could take over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from api.operations import CORDONED, Notice, NoticeKind
from clients.machines import machine_of, takes_pods
from clients.resources import Manifest
from clients.shared_watch import WatchEvent
from watcher.cache import apps, drift
from watcher.cache.caches import AppKey, Caches
from watcher.cache.machines import situation
from watcher.roles.rules import RoleRules

log = logging.getLogger(__name__)


class Cordons:
    """Use as ``async with``. ``tell`` gets the App and the notice for its workflow."""

    def __init__(self, cluster: Caches, rules: RoleRules, tell: Callable[[Manifest, Notice], None]) -> None:
        self._cluster, self._rules, self._tell = cluster, rules, tell
        self._told: dict[AppKey, list[str]] = {}
        self._open: frozenset[str] = frozenset()

    async def __aenter__(self) -> None:
        self._look_at_machines()
        self._cluster.machines.subscribe(self._machine_changed)
        self._cluster.pods.subscribe(self._pod_changed)
        for app in self._cluster.apps.list():
            self._look((str(app["metadata"]["namespace"]), str(app["metadata"]["name"])))

    async def __aexit__(self, *_: object) -> None:
        return

    def _look_at_machines(self) -> None:
        machines = self._cluster.machines.list()
        self._open = frozenset(str(each["metadata"]["name"]) for each in machines if takes_pods(each))

    def _machine_changed(self, event: WatchEvent) -> None:
        name, before = str(event.object["metadata"]["name"]), self._open
        self._look_at_machines()
        if (name in before) == (name in self._open):
            return
        log.info("machine %s %s", name, "takes Pods" if name in self._open else f"is {CORDONED}, or gone")
        there = (
            drift.app_of(pod) for pod in self._cluster.pods.list() if name in self._open or machine_of(pod) == name
        )
        # A machine that takes Pods again may hold the one that can take over for a node elsewhere.
        for key in dict.fromkeys([*there, *self._told]):
            if key is not None:
                self._look(key)

    def _pod_changed(self, event: WatchEvent) -> None:
        key, where = drift.app_of(event.object), machine_of(event.object)
        if key is not None and (key in self._told or (where and where not in self._open)):
            self._look(key)

    def _look(self, key: AppKey) -> None:
        app = self._cluster.apps.get(*key)
        if app is None or not apps.is_living(app):
            self._told.pop(key, None)
            return
        found = situation(
            self._cluster.pods_of.of(key), self._open, lambda component: self._rules.exclusive(*key, component)
        )
        known = self._told.pop(key, [])
        if found:
            self._told[key] = found
        if found != known:
            detail = "; ".join(found) or f"no node that is needed is on a {CORDONED} machine any more"
            log.info("%s", detail, extra={"app": "/".join(key)})
            self._tell(app, Notice(NoticeKind.CORDON, detail))
