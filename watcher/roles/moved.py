"""Kubernetes Events on an exclusive writable role that moved, or is held by nobody, without the platform's doing.

An engine that elects its own primary does so within moments, and the App is as wanted again before anybody looks. So
who held the role, who holds it now and since which epoch is told when it changes. What the platform moves is told by
the operation that moves it: it has noted in the App's status, before it asks, which node is to have the role
(``status.moving``) or is to lose it (``status.fenced``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from api.names import LABEL_NODE, STATUS_FIELD_MANAGER
from clients.app_object import AppEvent, write_event
from clients.resources import Manifest
from clients.shared_watch import Change, WatchEvent
from watcher.cache import apps, drift, pods
from watcher.cache.caches import AppKey, Caches, ComponentKey
from watcher.roles.arbitration import Decision
from watcher.roles.record import recorded_roles
from watcher.roles.rules import RoleRules
from watcher.roles.streams import Heard
from watcher.work_queue import WorkQueue

log = logging.getLogger(__name__)

LOST_AFTER = 3.0
"""Seconds without a holder after which that is told: a process that ends and begins again takes less."""
NOTED_FOR = 60.0
"""Seconds for which a note counts after it was taken away: a node's word may come a moment later."""


@dataclass(frozen=True)
class Holding:
    """``epoch``: since when, as its engine counts; 0 of one that does not count."""

    node: str
    epoch: int


@dataclass(frozen=True)
class Moved:
    role: str
    before: Holding
    now: Holding


@dataclass(frozen=True)
class Vacated:
    """``back``: the same node has it again, and its absence had been told."""

    role: str
    before: Holding
    back: bool = False


@dataclass(frozen=True)
class _Note:
    """That the platform gives a role of the App to the node (``gives``), or takes it from it."""

    app: AppKey
    node: str
    gives: bool


@dataclass
class _Known:
    """Of one component of one App (``uid``). ``last``: who held each role last, also where it is gone. ``vacant``:
    since when nobody holds it. ``lost``: roles of which that was told."""

    uid: str
    last: dict[str, Holding] = field(default_factory=dict)
    vacant: dict[str, float] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    untold: list[Moved | Vacated] = field(default_factory=list)


def moves(before: Mapping[str, Holding], now: Mapping[str, Holding]) -> Iterator[Moved]:
    """A first holder is no move, nor is one that is back."""
    for role, holding in sorted(now.items()):
        if role in before and before[role].node != holding.node:
            yield Moved(role, before[role], holding)


class MovedRoles:
    """A listener of the role monitor. Use as ``async with``, before it. ``epochs``: of an App's Pods."""

    def __init__(self, cluster: Caches, rules: RoleRules, epochs: Callable[[AppKey], Mapping[str, int]]) -> None:
        self._cluster, self._rules, self._epochs = cluster, rules, epochs
        self._known: dict[ComponentKey, _Known] = {}
        self._noted: dict[_Note, float] = {}
        """Until when each counts."""
        self._queue: WorkQueue[ComponentKey] = WorkQueue("moved roles", self._tell)

    async def __aenter__(self) -> None:
        self._cluster.apps.subscribe(self._app_changed)

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()

    def heard(self, key: ComponentKey, pod: str, heard: Heard) -> None:
        """What is decided of it counts."""

    def decided(self, key: ComponentKey, decision: Decision) -> None:
        app = self._cluster.apps.get(*key[:2])
        if app is None or not apps.is_living(app):
            self._known.pop(key, None)
            return
        known, now = self._of(key, app), _now()
        held = self._held(key, decision)
        for move in moves(known.last, held):
            if not self._by_platform(key, app, move):
                known.untold.append(move)
        known.untold += [
            Vacated(role, held[role], back=True) for role in sorted(known.lost & held.keys())
            if known.last[role].node == held[role].node
        ]  # fmt: skip
        known.lost -= held.keys()
        known.last.update(held)
        known.vacant = {role: known.vacant.get(role, now) for role in known.last if role not in held}
        if known.untold:
            self._queue.add(key)
        elif known.vacant.keys() - known.lost:
            self._queue.add(key, LOST_AFTER)

    def _of(self, key: ComponentKey, app: Manifest) -> _Known:
        """With what an earlier watcher has noted in the Component's status."""
        uid = str(app["metadata"]["uid"])
        known = self._known.get(key)
        if known is None or known.uid != uid:
            exclusive = self._rules.exclusive(*key)
            recorded = {
                entry.role: Holding(entry.node, entry.epoch)
                for component in self._cluster.components_of.of(key[:2])
                if component["spec"]["component"] == key[2] and drift.belongs_to(component, app)
                for entry in recorded_roles(component)
                if entry.role in exclusive
            }
            known = self._known[key] = _Known(uid, recorded)
        return known

    def _held(self, key: ComponentKey, decision: Decision) -> dict[str, Holding]:
        exclusive, epochs, held = self._rules.exclusive(*key), self._epochs(key[:2]), {}
        for name, role in decision.roles.items():
            pod = self._cluster.pods.get(key[0], name)
            if role in exclusive and pod is not None:
                held[role] = Holding(pods.label(pod, LABEL_NODE), epochs.get(name, 0))
        return held

    def _by_platform(self, key: ComponentKey, app: Manifest, move: Moved) -> bool:
        self._note(key[:2], app)
        notes = _Note(key[:2], move.now.node, gives=True), _Note(key[:2], move.before.node, gives=False)
        return any(self._noted.get(note, 0.0) > _now() for note in notes)

    def _note(self, key: AppKey, app: Manifest) -> None:
        moving = (app.get("status") or {}).get("moving") or []
        notes = {_Note(key, str(each.get("candidate")), gives=True) for each in moving}
        for note in notes | {_Note(key, node, gives=False) for node in apps.fenced(app)}:
            self._noted[note] = _now() + NOTED_FOR

    def _app_changed(self, event: WatchEvent) -> None:
        key = str(event.object["metadata"]["namespace"]), str(event.object["metadata"]["name"])
        if event.change is Change.DELETED:
            self._known = {component: known for component, known in self._known.items() if component[:2] != key}
            self._noted = {note: until for note, until in self._noted.items() if note.app != key}
            return
        self._note(key, event.object)
        self._noted = {note: until for note, until in self._noted.items() if until > _now()}

    async def _tell(self, key: ComponentKey) -> None:
        known, app = self._known.get(key), self._cluster.apps.get(*key[:2])
        if known is None or app is None or str(app["metadata"]["uid"]) != known.uid:
            return
        known.untold += self._lost(key, app, known)
        while known.untold:
            await self._write(key, app, known.untold.pop(0))

    def _lost(self, key: ComponentKey, app: Manifest, known: _Known) -> Iterator[Vacated]:
        """Not while an operation is at work, which takes a role away on purpose, nor where a Failover tells of it."""
        if self._rules.replaced(*key):
            return
        working = ((app.get("status") or {}).get("operation") or {}).get("state") == "Running"
        for role, since in sorted(known.vacant.items()):
            if role in known.lost:
                continue
            left = since + LOST_AFTER - _now()
            if left <= 0 and not working:
                known.lost.add(role)
                yield Vacated(role, known.last[role])
            else:
                self._queue.add(key, left if left > 0 else LOST_AFTER)

    async def _write(self, key: ComponentKey, app: Manifest, what: Moved | Vacated) -> None:
        reason, sentence, warning = said(key[2], what, by_engine=not self._rules.replaced(*key))
        log.info("%s: %s", reason, sentence, extra={"app": f"{key[0]}/{key[1]}"})
        uid = str(app["metadata"]["uid"])
        event = AppEvent(key[0], key[1], uid, reason, sentence, warning=warning)
        await write_event(self._cluster.kubernetes, event, manager=STATUS_FIELD_MANAGER, instance="watcher")


def said(component: str, what: Moved | Vacated, *, by_engine: bool) -> tuple[str, str, bool]:
    """Reason, sentence, and whether it is a warning. ``by_engine``: the engine elects its own holder."""
    if isinstance(what, Moved):
        epoch = f" (epoch {what.now.epoch})" if what.now.epoch else ""
        who = "moved by the engine itself" if by_engine else "moved neither by the platform nor by an election"
        sentence = f"{what.now.node} is {what.role} of {component} now, before it was {what.before.node}: {who}{epoch}"
        return "PrimaryMoved", sentence, True
    if what.back:
        epoch = f" (epoch {what.before.epoch})" if what.before.epoch else ""
        return "PrimaryReturned", f"{what.before.node} is {what.role} of {component} again{epoch}", False
    return "PrimaryLost", f"nobody is {what.role} of {component}; last it was {what.before.node}", True


def _now() -> float:
    return asyncio.get_running_loop().time()
