"""What the watcher has seen of one Pod: its agents' newest words and how the calls to them went. Pure.

As for the Arbiter only the newest report counts, so a late or reordered one changes nothing, not even when the agent
was last heard.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from api.failover import CLOCK_TOLERANCE
from clients.resources import Manifest
from proto import agent_pb2
from watcher.cache import pods
from watcher.failover.detection_rules import PodFacts, Process, Usage
from watcher.roles.arbitration import Claim, Report, accept
from watcher.roles.streams import engine_runs

_HAS_RUN = frozenset(Process) - {Process.UNKNOWN, Process.STARTING, Process.BACKOFF, Process.UNREADABLE}
"""UNREADABLE is that of a process that was never begun. STARTING and BACKOFF are also those of one that never came to
run, where it tells no role: an engine answers before it is old enough to count as running. HELD and WAITING are those
of a node that has run in an earlier Pod, and will not before it is told to."""


@dataclass(frozen=True)
class Observation:
    """Of one Pod; times on the monotonic clock. ``order`` tells a newer report from an older one; ``silent``: the
    stream of reports is broken; ``well``: unix milliseconds of the last report of a running holder of a writable role;
    ``skew``: seconds by which its agent's clock is ahead of ours; for the rest see ``PodFacts``."""

    ran: bool = False
    order: Claim | None = None
    report: agent_pb2.RoleReport | None = None
    process_since: float = 0.0
    heard_at: float | None = None
    unanswered_since: float | None = None
    failing_since: float | None = None
    silent: bool = False
    well: int = 0
    skew: float = 0.0
    usage: Usage | None = None
    stop_requested: bool | None = None

    @property
    def process(self) -> Process | None:
        return process_of(self.report) if self.report is not None else None


def process_of(report: agent_pb2.RoleReport) -> Process:
    """UNKNOWN also for a state that only a newer agent knows."""
    value = agent_pb2.ProcessState.DESCRIPTOR.values_by_number.get(report.process)
    return Process[value.name] if value is not None and value.name in Process.__members__ else Process.UNKNOWN


def heard(
    known: Observation, report: agent_pb2.RoleReport, writable: Collection[str], now: float, unix: int
) -> Observation:
    """After a report; ``known`` itself where the report is late. ``unix``: the same moment in unix milliseconds."""
    said = Report(report.role, report.epoch, report.sequence, report.incarnation, engine_runs(report))
    order = accept(known.order, said)
    if order is None:
        return known
    process = process_of(report)
    changed = known.process is not process
    # An engine that refuses the Secret's credentials answers: whoever edits a Secret causes no failover.
    unanswered = process is Process.RUNNING and not report.role and not report.credentials_refused
    since = known.unanswered_since if known.unanswered_since is not None else now
    well = process is Process.RUNNING and report.role in writable
    return replace(
        known,
        order=order,
        report=report,
        ran=known.ran or process in _HAS_RUN or bool(report.role),
        process_since=now if changed else known.process_since,
        heard_at=now,
        unanswered_since=since if unanswered else None,
        failing_since=None,
        silent=False,
        well=unix if well else known.well,
        skew=(report.now - unix) / 1000 if report.now else 0.0,
        usage=known.usage if unanswered else None,
        stop_requested=known.stop_requested if not changed else None,
    )


def reached(known: Observation) -> Observation:
    """After an answer to another call: its agents can be reached, which says nothing about its engine."""
    return known if known.failing_since is None else replace(known, failing_since=None)


def unreached(known: Observation, since: float) -> Observation:
    """After a call that reached nobody, begun at ``since``. One begun before the last word says nothing any more."""
    if known.failing_since is not None or (known.heard_at is not None and since < known.heard_at):
        return known
    return replace(known, failing_since=since)


def broken(known: Observation) -> Observation:
    """After its stream of reports has ended."""
    return known if known.silent else replace(known, silent=True)


def used(known: Observation, usage: Usage) -> Observation:
    """After agent 1 has said what a process that does not answer uses."""
    return replace(known, usage=usage)


def stop_requested(known: Observation, requested: bool) -> Observation:
    """After agent 1 has said why the process stands."""
    return replace(known, stop_requested=requested if known.process is Process.STOPPED else None)


def facts(pod: Manifest, seen: Observation) -> PodFacts:
    """``pod`` as the watch has it."""
    report = seen.report
    return PodFacts(
        ran=seen.ran,
        ended=not pods.exists(pod),
        # The watch may show the container's last end when its agents have spoken again already.
        container_ended=pods.has_ended(pod) and seen.process is not Process.RUNNING,
        terminating=pods.is_terminating(pod),
        process=seen.process,
        role=report.role if report is not None else "",
        ready=report is not None and report.ready and seen.process is Process.RUNNING,
        message=report.message if report is not None else "",
        volume_full=report is not None and report.volume_full,
        process_since=seen.process_since,
        heard_at=seen.heard_at,
        unanswered_since=seen.unanswered_since,
        failing_since=seen.failing_since,
        usage=seen.usage,
        stop_requested=seen.stop_requested,
    )


def skew_notes(skews: Mapping[str, float]) -> list[str]:
    """Sentences on clocks that differ too much from ours for times to be compared. ``skews``: by Pod, seconds,
    with what a report takes to arrive. To ten seconds: each other figure would be a change of the App's status."""
    return [
        f"the clock of the machine of {pod} is about {abs(round(skew, -1)):.0f} s {'ahead' if skew > 0 else 'behind'}: "
        "set it right, as what its volume remembers is not believed when a primary is lost"
        for pod, skew in sorted(skews.items())
        if abs(skew) > CLOCK_TOLERANCE
    ]
