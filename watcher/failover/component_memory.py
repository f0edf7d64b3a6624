"""What the failure detector remembers of one component, and who of it may have a lease. Pure but for what it keeps.

Whoever is suspected of being lost has none until it is heard again, but for one: a node that waits for the word that it
still holds its role, and waits in vain (``WORD_AFTER``). Temporal or the worker is down, say, or the failover failed.
It has its lease from us, and that is the word, where nobody else claims the role and the App's status shows that nobody
can have been given it (``watcher.failover.holders``): whoever moves a role notes that there before another is asked.

A note that was left while Temporal is down nobody ends. It is passed over when its candidate has said that it has not
taken the role, at a time when nobody could be at it any more: by our clock and since we know the very note, as nobody
asks a node without noting that anew. A candidate that is silent, or does not run, may have the role: then it stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from api.app import RoleMove
from api.failover import ASKED_FOR
from api.names import LABEL_NODE
from api.operations import Suspicion
from clients.resources import Manifest
from watcher.cache import pods
from watcher.failover import observations
from watcher.failover.detection_rules import LOST, WORD_AFTER, Finding, Kind, PodFacts, Process
from watcher.failover.observations import Observation
from watcher.roles.arbitration import Decision

LED_BEFORE = 12_000
"""Milliseconds before a watcher's begin at which the one before it still led (``watcher.leader_election.Timing``)."""
OVER_AFTER = ASKED_FOR + 30.0
"""Seconds after which what a candidate says was said when it could not take the role any more: a stream that stands
still, and delivers old reports when it goes on, is broken off before (``clients.agents``)."""


@dataclass
class ComponentMemory:
    """``last``: who held each role last, from ``record`` until somebody has it. By node: ``well``, when it was last
    known to be well, unix milliseconds; ``addresses``, of the Pod in which it last held the role; ``suspected``, since
    when it gets no lease; ``asks_since``, since when it waits for a failover's word; ``may_not_begin``, why it does not
    get ours. ``seen`` by Pod. ``moving``: moves of the role that the App's status notes, since when we
    know each."""

    began: float
    last: dict[str, str] = field(default_factory=dict)
    decision: Decision = field(default_factory=lambda: Decision({}, {}))
    claiming_since: dict[str, float] = field(default_factory=dict)
    vacant_since: dict[str, float] = field(default_factory=dict)
    seen: dict[str, Observation] = field(default_factory=dict)
    well: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    suspected: dict[str, float] = field(default_factory=dict)
    asks_since: dict[str, float] = field(default_factory=dict)
    may_not_begin: dict[str, str] = field(default_factory=dict)
    moving: dict[RoleMove, float] = field(default_factory=dict)
    record_read: bool = False

    def suspect(self, raised: Iterable[Finding], own: Sequence[Manifest], now: float) -> None:
        """What is found now, and not ``blocked``. Who is suspected no more and has been heard since may have its lease
        again. ``own``: the component's Pods."""
        lost = {finding.node for finding in raised if finding.kind in LOST}
        asks = {finding.node for finding in raised if finding.kind is Kind.ASKS}
        for node in lost:
            self.suspected.setdefault(node, now)
        self.asks_since = {node: self.asks_since.get(node, now) for node in asks}
        self.may_not_begin = {node: why for node, why in self.may_not_begin.items() if node in asks}
        for node, since in list(self.suspected.items()):
            if node not in lost and self._heard_since(node, since, own):
                del self.suspected[node]

    def _heard_since(self, node: str, since: float, own: Sequence[Manifest]) -> bool:
        names = [str(pod["metadata"]["name"]) for pod in own if pods.label(pod, LABEL_NODE) == node]
        seen = (self.seen.get(name) for name in names)
        return any(each is not None and each.heard_at is not None and each.heard_at > since for each in seen)

    def noted(self, moves: Iterable[RoleMove], now: float) -> None:
        self.moving = {move: self.moving.get(move, now) for move in moves}

    def over(self, own: Sequence[Manifest], writable: Collection[str]) -> set[RoleMove]:
        """Moves of which it is known that the role has not gone to their candidates. ``own``: the component's Pods."""

        def declined(move: RoleMove, after: float) -> bool:
            names = [str(pod["metadata"]["name"]) for pod in own if pods.label(pod, LABEL_NODE) == move.candidate]
            return bool(names) and all(_is_replica(self.seen.get(name), writable, after) for name in names)

        return {move for move, since in self.moving.items() if declined(move, since + OVER_AFTER)}

    def has_waited(self, node: str, now: float) -> bool:
        """Whether it got no failover's word in time."""
        since = self.asks_since.get(node)
        return since is not None and now - since >= WORD_AFTER

    def may_have_lease(self, node: str, now: float) -> bool:
        """As far as we suspect it; whether it was replaced the App says."""
        return node not in self.suspected or self.has_waited(node, now)

    def told(self, finding: Finding, now: float, against: str, *, taken: bool) -> str:
        """A sentence on what is found, and what is done about it. ``against``: what the App's status says against its
        beginning again."""
        if finding.kind is not Kind.ASKS or not self.has_waited(finding.node, now):
            return f"{finding.why}; {'its workflow has been told' if taken else 'Temporal has not been told yet'}"
        nobody = "no failover has given it" if taken else "Temporal cannot be told"
        why = against or self.may_not_begin.get(finding.node) or "the watcher gives it"
        return f"{finding.why}; {nobody}, and {why}"

    def suspicion(self, component: str, finding: Finding, begun: int) -> Suspicion:
        """``begun``: of this watcher. Who is lost with the one before was in sync when that one still led, say."""
        return Suspicion(
            component,
            finding.node,
            finding.why,
            self.well.get(finding.node, 0),
            # Where nobody could take over it is no other failover either: it is only given its word.
            back=finding.kind is Kind.BACK or finding.alone,
            address=self.addresses.get(finding.node, ""),
            in_sync_since=begun - LED_BEFORE,
            asks=finding.kind is Kind.ASKS,
        )


def _is_replica(known: Observation | None, writable: Collection[str], after: float) -> bool:
    """Whether its engine has run in a role that is not writable, by its own word, ``after`` that moment."""
    if known is None or known.report is None or known.heard_at is None or known.heard_at <= after:
        return False
    return known.process is Process.RUNNING and bool(known.report.role) and known.report.role not in writable


def by_node(found: Collection[Manifest], seen: Mapping[str, Observation]) -> dict[str, tuple[PodFacts, ...]]:
    """The newest Pod of each node last."""
    nodes: dict[str, list[Manifest]] = {}
    for pod in found:
        nodes.setdefault(pods.label(pod, LABEL_NODE), []).append(pod)
    return {
        node: tuple(observations.facts(pod, seen[str(pod["metadata"]["name"])]) for pod in sorted(own, key=pods.rank))
        for node, own in nodes.items()
    }
