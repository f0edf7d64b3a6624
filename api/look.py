"""The look at an App, and what its status says between operations: what ``load`` answers the planner, and what the
planner has ``report`` write.

As in ``api.steps``: stored in histories, so fields are added with defaults and never renamed, and none holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Evacuation:
    """A node that a drain of its machine cannot take away, or must take down: it holds a writable role, or is the only
    one of its component. Or (``machine`` empty) a node with a writable role whose engine takes no writes.

    ``candidate``: a node, ready and on a machine that takes Pods, to which its role can go; empty: there is none.
    ``message``: a sentence.
    """

    component: str
    node: str
    machine: str
    candidate: str = ""
    message: str = ""


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
    """Over the App's spec without ``paused``, ``deletionPolicy`` and ``failover``, which need no operation."""
    deployed_hash: str = ""
    """``spec_hash`` of the last Deploy that completed; empty before."""
    refusal_reason: str = ""
    refusal: str = ""
    operation: str = ""
    """OperationType that carries out the next part of the spec that is not as it runs; empty: none is."""
    change: str = ""
    """A sentence on that part."""
    credentials: str = ""
    """Why a password that somebody has written into the App's Secret is not carried out; a sentence."""
    drift: list[str] = field(default_factory=list)
    """One sentence for each object that is missing or was changed by somebody else; the first few."""
    missing: list[str] = field(default_factory=list)
    """Those of ``drift`` for which an operation at work may wait without end."""
    lost: bool = False
    """Something is missing that only a person can put back, and that nobody may watch: the Secret of the passwords."""
    cool_down: int = 0
    """``spec.failover.coolDownSeconds``."""
    evacuations: list[Evacuation] = field(default_factory=list)
    """Nodes on cordoned machines that need somebody's attention."""
    told_generation: int = 0
    """``status.progress.observedGeneration``."""
    told: str = ""
    """Phase and message of ``status.progress``, and the reason of Accepted, to see whether they must be written."""


@dataclass(frozen=True)
class LoadRequest:
    """``drift`` False: only what is wanted, which is much cheaper. ``engines``: ask the engines too whether their
    parameters are still those that were set."""

    namespace: str
    app: str
    drift: bool = True
    engines: bool = False


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
    waiting_operation: str = ""
    """OperationType of an operation that has not failed and begins by itself later; else empty."""
    cordoned: str = ""
    """What a drain cannot take away, or takes down; a sentence."""
