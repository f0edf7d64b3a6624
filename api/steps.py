"""What workflows and activities say to each other: names of activities, their messages, the types of their errors.

Names and fields are stored in histories: add fields with defaults, never rename. Nothing here may carry a secret or a
whole manifest, since histories are readable by everybody who may open the Temporal UI.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from api.operations import OperationRequest


class Step(StrEnum):
    """Activity types."""

    LOAD = "load"
    REPORT = "report"
    PREPARE = "prepare"
    SERVICES = "services"
    APPLY_GROUP = "applyGroup"
    WAIT_READY = "waitReady"
    SURVEY_VOLUMES = "surveyVolumes"
    START_HELD = "startHeld"
    RECORD = "record"
    FINISH = "finish"
    PLAN_DELETION = "planDeletion"
    DELETE_COMPONENT = "deleteComponent"
    DELETE_LEFTOVERS = "deleteLeftovers"
    ENQUEUE = "enqueue"
    AWAIT_RESULT = "awaitResult"
    CANCEL_TICKET = "cancelTicket"


class ErrorType(StrEnum):
    """``type`` of an ApplicationError that trying again would not cure."""

    INVALID_SPEC = "InvalidSpec"
    NOT_OWNED = "NotOwned"
    NOT_FOUND = "NotFound"
    SPEC_CHANGED = "SpecChanged"
    REJECTED = "Rejected"
    """The API server refuses an object that the platform made."""
    CREDENTIALS_LOST = "CredentialsLost"
    TEMPLATE = "TemplateFailure"


@dataclass(frozen=True)
class AppSnapshot:
    """All that the planner knows: what is wanted, what is there, what the status already says.

    ``refusal`` is empty for a spec that can be carried out, else a sentence with the field and the remedy.
    """

    exists: bool
    uid: str = ""
    generation: int = 0
    deleting: bool = False
    """Deletion timestamp set and our finalizer still there."""
    paused: bool = False
    plugin: str = ""
    spec_hash: str = ""
    """Over the App's spec without ``paused`` and ``deletionPolicy``, which need no operation."""
    deployed_hash: str = ""
    """``spec_hash`` of the last Deploy that completed; empty before."""
    refusal_reason: str = ""
    refusal: str = ""
    drift: list[str] = field(default_factory=list)
    """One sentence for each object that is missing or was changed by somebody else; the first few."""
    told_generation: int = 0
    """``status.observedGeneration``."""
    told: str = ""
    """Phase, Accepted reason and message of the status, to see whether it must be written."""


@dataclass(frozen=True)
class Target:
    """On whose behalf an activity works."""

    namespace: str
    app: str
    uid: str
    spec_hash: str
    operation: str
    """OperationType."""
    workflow_id: str
    """Of the operation, not of a child of it."""


@dataclass(frozen=True)
class GroupPlan:
    name: str
    nodes: list[str]


@dataclass(frozen=True)
class ComponentPlan:
    """``after``: components that must be ready first. ``kept``: volumes of an earlier App of this name are there, or
    nodes are still held for them."""

    name: str
    groups: list[GroupPlan]
    after: list[str] = field(default_factory=list)
    kept: bool = False


@dataclass(frozen=True)
class Plan:
    """Components in start order (of a deletion: in the order of deletion)."""

    components: list[ComponentPlan]


@dataclass(frozen=True)
class ComponentStep:
    """``bootstrap``: the node that was chosen as first primary (StartHeld only)."""

    target: Target
    component: str
    bootstrap: str = ""


@dataclass(frozen=True)
class GroupStep:
    target: Target
    component: str
    group: str


@dataclass(frozen=True)
class ComponentRun:
    """Input of the child workflow ``Component``."""

    target: Target
    plan: ComponentPlan


@dataclass(frozen=True)
class GroupRun:
    """Input of the child workflow ``Group``. ``held``: bring the Pods up, but do not wait for the engines."""

    target: Target
    component: str
    plan: GroupPlan
    held: bool = False


@dataclass(frozen=True)
class Applied:
    """How many objects were created or changed."""

    changed: int


@dataclass(frozen=True)
class Survey:
    """Which node holds the newest data (empty: none holds any), and a sentence on how that was found."""

    bootstrap: str
    message: str


@dataclass(frozen=True)
class LoadRequest:
    """``drift`` False: only what is wanted, which is much cheaper."""

    namespace: str
    app: str
    drift: bool = True


@dataclass(frozen=True)
class ReportRequest:
    """Status of an App between operations. ``accepted_reason``: ``Accepted`` or why not."""

    namespace: str
    app: str
    uid: str
    generation: int
    phase: str
    message: str
    accepted: bool
    accepted_reason: str
    paused: bool = False
    failed_operation: str = ""
    """OperationType of the operation that failed for good and waits for an operator; else empty."""


@dataclass(frozen=True)
class EnqueueRequest:
    namespace: str
    app: str
    request: OperationRequest


@dataclass(frozen=True)
class TicketRequest:
    namespace: str
    app: str
    ticket: str
