"""What the steps of a RotateCredentials say to each other; never a password.

As in ``api.steps``: fields are stored in histories, so they are added with defaults and never renamed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from api.steps import NodeStep, RollNode, Target


@dataclass(frozen=True)
class RotationRequest:
    """``generate``: where nobody has written a password of his own, one is made. ``overlap``: seconds for which both
    are valid before the former one is retired; it stands in the Secret until then."""

    target: Target
    generate: bool = False
    overlap: int = 0


@dataclass(frozen=True)
class RotationStage:
    """Where the change of passwords stands (``render.desired.credentials.Stage``, by value), and the nodes that have to
    hear of it, in their order. ``back``: it is on the way back. ``names``: the credentials that it is about."""

    stage: str
    nodes: list[RollNode] = field(default_factory=list)
    back: bool = False
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AdvanceRequest:
    """``stage``: every node has heard of it. ``back``: turn back instead."""

    target: Target
    stage: str
    back: bool = False


@dataclass(frozen=True)
class CredentialsStep:
    node: NodeStep
    stage: str

    @property
    def target(self) -> Target:
        return self.node.target


@dataclass(frozen=True)
class Overlap:
    """Seconds for which both passwords are still to be valid."""

    seconds: float = 0.0
