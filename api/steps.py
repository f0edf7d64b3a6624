"""What workflows and activities say to each other: names of activities, their messages, the types of their errors.

Names and fields are stored in histories: add fields with defaults, never rename. Nothing here may carry a secret or a
whole manifest, since histories are readable by everybody who may open the Temporal UI.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from api.operations import OperationRequest, Scope


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
    BEGIN = "begin"
    TELL_STATE = "tellState"
    SYNC_NODES = "syncNodes"
    PLAN_ROLL = "planRoll"
    PLAN_MOVE = "planMove"
    SWITCHOVER = "switchover"
    ROLL_NODE = "rollNode"
    AFTER_ROLL = "afterRoll"
    EXPAND_VOLUMES = "expandVolumes"
    ROLL_BACK = "rollBack"
    PLAN_SCALE = "planScale"
    JOIN_NODES = "joinNodes"
    LEAVE_NODE = "leaveNode"
    REMOVE_NODE = "removeNode"
    FORGET_NODE = "forgetNode"
    DISCARD_NODE = "discardNode"
    PLAN_CONFIG = "planConfig"
    PLAN_FAILOVER = "planFailover"
    FENCE = "fence"
    CHOOSE = "choose"
    PROMOTE = "promote"
    READMIT = "readmit"
    CONFIGURE_NODE = "configureNode"
    COMMIT_CONFIG = "commitConfig"
    BEGIN_ROTATION = "beginRotation"
    GIVE_CREDENTIALS = "giveCredentials"
    KEEP_BOTH = "keepBoth"
    ADVANCE_ROTATION = "advanceRotation"
    ENQUEUE = "enqueue"
    AWAIT_RESULT = "awaitResult"
    CANCEL_TICKET = "cancelTicket"


SHORT_STEPS = frozenset(
    {
        Step.PREPARE, Step.SERVICES, Step.RECORD, Step.FINISH, Step.PLAN_DELETION, Step.BEGIN, Step.TELL_STATE,
        Step.ROLL_BACK, Step.PLAN_SCALE, Step.DISCARD_NODE, Step.COMMIT_CONFIG, Step.BEGIN_ROTATION,
        Step.KEEP_BOTH, Step.ADVANCE_ROTATION, Step.ENQUEUE, Step.CANCEL_TICKET,
    }
)  # fmt: skip
"""Of a second or so, which wait for nobody: once begun they are done, even where the operation is being ended."""


class ErrorType(StrEnum):
    """``type`` of an ApplicationError that trying again would not cure."""

    INVALID_SPEC = "InvalidSpec"
    NOT_OWNED = "NotOwned"
    NOT_FOUND = "NotFound"
    NOT_ASKED = "NotAsked"
    """Neither the App nor the operation to which the step belongs asks for what it would do."""
    SPEC_CHANGED = "SpecChanged"
    REJECTED = "Rejected"
    """The API server refuses an object that the platform made."""
    CREDENTIALS_LOST = "CredentialsLost"
    CREDENTIALS_KEPT = "CredentialsKept"
    """The passwords cannot be changed, and nothing was touched."""
    NODE_STUCK = "NodeStuck"
    """A node does not come up with what it was given; the others were not touched."""
    UNREADABLE_VOLUME = "UnreadableVolume"
    """Another version of the engine has had a node's volume, and the wanted one may not be given its data. The error's
    details: that version, where it is known."""
    ENGINE_REFUSED = "EngineRefused"
    """The engine answered that it will not do what was asked."""
    TOOL_REFUSED = "ToolRefused"
    """A tool of the plugin ran and failed: what it says is for an operator to judge."""
    TOOL_STALLED = "ToolStalled"
    """A long tool has made no progress for as long as its plugin allows. It may go on in the engine."""
    NO_CANDIDATE = "NoCandidate"
    """No node can take over a writable role without losing data."""
    DIVERGED = "Diverged"
    """Of two nodes each has data that the other has not: no rule may choose between them, a person may."""
    NO_SUCH_NODE = "NoSuchNode"
    """What somebody named is not there."""
    TEMPLATE = "TemplateFailure"


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
    reason: str = ""
    """Why the operation runs, a sentence."""
    stage: str = ""
    """OperationType whose part of the spec is carried out, where that is not the operation's own."""

    @property
    def target(self) -> Target:
        return self


@runtime_checkable
class OfOperation(Protocol):
    """What every request of an operation's step has, so that whoever stands around all activities knows for whom they
    work: what is wrong is told in that App's status."""

    @property
    def target(self) -> Target: ...


@dataclass(frozen=True)
class GroupPlan:
    """``missing``: nodes without a Deployment when it was planned."""

    name: str
    nodes: list[str]
    missing: list[str] = field(default_factory=list)


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
    """``nodes``: only these; empty: all of the group."""

    target: Target
    component: str
    group: str
    nodes: list[str] = field(default_factory=list)


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
class NodeStep:
    """One node. ``pod``: uid of its Pod when the operation was planned, so that a repeat does not restart its
    successor; empty: it had none."""

    target: Target
    component: str
    group: str
    node: str
    pod: str = ""


@dataclass(frozen=True)
class RollNode:
    name: str
    component: str
    group: str
    pod: str = ""


@dataclass(frozen=True)
class RollPlan:
    """``batches``: nodes that may be down at once, in the order in which they are rolled. Those of one component are
    together; who is writable is asked again before each. ``after``: components whose plugin has a tool for the end."""

    batches: list[list[RollNode]]
    after: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RollRequest:
    target: Target
    scope: Scope = field(default_factory=Scope)


@dataclass(frozen=True)
class MoveRequest:
    """``node``: its writable role is to go elsewhere, empty: whichever holds it. ``candidate``: who is to get it.

    A Switchover away from a ``node`` goes to a machine that takes Pods, or not at all."""

    target: Target
    component: str
    node: str = ""
    candidate: str = ""


@dataclass(frozen=True)
class Move:
    """``source`` empty: nothing is to be moved; ``message`` says why."""

    target: Target
    component: str
    source: str = ""
    candidate: str = ""
    message: str = ""


@dataclass(frozen=True)
class RolledBack:
    """``too_late``: the primary runs the new version, so only forward is safe."""

    too_late: bool = False


@dataclass(frozen=True)
class ScalePlan:
    """``adding``: groups with new nodes, by component in start order. ``removing``: nodes to go, one after another."""

    adding: list[ComponentPlan] = field(default_factory=list)
    removing: list[RollNode] = field(default_factory=list)
    components: list[str] = field(default_factory=list)
    """All components in start order: whose nodes have to hear of the change."""


@dataclass(frozen=True)
class StateRequest:
    """An operation began to wait for an operator, or goes on. ``state``: OperationState."""

    target: Target
    step: str
    state: str
    message: str


@dataclass(frozen=True)
class Replacement:
    """A node that serves and is to have another Pod. ``last``: it holds a writable role."""

    group: str
    node: str
    last: bool = False


@dataclass(frozen=True)
class Applied:
    """How many objects were created or changed. ``left``: nodes that were not touched yet, in their order: each is
    replaced only when the one before serves again."""

    changed: int
    left: list[Replacement] = field(default_factory=list)


@dataclass(frozen=True)
class Survey:
    """Which node holds the newest data (empty: none holds any), and a sentence on how that was found."""

    bootstrap: str
    message: str


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
