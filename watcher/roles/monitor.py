"""The role monitor: from the agents' streams to the label ``middleware.io/role`` of each Pod.

Labels are derived: after a restart they are the memory of who held what until the agents speak again, and one that
somebody edits is put back at once. Each component is handled by itself, one change after the other: who loses an
exclusive role loses it before anybody else gets it, and where that cannot be written nobody gets it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from api.names import LABEL_NODE, LABEL_ROLE, STATUS_FIELD_MANAGER
from clients.agents import Agents, AgentTarget
from clients.errors import NotFoundError
from clients.resources import POD, Manifest
from clients.shared_watch import Change, WatchEvent
from watcher import metrics
from watcher.cache import apps, pods
from watcher.cache.caches import AppKey, Caches, ComponentKey
from watcher.roles.arbitration import Arbiter, Decision, LabelChange, Report, label_changes
from watcher.roles.record import recorded_roles
from watcher.roles.rules import RoleRules
from watcher.roles.said import Said, said_after
from watcher.roles.streams import Heard, RoleStream, engine_runs
from watcher.work_queue import WorkQueue

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who else wants to know what is heard and decided. Must return at once."""

    def heard(self, key: ComponentKey, pod: str, heard: Heard) -> None:
        """Of a Pod's stream: a report, also a late one, or that it broke."""

    def decided(self, key: ComponentKey, decision: Decision) -> None:
        """Who has which role now, whether or not the labels could be written."""


class RoleMonitor:
    """Use as ``async with``. ``changed`` is called with an App's key whenever something about its nodes' roles or
    messages is new."""

    def __init__(self, cluster: Caches, agents: Agents, rules: RoleRules, changed: Callable[[AppKey], None]) -> None:
        self._cluster, self._agents, self._rules, self._told = cluster, agents, rules, changed
        self._listeners: list[Listener] = []
        self._refused: dict[ComponentKey, Mapping[str, str]] = {}
        self._arbiters: dict[ComponentKey, Arbiter] = {}
        self._streams: dict[str, RoleStream] = {}
        self._pods: dict[str, tuple[ComponentKey, str, str]] = {}
        self._messages: dict[str, str] = {}
        self._said: dict[str, Said] = {}
        self._heard_at: dict[ComponentKey, float] = {}
        self._written: dict[AppKey, tuple[int, str | None]] = {}
        self._ended: set[asyncio.Task[None]] = set()
        self._queue: WorkQueue[ComponentKey] = WorkQueue("roles", self._settle, longest_backoff=2.0, workers=16)

    async def __aenter__(self) -> None:
        present = [pod for pod in self._cluster.pods.list() if pods.component_of(pod)]
        epochs = self._recorded_epochs(present)
        for pod in present:
            key, role = pods.component_of(pod), pods.role_of(pod)
            if key is not None and role is not None and pods.exists(pod):
                recorded = epochs.get((key[0], key[1], pods.label(pod, LABEL_NODE)), ("", 0))
                epoch = recorded[1] if recorded[0] == role else 0
                self._arbiter(key).seed(str(pod["metadata"]["name"]), role, epoch)
        # Nothing awaited between this look and the subscription: no Pod is missed.
        self._cluster.pods.subscribe(self._pod_changed)
        self._cluster.apps.subscribe(self._app_changed)
        for pod in self._cluster.pods.list():
            self._pod_changed(WatchEvent(Change.ADDED, pod, None))

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()
        tasks = [stream.cancel() for stream in self._streams.values()]
        await asyncio.gather(*tasks, *self._ended, return_exceptions=True)

    def listen(self, listener: Listener) -> None:
        """Before the context is entered, so that it misses nothing."""
        self._listeners.append(listener)

    def message(self, pod: str) -> str:
        """What the Pod's agent says about itself, by ``namespace/name``."""
        return self._messages.get(pod, "")

    def messages(self, key: AppKey) -> Mapping[str, str]:
        """By Pod name, for one App: what the agent says, and why the Pod does not get the role that it claims."""
        found = {}
        for pod in self._cluster.pods_of.of(key):
            name, component = str(pod["metadata"]["name"]), pods.component_of(pod)
            refused = self._refused.get(component, {}).get(name, "") if component is not None else ""
            if message := "; ".join(filter(None, (self.message(f"{key[0]}/{name}"), refused))):
                found[name] = message
        return found

    def said(self, key: AppKey) -> Mapping[str, Said]:
        """By Pod name, for one App: what the agent said last; without Pods whose agent has not been heard yet."""
        names = [str(pod["metadata"]["name"]) for pod in self._cluster.pods_of.of(key)]
        return {name: self._said[f"{key[0]}/{name}"] for name in names if f"{key[0]}/{name}" in self._said}

    def claims(self, key: AppKey) -> Mapping[str, str]:
        """Pod name -> the role that its engine claims, whether or not it has the label, for one App."""
        found = {}
        for pod in self._cluster.pods_of.of(key):
            component, name = pods.component_of(pod), str(pod["metadata"]["name"])
            if component in self._arbiters and (role := self._arbiters[component].claimed(name)):
                found[name] = role
        return found

    def epochs(self, key: AppKey) -> Mapping[str, int]:
        """Pod name -> epoch of its standing claim, for one App."""
        found = {}
        for pod in self._cluster.pods_of.of(key):
            component, name = pods.component_of(pod), str(pod["metadata"]["name"])
            if component is not None and component in self._arbiters:
                found[name] = self._arbiters[component].epoch(name)
        return found

    # Pods come and go

    def _app_changed(self, event: WatchEvent) -> None:
        if event.change is Change.DELETED:
            metadata = event.object["metadata"]
            metrics.forget(metrics.ROLE_CHANGES, str(metadata["namespace"]), str(metadata["name"]))
        before, after = (apps.fenced(app) for app in (event.before, event.object))
        if before != after:
            key = str(event.object["metadata"]["namespace"]), str(event.object["metadata"]["name"])
            for component in {c for pod in self._cluster.pods_of.of(key) if (c := pods.component_of(pod))}:
                self._queue.add(component)

    def _pod_changed(self, event: WatchEvent) -> None:
        pod = event.object
        key = pods.component_of(pod)
        if key is None:
            return
        uid = str(pod["metadata"]["uid"])
        if event.change is Change.DELETED or not pods.exists(pod):
            self._forget(uid)
        else:
            self._follow(uid, key, pod)
        self._queue.add(key)
        self._told(key[:2])

    def _follow(self, uid: str, key: ComponentKey, pod: Manifest) -> None:
        metadata, address = pod["metadata"], pods.address(pod)
        name = str(metadata["name"])
        known = self._pods.get(uid)
        if known is not None and known[0] != key:  # relabelled by hand into another component
            self._forget(uid)
        self._pods[uid] = (key, name, str(metadata["namespace"]))
        stream = self._streams.get(uid)
        if stream is not None and stream.target.address == address:
            stream.hurry()
            return
        self._end(uid)
        if not address:
            return
        target = AgentTarget(key[0], key[1], pods.label(pod, LABEL_NODE), address)
        self._streams[uid] = RoleStream(self._agents, target, name, lambda heard: self._heard(uid, heard))

    def _forget(self, uid: str) -> None:
        self._end(uid)
        known = self._pods.pop(uid, None)
        if known is None:
            return
        key, name, namespace = known
        self._messages.pop(f"{namespace}/{name}", None)
        self._said.pop(f"{namespace}/{name}", None)
        self._written.pop((namespace, name), None)
        self._arbiter(key).gone(name, _now())
        self._queue.add(key)

    def _end(self, uid: str) -> None:
        stream = self._streams.pop(uid, None)
        if stream is not None:
            task = stream.cancel()
            self._ended.add(task)
            task.add_done_callback(self._ended.discard)

    # Reports

    def _heard(self, uid: str, heard: Heard) -> None:
        known = self._pods.get(uid)
        if known is None:
            return
        key, name, namespace = known
        message = heard.silence if heard.report is None else heard.report.message or heard.report.unsaved
        for listener in self._listeners:
            listener.heard(key, name, heard)
        at = f"{namespace}/{name}"
        said = said_after(self._said.get(at), heard, _now())
        if self._messages.get(at, "") != message or self._said.get(at) != said:
            self._messages[at], self._said[at] = message, said
            self._told(key[:2])
        if heard.report is None:
            return
        new = heard.report
        report = Report(new.role, new.epoch, new.sequence, new.incarnation, engine_runs(new))
        if self._arbiter(key).report(name, report):
            log.info(
                "%s is %s", new.node, new.role or f"without role now ({new.message})",
                extra={"app": f"{key[0]}/{key[1]}", "pod": name, "epoch": new.epoch},
            )  # fmt: skip
            self._told(key[:2])
            self._heard_at.setdefault(key, _now())
            self._queue.add(key)

    def _arbiter(self, key: ComponentKey) -> Arbiter:
        return self._arbiters.setdefault(key, Arbiter())

    # Labels

    async def _settle(self, key: ComponentKey) -> None:
        arbiter = self._arbiter(key)
        exclusive = self._rules.exclusive(*key)
        decision = arbiter.decide(exclusive, _now(), self._barred(key))
        for listener in self._listeners:
            listener.decided(key, decision)
        if decision.recheck is not None:
            self._queue.add(key, max(decision.recheck - _now(), 0.05))
        present = {
            str(pod["metadata"]["name"]): self._present_label(pod)
            for pod in self._cluster.pods_of.of(key[:2])
            if pods.component_of(pod) == key
        }
        wanted = {pod: role for pod, role in decision.roles.items() if pod in present}
        changes = label_changes(present, wanted, exclusive)
        if decision.refused != self._refused.get(key, {}):
            self._refused[key] = decision.refused
            self._told(key[:2])
            for pod, why in decision.refused.items():
                log.warning("%s %s", pod, why, extra={"app": f"{key[0]}/{key[1]}"})
        first = [change for change in changes if change.first]
        then = [change for change in changes if not change.first]
        for step in (first, then):
            # Raises where one cannot be written: the queue comes back, and nobody has got a role too many.
            await asyncio.gather(*(self._label(key, change) for change in step))
        heard = self._heard_at.pop(key, None)
        if heard is not None:
            metrics.ROLE_SECONDS.observe(_now() - heard)
        if changes:
            self._told(key[:2])
        if not present and not len(arbiter):
            self._arbiters.pop(key, None)
            self._refused.pop(key, None)

    def _barred(self, key: ComponentKey) -> dict[str, str]:
        """Pods of nodes that were replaced as primary and have not been taken in again."""
        fenced = apps.fenced(self._cluster.apps.get(*key[:2]))
        if not fenced:
            return {}
        why = "it was replaced as primary and has not been taken in again"
        found = self._cluster.pods_of.of(key[:2])
        return {str(pod["metadata"]["name"]): why for pod in found if pods.label(pod, LABEL_NODE) in fenced}

    def _present_label(self, pod: Manifest) -> str | None:
        """From the cache, or what was written last where the cache has not seen that yet."""
        metadata = pod["metadata"]
        version, role = self._written.get((str(metadata["namespace"]), str(metadata["name"])), (0, None))
        return role if version > int(metadata["resourceVersion"]) else pods.role_of(pod)

    async def _label(self, key: ComponentKey, change: LabelChange) -> None:
        body = {"metadata": {"labels": {LABEL_ROLE: change.role}}}
        try:
            pod = await self._cluster.kubernetes.patch(POD, change.pod, key[0], body, manager=STATUS_FIELD_MANAGER)
        except NotFoundError:
            return  # gone: it holds nothing
        if self._cluster.pods.get(key[0], change.pod) is not None:  # else it has been forgotten already
            self._written[key[0], change.pod] = int(pod["metadata"]["resourceVersion"]), change.role
        if self._cluster.apps.get(*key[:2]) is not None:
            metrics.ROLE_CHANGES.labels(key[0], key[1]).inc()
        log.info(
            "label %s", f"{LABEL_ROLE}={change.role}" if change.role else f"{LABEL_ROLE} removed",
            extra={"app": f"{key[0]}/{key[1]}", "pod": change.pod},
        )  # fmt: skip

    def _recorded_epochs(self, present: list[Manifest]) -> dict[tuple[str, str, str], tuple[str, int]]:
        """(namespace, App, node) -> role and epoch as an earlier watcher wrote them into the Components' statuses."""
        keys = {(key[0], key[1]) for pod in present if (key := pods.component_of(pod)) and pods.role_of(pod)}
        return {
            (*key, entry.node): (entry.role, entry.epoch)
            for key in keys
            for component in self._cluster.components_of.of(key)
            for entry in recorded_roles(component)
        }


def _now() -> float:
    return asyncio.get_running_loop().time()
