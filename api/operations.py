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
SIGNAL_CANCEL = "cancel"
"""Entity signal, argument ticket: the run started by hand was cancelled, so its operation is no longer wanted."""
UPDATE_ENQUEUE = "enqueue"
"""Entity update, argument OperationRequest, answers the ticket of the queued operation at once."""
QUERY_STATUS = "status"
"""Entity query: EntityStatus."""
QUERY_RESULT = "result"
"""Entity query, argument ticket: OperationResult, or None while it is queued or runs."""


class OperationType(StrEnum):
    """Workflow types of operations, as in ``temporal workflow start --type``."""

    DEPLOY = "Deploy"
    REPAIR = "Repair"
    DELETE = "Delete"


class NoticeKind(StrEnum):
    SPEC = "spec"
    """The App's spec, or its deletion timestamp."""
    DRIFT = "drift"
    """An object of the App is gone or was changed by somebody else; ``detail`` names it and says how."""
    RESYNC = "resync"
    """Periodic look, in case a watch event was lost."""


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
class OperationInput:
    """Input of every operation's workflow. By hand only ``namespace`` and ``app`` are needed, ``reason`` is
    welcome; the entity fills in the rest.

    ``ticket`` is given by the entity; a run without one was started by hand, queues itself with the entity and mirrors
    the result. ``uid`` and ``spec_hash`` are of the App for which it was planned: it never touches a later App of the
    same name, and ends, to be planned anew, where it finds another spec.
    """

    namespace: str
    app: str
    reason: str = ""
    ticket: str = ""
    uid: str = ""
    spec_hash: str = ""
    plugin: str = ""


@dataclass(frozen=True)
class OperationRequest:
    type: str
    requested_by: str
    """Workflow id of the run started by hand."""
    reason: str = ""


class Outcome(StrEnum):
    COMPLETED = "completed"
    NOTHING = "nothing to do"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class OperationResult:
    """``outcome`` is one of ``Outcome``, ``message`` a sentence."""

    type: str
    outcome: str
    message: str
    workflow_id: str = ""


@dataclass(frozen=True)
class EntityStatus:
    """``doing`` is a sentence; ``operation`` the workflow id of the operation that runs, else empty."""

    doing: str
    operation: str = ""
    queued: list[str] = field(default_factory=list)
    """Tickets that have no result yet: the running operation's first, then in the order in which they are looked at."""
