"""What the steps of a Reconfigure say to each other.

As in ``api.steps``: fields are stored in histories, so they are added with defaults and never renamed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from api.steps import NodeStep, RollNode, Target


@dataclass(frozen=True)
class ConfigPlan:
    """``nodes``: in the order in which they are configured. ``restart``: a parameter is only read at the start.
    ``ordered``: the order is the parameters', so nodes come one by one, and the primary keeps its role meanwhile.
    ``after``: nodes are restarted, and the plugin has a tool for the end of that."""

    component: str
    nodes: list[RollNode] = field(default_factory=list)
    restart: bool = False
    changed: list[str] = field(default_factory=list)
    ordered: bool = False
    after: bool = False


@dataclass(frozen=True)
class ParameterDiffers:
    """An engine runs with another value than it was given."""

    node: str
    parameter: str
    asked: str
    answered: str

    def __str__(self) -> str:
        return f"{self.node} runs with {self.parameter} {self.answered}, {self.asked} was asked for"


@dataclass(frozen=True)
class ConfigCommitted:
    """``differs``: what engines say otherwise than they were told, read back after the last of them had been."""

    differs: list[ParameterDiffers] = field(default_factory=list)


@dataclass(frozen=True)
class ConfigPlans:
    components: list[ConfigPlan]


@dataclass(frozen=True)
class ConfigureStep:
    """``revert``: back to the recorded parameters. ``ordered``: as in ConfigPlan."""

    node: NodeStep
    revert: bool = False
    ordered: bool = False

    @property
    def target(self) -> Target:
        return self.node.target
