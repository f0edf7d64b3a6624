"""The failure detector's hands: gathers what is known of each component whose primary the platform replaces, asks where
something seems wrong, has ``watcher.failover.detection_rules`` judge, and tells the App's workflow and status.

Whoever is suspected of being lost gets no lease from us any more, from before the workflow hears of it until it is
heard again: a failover that cannot reach the old primary waits its lease out. But for one that waits in vain
(``watcher.failover.component_memory``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from api.app import RoleMove
from api.names import LABEL_NODE
from clients.agents import Agents
from clients.resources import Manifest
from clients.shared_watch import Change, WatchEvent
from proto import agent_pb2
from watcher import metrics
from watcher.cache import apps, pods
from watcher.cache.caches import AppKey, Caches, ComponentKey
from watcher.failover import observations
from watcher.failover.component_memory import ComponentMemory, by_node
from watcher.failover.detection_rules import Facts, Finding, Process, Usage, findings
from watcher.failover.holders import lease_holders, may_not_begin, target_of, why_not
from watcher.failover.lease_renewal import Holder, LeaseRenewal
from watcher.failover.observations import Observation, skew_notes
from watcher.failover.probes import Asked, Probes
from watcher.failover.suspicions import Reason, Suspicions
from watcher.roles.arbitration import Decision
from watcher.roles.record import RecordedHolder, recorded_holders
from watcher.roles.rules import RoleRules
from watcher.roles.streams import Heard
from watcher.work_queue import WorkQueue

log = logging.getLogger(__name__)

BEGIN_SECONDS = 3.0
"""A watcher that has just begun suspects nobody before it has heard each agent of the component, or for so long."""
ASK_USAGE_AFTER = 1.0
"""Seconds without an answer; the usage takes another second to be known, and must be by ``HUNG_AFTER``."""
LOOK_AGAIN = 0.5
"""Seconds to the next look where time alone may change the judgement. Elsewhere events cause it."""


class FailureDetector:
    """Use as ``async with``, before the monitor. ``changed`` is called where notes or recorded holders are new."""

    def __init__(
        self,
        cluster: Caches,
        agents: Agents,
        rules: RoleRules,
        suspicions: Suspicions,
        changed: Callable[[AppKey], None],
        leads: Callable[[], bool],
    ) -> None:
        """``leads``: whether this watcher still does. One that was replaced renews nothing."""
        self._leads = leads
        self._cluster, self._rules, self._suspicions, self._changed = cluster, rules, suspicions, changed
        self._components: dict[ComponentKey, ComponentMemory] = {}
        self._notes: dict[ComponentKey, tuple[str, ...]] = {}
        self._ran_before: set[str] = set()
        self._renewal = LeaseRenewal(agents, self._may_have_lease, self._renewed, self._held, self._may_begin)
        self._probes = Probes(agents)
        self._begun = _unix()
        self._queue: WorkQueue[ComponentKey] = WorkQueue("failures", self._look, longest_backoff=1.0, workers=16)

    async def __aenter__(self) -> None:
        # Of a Pod that was there before us nobody has told us yet; its container says that its process may have run.
        self._ran_before = {str(pod["metadata"]["uid"]) for pod in self._cluster.pods.list() if pods.runs(pod)}
        self._cluster.pods.subscribe(self._pod_changed)
        self._cluster.apps.subscribe(self._app_changed)

    async def __aexit__(self, *_: object) -> None:
        await self._queue.close()
        await self._renewal.__aexit__()
        await self._probes.__aexit__()

    def notes(self, key: AppKey) -> Sequence[str]:
        """Sentences on what is wrong with an App's primaries, and what is done or why nothing is."""
        return [note for component, found in sorted(self._notes.items()) if component[:2] == key for note in found]

    def holders(self, key: AppKey) -> Sequence[RecordedHolder]:
        """Who held each role of an App last, for the record: without it a later watcher would not know whom to miss."""
        own = [(component, c) for component, c in sorted(self._components.items()) if component[:2] == key]
        return [RecordedHolder(key[2], role, node) for key, c in own for role, node in sorted(c.last.items())]

    # What is heard

    def heard(self, key: ComponentKey, pod: str, heard: Heard) -> None:
        component = self._of(key)
        if component is None:
            return
        known = self._seen(component, key, pod)
        if heard.report is None:
            after = observations.broken(known)
        else:
            after = observations.heard(known, heard.report, self._rules.exclusive(*key), _now(), _unix())
        self._saw(key, component, pod, after)

    def decided(self, key: ComponentKey, decision: Decision) -> None:
        component = self._of(key)
        if component is None:
            self._renewal.keep(key, ())
            return
        component.decision = decision
        before = dict(component.last)
        exclusive = self._rules.exclusive(*key)
        for name, role in decision.roles.items():
            pod = self._cluster.pods.get(key[0], name)
            if role in exclusive and pod is not None:
                component.last[role] = pods.label(pod, LABEL_NODE)
                if target := target_of(key, pod):
                    component.addresses[target.node] = target.address
        self._keep_leases(key, component)
        claiming = self._claiming(key, decision)
        component.claiming_since = {node: component.claiming_since.get(node, _now()) for node in claiming}
        if component.last != before:
            self._changed(key[:2])
        self._queue.add(key)

    def _keep_leases(self, key: ComponentKey, component: ComponentMemory) -> None:
        own = self._own(key)
        roles, exclusive = component.decision.roles, self._rules.exclusive(*key)
        last = component.last if component.record_read or component.last else None
        replaced = apps.fenced(self._cluster.apps.get(*key[:2]))
        self._renewal.keep(key, lease_holders(key, own, roles, exclusive, last, component.seen, replaced))

    def _claiming(self, key: ComponentKey, decision: Decision) -> set[str]:
        found = (self._cluster.pods.get(key[0], name) for name in decision.refused)
        return {pods.label(pod, LABEL_NODE) for pod in found if pod is not None}

    def _held(self, holder: Holder) -> None:
        """Its agent has taken the lease: fresher news than the stream's, which only tells of changes."""
        component = self._components.get(holder.key)
        seen = component.seen.get(holder.pod) if component is not None else None
        answers = seen is not None and seen.process is Process.RUNNING and seen.unanswered_since is None
        if component is not None and answers:
            component.well[holder.target.node] = _unix()

    def _renewed(self, holder: Holder, reached: bool, began: float) -> None:
        self._called(holder.key, holder.pod, reached, began)

    def _called(self, key: ComponentKey, pod: str, reached: bool, began: float) -> None:
        component = self._of(key)
        if component is not None:
            known = self._seen(component, key, pod)
            after = observations.reached(known) if reached else observations.unreached(known, began)
            self._saw(key, component, pod, after)

    def _saw(self, key: ComponentKey, component: ComponentMemory, pod: str, after: Observation) -> None:
        manifest = self._cluster.pods.get(key[0], pod)
        if manifest is None or component.seen.get(pod) is after:
            return
        component.seen[pod] = after
        if after.report is not None and after.report.now:
            metrics.CLOCK_SKEW.labels(str((manifest.get("spec") or {}).get("nodeName") or "")).set(after.skew)
        node = pods.label(manifest, LABEL_NODE)
        component.well[node] = max(after.well, component.well.get(node, 0))
        self._queue.add(key)

    def _pod_changed(self, event: WatchEvent) -> None:
        key, metadata = pods.component_of(event.object), event.object["metadata"]
        component = self._components.get(key) if key is not None else None
        if event.change is Change.DELETED:
            self._ran_before.discard(str(metadata["uid"]))
            self._probes.forget(str(metadata["namespace"]), str(metadata["name"]))
        if key is None or component is None:
            return
        if event.change is Change.DELETED:
            component.seen.pop(str(metadata["name"]), None)
        self._queue.add(key)

    def _app_changed(self, event: WatchEvent) -> None:
        app = str(event.object["metadata"]["namespace"]), str(event.object["metadata"]["name"])
        for key in [key for key in self._components if key[:2] == app]:
            self._queue.add(key)

    def _of(self, key: ComponentKey) -> ComponentMemory | None:
        """None for a component that the platform does not watch over."""
        if not self._rules.replaced(*key):
            return None
        return self._components.setdefault(key, ComponentMemory(_now()))

    def _seen(self, component: ComponentMemory, key: ComponentKey, pod: str) -> Observation:
        if pod in component.seen:
            return component.seen[pod]
        manifest = self._cluster.pods.get(key[0], pod)
        uid = str(manifest["metadata"]["uid"]) if manifest is not None else ""
        return Observation(ran=uid in self._ran_before, process_since=_now())

    def _may_have_lease(self, holder: Holder) -> bool:
        node, component = holder.target.node, self._components.get(holder.key)
        fenced = apps.fenced(self._cluster.apps.get(*holder.key[:2]))
        may = component is not None and component.may_have_lease(node, _now())
        return self._leads() and may and node not in fenced

    async def _may_begin(self, holder: Holder) -> bool:
        component = self._components.get(holder.key)
        over = self._over(holder.key, component) if component is not None else set()
        why = await may_not_begin(self._cluster.kubernetes, holder, over)
        if (component := self._components.get(holder.key)) is not None:
            component.may_not_begin[holder.target.node] = why
        return not why and self._may_have_lease(holder)

    def _over(self, key: ComponentKey, component: ComponentMemory) -> set[RoleMove]:
        return component.over(self._own(key), self._rules.exclusive(*key))

    # Looks

    async def _look(self, key: ComponentKey) -> None:
        app, component = self._cluster.apps.get(*key[:2]), self._components.get(key)
        if component is None:
            return
        if app is None or not apps.is_living(app) or not self._rules.replaced(*key):
            self._suspicions.stand(key, {})
            self._note(key, ())
            if app is None:
                self._renewal.keep(key, ())
                del self._components[key]
            return
        component.noted(apps.moves(app, key[2]), _now())
        again = False
        found: list[Finding] = []
        for role in sorted(self._rules.exclusive(*key)):
            facts = await self._facts(key, component, app, role)
            found += findings(facts, _now())
            again = self._ask(key, component, facts) or not facts.begun or bool(facts.claimants) or again
        self._act(key, component, found)
        self._keep_leases(key, component)
        if again or found:
            self._queue.add(key, LOOK_AGAIN)

    async def _facts(self, key: ComponentKey, component: ComponentMemory, app: Manifest, role: str) -> Facts:
        own = self._own(key)
        holding = {name for name, held in component.decision.roles.items() if held == role}
        holder = next((pods.label(p, LABEL_NODE) for p in own if p["metadata"]["name"] in holding), "")
        if holder:
            component.vacant_since.pop(role, None)
        else:
            component.vacant_since.setdefault(role, _now())
        if not holder and role not in component.last and not component.record_read:
            self._read_record(key, component)
        spec = app.get("spec") or {}
        seen = {str(pod["metadata"]["name"]): self._seen(component, key, str(pod["metadata"]["name"])) for pod in own}
        heard = all(each.heard_at is not None for each in seen.values())
        return Facts(
            role=role,
            holder=holder,
            last=holder or component.last.get(role, ""),
            nodes=by_node(own, seen),
            fenced=apps.fenced(app),
            claimants=component.claiming_since if holder else {},
            operation=apps.operation(app),
            paused=bool(spec.get("paused")),
            automatic=bool((spec.get("failover") or {}).get("automatic", True)),
            vacant_since=component.vacant_since.get(role),
            begun=heard or _now() - component.began >= BEGIN_SECONDS,
        )

    def _read_record(self, key: ComponentKey, component: ComponentMemory) -> None:
        component.record_read = True
        for manifest in self._cluster.components_of.of(key[:2]):
            for each in recorded_holders(manifest):
                if each.component == key[2]:
                    component.last.setdefault(each.role, each.node)

    def _ask(self, key: ComponentKey, component: ComponentMemory, facts: Facts) -> bool:
        """Asks what the next look needs to know. True where there is something to wait for."""
        node = facts.last
        if not node:
            return not component.record_read
        for pod in self._own(key):
            if pods.label(pod, LABEL_NODE) != node:
                continue
            name = str(pod["metadata"]["name"])
            seen, asked = self._seen(component, key, name), self._asked(key, pod)
            if asked is None or not pods.exists(pod):
                continue
            if seen.process is Process.STOPPED and seen.stop_requested is None:
                self._probes.stop_requested(asked, partial(self._stop_requested, key, name))
            if seen.unanswered_since is not None and _now() - seen.unanswered_since >= ASK_USAGE_AFTER:
                self._probes.usage(asked, partial(self._used, key, name))
            if seen.silent or seen.failing_since is not None or seen.heard_at is None:
                self._probes.presence(asked)
                self._ask_others(key, node)
        present = facts.pod(node)
        well = present is not None and present.process is Process.RUNNING and bool(present.role)
        return not (well and facts.holder) or (present is not None and present.failing_since is not None)

    def _ask_others(self, key: ComponentKey, node: str) -> None:
        for pod in self._own(key):
            if pods.label(pod, LABEL_NODE) == node or not pods.exists(pod):
                continue
            name, asked = str(pod["metadata"]["name"]), self._asked(key, pod)
            if asked is not None:
                self._probes.role(asked, partial(self._answered, key, name))

    def _asked(self, key: ComponentKey, pod: Manifest) -> Asked | None:
        name, target = str(pod["metadata"]["name"]), target_of(key, pod)
        if target is None:
            return None
        return Asked(name, target, partial(self._called, key, name))

    def _answered(self, key: ComponentKey, pod: str, report: agent_pb2.RoleReport) -> None:
        self.heard(key, pod, Heard(pod, report))

    def _stop_requested(self, key: ComponentKey, pod: str, said: bool) -> None:
        component = self._of(key)
        if component is not None:
            self._saw(key, component, pod, observations.stop_requested(self._seen(component, key, pod), said))

    def _used(self, key: ComponentKey, pod: str, said: Usage) -> None:
        component = self._of(key)
        if component is not None:
            self._saw(key, component, pod, observations.used(self._seen(component, key, pod), said))

    def _own(self, key: ComponentKey) -> list[Manifest]:
        """Its Pods."""
        return [pod for pod in self._cluster.pods_of.of(key[:2]) if pods.component_of(pod) == key]

    # What follows

    def _act(self, key: ComponentKey, component: ComponentMemory, found: Sequence[Finding]) -> None:
        raised, now = [finding for finding in found if not finding.blocked], _now()
        component.suspect(raised, self._own(key), now)
        standing = {Reason(key, f.node, f.kind): f for f in raised}
        self._suspicions.stand(
            key, {reason: component.suspicion(key[2], f, self._begun) for reason, f in standing.items()}
        )
        notes = [f"{f.why}; {f.blocked}" for f in found if f.blocked]
        notes += skew_notes({pod: seen.skew for pod, seen in component.seen.items()})
        app = self._cluster.apps.get(*key[:2])
        for reason, finding in standing.items():
            against = why_not(app, key[2], finding.node, self._over(key, component))
            taken = self._suspicions.taken(reason)
            notes.append(component.told(finding, now, against, taken=taken))
        self._note(key, tuple(notes))

    def _note(self, key: ComponentKey, notes: tuple[str, ...]) -> None:
        if self._notes.get(key, ()) == notes:
            return
        if notes:
            self._notes[key] = notes
        else:
            del self._notes[key]
        self._changed(key[:2])


def _now() -> float:
    return asyncio.get_running_loop().time()


def _unix() -> int:
    return time.time_ns() // 1_000_000
