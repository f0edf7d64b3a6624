"""Whether the platform must replace the holder of a writable role, for components that it replaces. Pure.

Facts in, findings out. A finding without ``blocked`` is a suspicion, and the App's workflow decides what to do about it
from live state; one with ``blocked`` says why the node, though something is wrong with it, is not replaced.

The node asked about is whichever holds the role, or held it last:

1. No Pod of it lives (gone, evicted, ended): lost at once. So is one whose process has ended by itself, except on a
   full volume: the replicas' volumes fill as well.
2. It does not answer ``getRole`` for ``HUNG_AFTER``: lost where its process uses no processor time, else it is busy (a
   long script, a load) and has until ``BUSY_AFTER``.
3. It cannot be reached for ``ISOLATED_AFTER``: lost where most of the other nodes have lost it too, or wait for a
   primary before they start. Where they follow it still, only the platform cannot see it; where none can be reached,
   nobody could take over.
4. It runs, with another role, and nobody has held its own for ``VACANT_AFTER``, nor does an operation run.
5. It is back with its data and waits for the word that it is still primary (``agent.lease.gate``): a failover decides
   at once whether another takes over, or gives it that word. Where none is to be begun, or it waits in vain, the lease
   is the word (``watcher.failover.component_memory``).
6. An operation whose step names the node deals with its stops, starts and missing Pods; not with what happens to a
   running process by itself.

Besides: a node that was replaced and is back, and one that claims the role beside its holder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from watcher.cache.apps import Operation

HUNG_AFTER = 3.0
BUSY_AFTER = 30.0
ISOLATED_AFTER = 3.0
TWO_HOLDERS_AFTER = 2.0
WORD_AFTER = 15.0
"""Seconds that a node waits for a failover's word before it counts as waiting in vain. A platform that works gives it
within two."""
VACANT_AFTER = 15.0
"""Longer than the Arbiter may hold back a claim that is older than a lost holder's."""
REACHED_WITHIN = 2.5
"""Other nodes count as reached where they have answered so recently; they are asked every second."""
HEARD_WITHIN = 15.0
"""A node that gives a sign of life every 10 s is there."""


class Process(StrEnum):
    """``ProcessState`` of the agents' contract, by name."""

    UNKNOWN = "not known"
    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    CRASH_LOOP = "CRASH_LOOP"
    HELD = "HELD"
    LINGERING = "LINGERING"
    WAITING = "WAITING"
    UNREADABLE = "UNREADABLE"


DIED = frozenset({Process.EXITED, Process.BACKOFF, Process.CRASH_LOOP, Process.LINGERING, Process.UNREADABLE})
"""It serves nobody. Of one that lingers some processes do not end: it is lost, and not stopped. One that may not be
given its volume does not begin by itself."""
_ENDED = DIED | {Process.STOPPED}
_BEGINS_AGAIN = (_ENDED - {Process.LINGERING, Process.UNREADABLE}) | {Process.HELD, Process.WAITING}
"""Of one that was replaced: it begins again by itself, or when it is told to."""


class Kind(StrEnum):
    """What is wrong. Also a label of the metric."""

    DEAD = "dead"
    GONE = "gone"
    HUNG = "hung"
    BUSY = "busy"
    STARTING = "starting"
    ASKS = "asks"
    ISOLATED = "isolated"
    UNFINISHED = "unfinished"
    VACANT = "vacant"
    BACK = "back"
    TWO_HOLDERS = "two-holders"


LOST = frozenset(Kind) - {Kind.BACK, Kind.TWO_HOLDERS}


@dataclass(frozen=True)
class Usage:
    """What agent 1 said, twice, of a process that does not answer. ``idle``: no processor time between the two; None:
    not known, from an older agent or one that does not answer either. ``at``: when the second was asked."""

    at: float
    idle: bool | None
    kernel_state: str = ""


@dataclass(frozen=True)
class PodFacts:
    """One Pod of a node. Times are on the caller's clock.

    ``ran``: its process has run, as far as is known. ``ended``, ``container_ended``: the machine says so of the Pod,
    and of the container in which the process runs (a Pod's container may come again).
    ``unanswered_since``: since when ``getRole`` has had no answer. ``failing_since``: since when no call reaches its
    agents. ``stop_requested`` None: not asked yet.
    """

    ran: bool
    ended: bool = False
    container_ended: bool = False
    terminating: bool = False
    process: Process | None = None
    role: str = ""
    ready: bool = False
    message: str = ""
    volume_full: bool = False
    process_since: float = 0.0
    heard_at: float | None = None
    unanswered_since: float | None = None
    failing_since: float | None = None
    usage: Usage | None = None
    stop_requested: bool | None = None

    @property
    def lives(self) -> bool:
        return self.ran and not self.ended

    def unreachable_for(self, now: float) -> float:
        return now - self.failing_since if self.failing_since is not None else 0.0


@dataclass(frozen=True)
class Facts:
    """About one writable exclusive role of one component.

    ``holder``: who has it now, a node or empty; ``vacant_since``: since when nobody; ``last``: who had it last.
    ``nodes``: the Pods of each node, the one that counts last. ``claimants``: nodes that claim the role beside its
    holder, and since when. ``begun``: each agent has been heard, or has had the time for it.
    """

    role: str
    holder: str
    last: str
    nodes: Mapping[str, tuple[PodFacts, ...]]
    fenced: frozenset[str] = frozenset()
    claimants: Mapping[str, float] = field(default_factory=dict)
    operation: Operation | None = None
    paused: bool = False
    automatic: bool = True
    vacant_since: float | None = None
    begun: bool = True

    def pod(self, node: str) -> PodFacts | None:
        """The node's living Pod, the one on its way out only where there is no other."""
        living = [pod for pod in self.nodes.get(node, ()) if pod.lives]
        staying = [pod for pod in living if not pod.terminating]
        return staying[-1] if staying else living[-1] if living else None


@dataclass(frozen=True)
class Finding:
    """``why`` and ``blocked`` are sentences without a full stop. ``alone``: no other node runs, so that nobody can take
    over."""

    kind: Kind
    node: str
    why: str
    blocked: str = ""
    alone: bool = False


def findings(facts: Facts, now: float) -> list[Finding]:
    """What is wrong with the role now, at most one finding for each node and kind."""
    if not facts.begun:
        return []
    found = [*_lost(facts, now), *_back(facts, now), *_two_holders(facts, now)]
    return [_by_policy(facts, finding) for finding in found]


def _by_policy(facts: Facts, finding: Finding) -> Finding:
    if finding.blocked:
        return finding
    if facts.paused:
        return replace(finding, blocked="spec.paused is true, so nothing is done about it")
    if not facts.automatic:
        return replace(finding, blocked="failover.automatic is false: start it by hand with mw failover")
    return finding


def _lost(facts: Facts, now: float) -> list[Finding]:
    node = facts.last
    if not node or (facts.holder and facts.holder != node):
        return []
    planned = facts.operation is not None and facts.operation.names(node)
    pod = facts.pod(node)
    if pod is None:
        finding = None if planned else _without_pod(facts, node)
    elif pod.terminating and (pod.process in _ENDED or pod.container_ended or planned):
        finding = None if planned else Finding(Kind.GONE, node, f"{node} has lost its Pod: it is being stopped")
    else:
        finding = _process(facts, node, pod, now, planned=planned)
    if finding is None and not planned:
        finding = _unfinished(facts, node) or _vacant(facts, node, pod, now)
    return [finding] if finding is not None else []


def _without_pod(facts: Facts, node: str) -> Finding:
    pods = facts.nodes.get(node, ())
    why = "it is gone" if not pods else "it has ended" if pods[-1].ended else "its successor does not run yet"
    return Finding(Kind.GONE, node, f"{node} has lost its Pod: {why}")


def _unfinished(facts: Facts, node: str) -> Finding | None:
    failing_over = facts.operation is not None and facts.operation.type == "Failover"
    if facts.holder or failing_over or node not in facts.fenced:
        return None
    return Finding(Kind.UNFINISHED, node, f"{node} was fenced, and nobody has taken over its role {facts.role}")


def _vacant(facts: Facts, node: str, pod: PodFacts | None, now: float) -> Finding | None:
    """It came back as a replica of nobody, say."""
    since = facts.vacant_since
    if facts.holder or facts.operation is not None or since is None or now - since < VACANT_AFTER:
        return None
    if pod is None or pod.process is not Process.RUNNING or not pod.role:
        return None
    return Finding(
        Kind.VACANT, node, f"nobody holds the role {facts.role}: {node}, which had it last, runs as {pod.role}"
    )


def _process(facts: Facts, node: str, pod: PodFacts, now: float, *, planned: bool) -> Finding | None:
    state = pod.process
    if state in DIED or (pod.container_ended and not planned):
        how = "its container has ended" if pod.container_ended else pod.message or state
        finding = Finding(Kind.DEAD, node, f"{node} has lost its process: {how}")
        full = "its volume is full, and another node's would fill as well: give it more storage"
        return replace(finding, blocked=full) if pod.volume_full else finding
    if state is Process.WAITING:
        return _asks(facts, node, pod, now, planned=planned)
    if state is Process.STOPPED:
        return None if planned else _stopped(facts, node, pod)
    if pod.unreachable_for(now) >= ISOLATED_AFTER:
        return _isolated(facts, node, pod, now)
    if state is Process.RUNNING and not pod.role:
        return _silent(node, pod, now)
    waits = state in (Process.STARTING, Process.UNKNOWN) and now - pod.process_since >= BUSY_AFTER
    if waits and not planned:
        return Finding(Kind.STARTING, node, f"{node} has had no running process for {BUSY_AFTER:.0f} s: {pod.message}")
    return None


def _asks(facts: Facts, node: str, pod: PodFacts, now: float, *, planned: bool) -> Finding | None:
    if planned and now - pod.process_since < WORD_AFTER:
        return None
    others = [facts.pod(other) for other in facts.nodes if other != node]
    alone = not any(pod is not None and pod.process is Process.RUNNING for pod in others)
    why = f"{node} is back and waits for the word that it is still {facts.role}"
    operation = facts.operation.type if planned and facts.operation is not None else ""
    return Finding(Kind.ASKS, node, why, f"the {operation} is at work on it" if operation else "", alone=alone)


def _stopped(facts: Facts, node: str, pod: PodFacts) -> Finding | None:
    if pod.stop_requested is None and node not in facts.fenced:
        return None  # to be asked first
    finding = Finding(Kind.DEAD, node, f"{node} has lost its process: it is stopped")
    if pod.stop_requested and node not in facts.fenced:
        return replace(finding, blocked="it was stopped on request and waits for its start")
    return finding


def _silent(node: str, pod: PodFacts, now: float) -> Finding | None:
    since = pod.unanswered_since
    if since is None or now - since < HUNG_AFTER:
        return None
    if pod.usage is None or pod.usage.at < since:
        return None  # to be asked first
    if pod.usage.idle:
        state = f" (state {pod.usage.kernel_state})" if pod.usage.kernel_state else ""
        return Finding(Kind.HUNG, node, f"{node} hangs: its process{state} answers nothing and uses no processor time")
    finding = Finding(Kind.BUSY, node, f"{node} has not answered for {BUSY_AFTER:.0f} s, though its process is at work")
    if now - since >= BUSY_AFTER:
        return finding
    # Without the seconds that have passed: each would be a change of the App's status.
    why = f"{node} does not answer, though its process is at work"
    return replace(finding, why=why, blocked=f"it is given {BUSY_AFTER:.0f} s")


def _isolated(facts: Facts, node: str, pod: PodFacts, now: float) -> Finding:
    finding = Finding(Kind.ISOLATED, node, f"{node} cannot be reached")
    others = [facts.pod(other) for other in facts.nodes if other != node]
    reached = [p for p in others if p is not None and _reached(p, now)]
    following = sum(p.ready for p in reached)
    if not reached:
        return replace(finding, blocked="nor can any other node of it, so nobody could take over")
    if 2 * following >= len(reached):
        few = f"{following} of the {len(reached)} others that can be reached are in sync with it"
        return replace(finding, blocked=f"{few}: only the platform cannot see it")
    lost = f"{len(reached) - following} of the {len(reached)} other nodes that can be reached have lost it too"
    return replace(finding, why=f"{node} is isolated: it cannot be reached, and {lost}")


def _reached(pod: PodFacts, now: float) -> bool:
    if _waits_for_a_primary(pod, now):
        return True
    heard = pod.heard_at is not None and now - pod.heard_at <= REACHED_WITHIN and pod.failing_since is None
    return heard and pod.process is Process.RUNNING


def _waits_for_a_primary(pod: PodFacts, now: float) -> bool:
    """Asked for its role it says that it does not run, so its words are the stream's, which come every 10 s."""
    heard = pod.heard_at is not None and now - pod.heard_at <= HEARD_WITHIN and pod.failing_since is None
    looked = pod.process is Process.STARTING and now - pod.process_since >= ISOLATED_AFTER
    return heard and not pod.terminating and (looked or pod.process is Process.BACKOFF)


def _back(facts: Facts, now: float) -> list[Finding]:
    if not facts.holder or (facts.operation is not None and facts.operation.type == "Failover"):
        return []
    return [
        Finding(Kind.BACK, node, f"{node} is back after it was replaced by {facts.holder}")
        for node in sorted(facts.fenced - {facts.holder})
        if (pod := facts.pod(node)) is not None and _is_back(pod, now)
    ]


def _is_back(pod: PodFacts, now: float) -> bool:
    """Also as a replica: until somebody has seen to it that it is one for good, it stays fenced."""
    heard = pod.heard_at is not None and now - pod.heard_at <= HEARD_WITHIN and pod.failing_since is None
    runs = pod.process is Process.RUNNING and pod.role
    waits = pod.process in _BEGINS_AGAIN
    return bool(heard and not pod.terminating and (runs or waits))


def _two_holders(facts: Facts, now: float) -> list[Finding]:
    if not facts.holder:
        return []
    return [
        Finding(Kind.TWO_HOLDERS, node, f"{node} claims the role {facts.role} although {facts.holder} holds it")
        for node, since in sorted(facts.claimants.items())
        if now - since >= TWO_HOLDERS_AFTER
        and node not in facts.fenced
        and not (facts.operation is not None and facts.operation.names(node))
    ]
