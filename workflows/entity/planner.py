"""What to do next, as a pure function of what is wanted, what is there, and what failed before.

Level-triggered: it never asks what has happened, only what is. So a lost watch event, a crash in mid-operation or a
second notice of the same thing change nothing but the time at which it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from api.app import Phase
from api.look import AppSnapshot, ReportRequest
from api.operations import AppReference, OperationType, Outcome, Scope, Suspicion

ACCEPTED = "Accepted"


@dataclass(frozen=True)
class Failure:
    """An operation that failed for good: not begun again for the same spec before ``due``, unless somebody asks."""

    type: str
    spec_hash: str
    message: str
    due: bool = False
    how: str = "failed"
    """``failed``, ``was refused`` or ``was aborted``."""


@dataclass(frozen=True)
class Telling:
    """What the App's status has to say between operations."""

    phase: str
    message: str
    accepted: bool = True
    reason: str = ACCEPTED
    paused: bool = False
    failed_operation: str = ""
    waiting_operation: str = ""
    """OperationType of one that has not failed and begins by itself later."""
    cordoned: str = ""
    """Part of the message: what a drain of a machine cannot take away, or takes down."""

    def told(self) -> str:
        """The form in which ``AppSnapshot.told`` says what the status says already."""
        return f"{self.phase}|{self.reason}|{self.message}"

    def report(self, app: AppReference, snapshot: AppSnapshot) -> ReportRequest:
        return ReportRequest(
            namespace=app.namespace,
            app=app.app,
            uid=snapshot.uid,
            generation=snapshot.generation,
            phase=self.phase,
            message=self.message,
            accepted=self.accepted,
            accepted_reason=self.reason,
            paused=self.paused,
            failed_operation=self.failed_operation,
            waiting_operation=self.waiting_operation,
            cordoned=self.cordoned,
        )


@dataclass(frozen=True)
class Decision:
    """``gone``: there is no App (any more). ``operation`` empty: nothing to do, and ``telling`` is what holds now; else
    it is said before. ``scope``: of an operation that is about a part of the App."""

    operation: str = ""
    reason: str = ""
    gone: bool = False
    telling: Telling | None = None
    suspicion: Suspicion | None = None
    """Of a Failover: on whom."""
    scope: Scope = field(default_factory=Scope)


@dataclass(frozen=True)
class Memory:
    """``unrepairable``: drift that a Repair has left as it was; repairing it again and again would help nobody."""

    failure: Failure | None = None
    unrepairable: frozenset[str] = field(default_factory=frozenset)
    repair: Failure | None = None
    """The last Repair, while it is not to be tried again yet."""
    suspicion: Suspicion | None = None
    """A lost primary that is to be replaced now."""
    failover: str = ""
    """Why the last Failover failed, or what the next one waits for."""
    failover_failed: bool = False
    halfway: str = ""
    """The operation that was ended before it was done."""
    put_back: str = ""
    """What the first Deploy begins again for, where that is not plain from the spec."""


def plan(snapshot: AppSnapshot, memory: Memory) -> Decision:
    """The next operation, or what the status should say where there is none.

    In this order: an App that is deleted is deleted; a lost primary is replaced, whatever the spec says by now, unless
    the App is paused; a spec that cannot be carried out is refused and nothing that
    runs is touched; a paused App is left alone; drift of what runs is repaired, also while a newer spec waits; what
    failed for good, or was aborted, waits; then the newer spec, one part of it after another; and drift that a Repair
    has left, or a password that cannot be brought about, is told, for the App is not as wanted.
    """
    if not snapshot.exists:
        return Decision(gone=True)
    if snapshot.deleting:
        return Decision(OperationType.DELETE, "the App was deleted")
    if memory.suspicion is not None and not snapshot.paused:
        lost = memory.suspicion
        seen, since = lost.seen, lost.in_sync_since
        scope = Scope(lost.component, node=lost.node, seen=seen, address=lost.address, in_sync_since=since)
        return Decision(OperationType.FAILOVER, lost.why, suspicion=lost, scope=scope)
    halfway = f"; the {memory.halfway} that ran stopped where it was and goes on afterwards" if memory.halfway else ""
    if snapshot.refusal:
        return Decision(telling=Telling(Phase.REFUSED, snapshot.refusal + halfway, False, snapshot.refusal_reason))
    if snapshot.paused:
        message = f"paused: nothing is changed until spec.paused is false{halfway}"
        return Decision(telling=Telling(Phase.PAUSED, message, paused=True))
    failure = memory.failure
    stands = failure is not None and failure.spec_hash == snapshot.spec_hash and not failure.due
    # Until the first Deploy has completed it is that one which puts things back.
    drift = [each for each in snapshot.drift if each not in memory.unrepairable] if snapshot.deployed_hash else []
    if memory.halfway == snapshot.operation == OperationType.UPGRADE_PLUGIN and not stands:
        # Files of both versions look like drift, and the operation knows what was said to it.
        drift = [sentence for sentence in drift if sentence in snapshot.missing]
    if drift and memory.repair is not None:
        message = f"{OperationType.REPAIR} {memory.repair.how}: {memory.repair.message}"
        return Decision(telling=Telling(Phase.WAITING, message, failed_operation=OperationType.REPAIR))
    if drift:
        return Decision(OperationType.REPAIR, _shortened(drift))
    replacing = None
    if memory.failover and not snapshot.operation:
        failed, waits = (OperationType.FAILOVER, "") if memory.failover_failed else ("", OperationType.FAILOVER)
        replacing = Telling(Phase.WAITING, memory.failover, failed_operation=failed, waiting_operation=waits)
    if replacing is not None and snapshot.deployed_hash:  # the first Deploy does not wait for what cannot be
        return Decision(telling=replacing)
    if stands and failure is not None:
        message = f"{failure.type} {failure.how}: {failure.message}"
        if replacing is not None:
            message += f"; {memory.failover}"
        return Decision(telling=Telling(Phase.WAITING, message, failed_operation=failure.type))
    if not snapshot.deployed_hash:
        why = memory.put_back or memory.failover
        return Decision(OperationType.DEPLOY, f"first deploy; {why}" if why else "first deploy", telling=replacing)
    if snapshot.operation:
        return Decision(snapshot.operation, snapshot.change)
    if snapshot.deployed_hash != snapshot.spec_hash:
        return Decision(OperationType.DEPLOY, f"the spec changed (generation {snapshot.generation})")
    if left := [each for each in snapshot.drift if each in memory.unrepairable]:
        message = f"{OperationType.REPAIR} could not put back: {_shortened(left)}"
        return Decision(telling=Telling(Phase.WAITING, message, failed_operation=OperationType.REPAIR))
    if snapshot.credentials:
        rotation = OperationType.ROTATE_CREDENTIALS
        return Decision(telling=Telling(Phase.WAITING, snapshot.credentials, failed_operation=rotation))
    # Nothing is left to do. Whether all is as wanted is for the watcher to say, who sees what runs.
    return Decision(telling=Telling(Phase.RUNNING, ""))


def _shortened(drift: Sequence[str]) -> str:
    return drift[0] + (f" and {len(drift) - 1} more" if len(drift) > 1 else "")


def must_tell(snapshot: AppSnapshot, telling: Telling) -> bool:
    """Whether the status does not say so yet."""
    return snapshot.told_generation != snapshot.generation or snapshot.told != telling.told()


def interrupts(snapshot: AppSnapshot, operation: str, uid: str, spec_hash: str) -> str:
    """Why a running operation must end now, so that the planner decides again; empty where it may go on.

    A Delete is never interrupted; it interrupts everything else, as does a newer spec (also one that is refused: the
    operation cannot go on with it) and a pause.
    """
    if operation == OperationType.DELETE:
        return ""
    if not snapshot.exists:
        return "the App is gone"
    if snapshot.uid != uid:
        return "the App was deleted, and another of its name made"
    if snapshot.deleting:
        return "the App was deleted"
    if operation == OperationType.FAILOVER:
        return ""  # half a failover is an App without a primary
    if snapshot.paused:
        return "the App was paused"
    if snapshot.spec_hash != spec_hash:
        return f"a newer spec arrived (generation {snapshot.generation})"
    return ""


def refuse_by_request(requested: str, decision: Decision, *, deployed: bool) -> tuple[Outcome, str] | None:
    """Why an operation that no spec asks for cannot run; None where it may, after what the planner has to do first."""
    if decision.gone:
        return Outcome.REFUSED, "there is no such App; apply it first"
    telling = decision.telling
    # What runs can lose its primary whatever the spec says, and who starts a Failover by hand knows of the pause.
    if requested != OperationType.FAILOVER and telling is not None and (telling.paused or not telling.accepted):
        return Outcome.REFUSED, telling.message
    if decision.operation == OperationType.DELETE:
        return Outcome.REFUSED, "the App is being deleted"
    return None if deployed else (Outcome.REFUSED, "the App's first Deploy has not completed yet")


def settle(requested: str, decision: Decision) -> tuple[Outcome, str] | None:
    """What becomes of an operation asked for by hand: its outcome and a sentence, or None where it is to run now.

    It runs where the planner would have run it: by hand one cannot make the platform do what the spec does not say.
    """
    if decision.gone:
        return Outcome.REFUSED, "there is no such App; apply it first"
    if decision.operation == requested:
        return None
    if requested == OperationType.DELETE:
        return Outcome.REFUSED, "an App is deleted with kubectl delete; the operation follows by itself"
    if decision.operation:
        return Outcome.NOTHING, f"{decision.operation} is what is needed, and is done by itself: {decision.reason}"
    telling = decision.telling
    if telling is not None and (telling.paused or not telling.accepted):
        return Outcome.REFUSED, telling.message
    return Outcome.NOTHING, (telling.message if telling is not None else "") or "everything is as the spec says"
