"""What is observed of an App, as the judgement on its health takes it (``watcher.status.health``).

Empty texts and ``UNKNOWN`` say that nothing was told: of a plugin that does not tell it, or of an agent that is not
heard. Whether an agent is heard is a fact of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from api.app import Phase
from api.effective import read_note
from watcher.roles.said import Said


@dataclass(frozen=True)
class Differing:
    """A parameter that the engine runs otherwise than it was asked to."""

    parameter: str
    asked: str
    in_effect: str


def differing_of(note: str) -> tuple[Differing, ...]:
    """From what the activities note on a node's ConfigMap; nothing from a note that is damaged."""
    found = read_note(note)
    return tuple(Differing(name, *pair) for name, pair in sorted(found.differs.items())) if found is not None else ()


@dataclass(frozen=True)
class NodeFacts:
    """One node that the App should have.

    ``ready``: its Pod is. ``role``: the label that the watcher gave it; ``claims``: the role that its engine claims,
    whether or not it was given the label. ``heard`` None: its agent has not been heard yet. ``address``: of its
    Service, empty where there is none; ``announced``: the address that its engine was told to announce.
    ``volume_going``: its claim is being deleted, and stays for as long as its Pod uses it.
    """

    name: str
    ready: bool = False
    role: str = ""
    claims: str = ""
    heard: Said | None = None
    address: str = ""
    announced: str = ""
    differing: tuple[Differing, ...] = ()
    volume_going: bool = False


@dataclass(frozen=True)
class ComponentFacts:
    """``writable``: roles in which a node takes writes, ``exclusive``: those of them that only one node may hold.
    ``others``: nodes beside its own whose engines claim a role, such as those that a Scale is just removing.
    ``unproven``: nodes that claimed an exclusive role and have fallen silent or were replaced. That is not counted in
    their ``claims``; nor is it known that no second node holds the role. ``missing``: Services by which clients reach
    it, or the holders of a role, and which are not there."""

    name: str
    nodes: tuple[NodeFacts, ...] = ()
    writable: frozenset[str] = frozenset()
    exclusive: frozenset[str] = frozenset()
    others: Mapping[str, str] = field(default_factory=dict)
    unproven: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class AppFacts:
    """``phase``, ``told`` and ``seen``: what the activities have said last, and of which generation. ``operating``: an
    operation runs, waits or is paused; ``working``: it runs. ``refusal``: why the spec is refused. ``began``: the first
    Deploy has ended once. ``replaced``: nodes that were replaced as primary and have not been taken in again.
    ``notes``: sentences on primaries that are lost, and why they are not replaced."""

    generation: int
    seen: int
    phase: Phase
    told: str = ""
    began: bool = True
    deleting: bool = False
    refusal: str = ""
    operating: bool = False
    working: bool = False
    components: tuple[ComponentFacts, ...] = ()
    replaced: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
