"""What watcher, workflows, activities and people say to each other through Temporal: names and messages.

Workflow types, queue names, signal, update and query names are typed by hand by operators and stored in histories:
they are stable for ever. Every message is one dataclass that becomes one JSON object, with defaults for all that may
be left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

WORKFLOW_QUEUE = "middleware"
ACTIVITY_QUEUE = "middleware-activities"

SEARCH_APP = "MiddlewareApp"
SEARCH_NAMESPACE = "MiddlewareNamespace"
SEARCH_OPERATION = "MiddlewareOperation"
SEARCH_PLUGIN = "MiddlewarePlugin"

ENTITY_WORKFLOW = "App"
COMPONENT_WORKFLOW = "Component"
GROUP_WORKFLOW = "Group"
SIGNAL_NOTICE = "notice"
"""Entity signal, argument Notice: something about the App may have changed; look and plan."""
SIGNAL_SUSPECT = "suspect"
"""Entity signal, argument Suspicion: the holder of a writable role is lost, or one that was replaced is back."""
SIGNAL_CANCEL = "cancel"
"""Entity signal, argument ticket: the run started by hand was cancelled, so its operation is no longer wanted."""
SIGNAL_CONTROL = "control"
"""Operation signal, argument Verb: what an operator has decided; the entity passes it on."""
SIGNAL_ENDING = "ending"
"""Operation signal, argument a sentence: why the entity is about to cancel it."""
MEMO_ENDED = "ended"
"""Memo of an operation that was cancelled: that sentence, readable when nothing of it runs any more."""
SIGNAL_PROGRESS = "progress"
"""Entity signal, argument Progress: an operation began to wait for an operator, or goes on."""
UPDATE_ENQUEUE = "enqueue"
"""Entity update, argument OperationRequest, answers the ticket of the queued operation at once."""
UPDATE_CONTROL = "control"
"""Entity update, argument Verb, answers a sentence at once: what will happen to the operation that runs."""
QUERY_STATUS = "status"
"""Entity query: EntityStatus."""
QUERY_RESULT = "result"
"""Entity query, argument ticket: OperationResult, or None while it is queued or runs."""


class OperationType(StrEnum):
    """Workflow types of operations, as in ``temporal workflow start --type``."""

    DEPLOY = "Deploy"
    REPAIR = "Repair"
    DELETE = "Delete"
    UPGRADE_PLUGIN = "UpgradePlugin"
    SCALE = "Scale"
    UPGRADE = "Upgrade"
    RESIZE = "Resize"
    RECONFIGURE = "Reconfigure"
    RESTART = "Restart"
    SWITCHOVER = "Switchover"
    FAILOVER = "Failover"
    ROTATE_CREDENTIALS = "RotateCredentials"


BY_REQUEST = frozenset(
    {
        OperationType.RESTART,
        OperationType.SWITCHOVER,
        OperationType.FAILOVER,
        OperationType.ROTATE_CREDENTIALS,
    }
)
"""Operations that no spec asks for: they run because somebody started them."""
GOES_ON = frozenset({OperationType.ROTATE_CREDENTIALS})
"""Of these, one that was ended before it was done, or that somebody's edit of a Secret asks for, is seen by the
planner, which begins it by itself."""
OVERLAP = 300
"""Seconds for which both passwords are valid: clients read a mounted Secret anew within two minutes."""
LONGEST_OVERLAP = 7 * 86_400
BY_MW = "by-hand/"
"""How the ids of runs begin that mw starts."""


class Verb(StrEnum):
    """What an operator may say to the operation that runs."""

    PAUSE = "pause"
    """Stop at the next safe point (between two nodes, two steps) and wait there."""
    RESUME = "resume"
    RETRY = "retry"
    """The step that failed for good, once more."""
    SKIP = "skip"
    """Go on without the node whose step failed; it stays as it is and is named in the result. Where a step is skipped
    rather than a node (``leave``), what failed says what that means."""
    ABORT = "abort"
    """End the operation; what can be put back is put back. It does not begin again until spec or operator ask."""


class NoticeKind(StrEnum):
    SPEC = "spec"
    """The App's spec, or its deletion timestamp."""
    DRIFT = "drift"
    """An object of the App is gone or was changed by somebody else; ``detail`` names it and says how."""
    CORDON = "cordon"
    """A machine on which nodes run was cordoned or uncordoned, or what that means for them is another."""
    RESYNC = "resync"
    """Periodic look, in case a watch event was lost."""


CORDONED = "cordoned"
"""In the detail of each Notice of kind ``cordon``."""


@dataclass(frozen=True)
class AppReference:
    """One App. ``namespace`` and ``app`` are what a person types by hand."""

    namespace: str
    app: str


@dataclass(frozen=True)
class Notice:
    kind: str
    detail: str = ""


@dataclass(frozen=True)
class Suspicion:
    """What the watcher has seen of a node whose writable role the platform has to move.

    ``why`` is a sentence. ``seen``: unix milliseconds at which the node was last known to be well, 0 for not known:
    whoever is to take over must have been in sync then.
    """

    component: str
    node: str
    why: str
    seen: int = 0
    back: bool = False
    """It was replaced already, and can be reached again."""
    address: str = ""
    """Of its last Pod, which may be gone while its engine still runs there."""
    in_sync_since: int = 0
    """Where ``seen`` is not known: who was in sync then, or later, may take over; unix milliseconds."""
    asks: bool = False
    """It is back by itself, and waits for the word that it still holds the role."""


def is_drift(detail: str) -> bool:
    """Whether a notice's detail tells what somebody did to an object, in the words of ``watcher.cache.drift``, or to a
    machine, in those of ``watcher.notify.cordons``."""
    return any(words in detail for words in (" was deleted", " was changed by ", CORDONED))


@dataclass(frozen=True)
class OperationInput:
    """Input of every operation's workflow. By hand only ``namespace`` and ``app`` are needed, ``reason`` is
    welcome; the entity fills in the rest.

    One that the App's entity did not start was started by hand: it queues itself with the entity and mirrors the
    result. ``uid`` and ``spec_hash`` are of the App for which it was planned: it never touches a later App of the
    same name, and ends where it finds another spec: the planner then decides again.
    """

    namespace: str
    app: str
    reason: str = ""
    uid: str = ""
    spec_hash: str = ""
    plugin: str = ""
    component: str = ""
    """Restart and Switchover: only this component; empty for all (Switchover: the one that has a writable role)."""
    group: str = ""
    node: str = ""
    """By its full name. Restart: only this node; Switchover: only away from it, to a machine that takes Pods."""
    candidate: str = ""
    """Switchover, Failover: the node that is to become primary; empty for the one with the most data."""
    force: bool = False
    """Failover: also where the primary is well, or acknowledged writes would be lost."""
    seen: int = 0
    address: str = ""
    in_sync_since: int = 0
    """Failover: both as in Suspicion."""
    overlap: int = OVERLAP
    """RotateCredentials: seconds for which the former password stays valid once the new one is there to be read."""
    asked: bool = False
    """Somebody started it by hand; set by the entity."""
    paused: bool = False
    """It begins paused, because the operation that it goes on with was."""
    aborted: bool = False
    """It only goes back, because the operation that it goes on with was doing so."""


@dataclass(frozen=True)
class Scope:
    """Which part of the App an operation by request is about; fields as in OperationInput."""

    component: str = ""
    group: str = ""
    node: str = ""
    candidate: str = ""
    force: bool = False
    seen: int = 0
    address: str = ""
    in_sync_since: int = 0
    overlap: int = OVERLAP


@dataclass(frozen=True)
class OperationRequest:
    type: str
    requested_by: str
    """Workflow id of the run started by hand."""
    reason: str = ""
    scope: Scope = field(default_factory=Scope)


class OperationState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    """An operator has paused it."""
    STOPPED = "stopped"
    """A step failed for good; it waits for retry, skip or abort."""


@dataclass(frozen=True)
class Progress:
    """``workflow_id``: of the operation, so that a late word of an earlier one is told from this one's."""

    workflow_id: str
    state: str
    """OperationState."""
    message: str = ""


class Outcome(StrEnum):
    COMPLETED = "completed"
    NOTHING = "nothing to do"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABORTED = "aborted"
    """By an operator: it does not begin again for the same spec until somebody asks."""


@dataclass(frozen=True)
class OperationResult:
    """``outcome`` is one of ``Outcome``, ``message`` a sentence."""

    type: str
    outcome: str
    message: str
    workflow_id: str = ""
    skipped: list[str] = field(default_factory=list)
    """Nodes that an operator decided to leave as they are."""


@dataclass(frozen=True)
class EntityStatus:
    """``doing`` is a sentence; ``operation`` the workflow id of the operation that runs, else empty."""

    doing: str
    operation: str = ""
    queued: list[str] = field(default_factory=list)
    """Tickets that have no result yet: the running operation's first, then in the order in which they are looked at."""
    state: str = ""
    """OperationState of the operation that runs, else empty."""
    message: str = ""
    """Why it is in that state: of one that stopped, what its step failed of."""
    requested_by: str | None = None
    """Workflow id of the run by hand that asked for it, empty where none did; None: a worker before this field says."""
