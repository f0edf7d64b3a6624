"""``Component``: one middleware process type of an App. Written by the platform from the App, never by a person."""

from __future__ import annotations

from typing import Any, Literal

from api.app import ParameterValues
from api.meta import Conditions, Model, StatusModel


class ComponentSpec(Model):
    app: str
    component: str
    topology: str = ""
    """Of the App at its creation: API servers without CEL rules do not refuse a change, so the planner compares."""
    config: ParameterValues = {}
    groups: list[str]
    bootstrap_node: str | None = None
    """The node that starts as the first primary: chosen once at the first deploy (of a deploy over kept volumes: the
    node with the newest data), never changed afterwards; from then on the engine's own peers know better."""


class NodeRole(StatusModel):
    """A node that has a role, and since which epoch."""

    node: str
    role: str
    epoch: int = 0


class RoleHolder(StatusModel):
    """Who held a role last that the platform replaces the holder of, also where it is gone."""

    role: str
    node: str


class ComponentStatus(StatusModel):
    """``revision`` and ``parameters`` are written by activities; all else by the watcher."""

    observed_generation: int | None = None
    ready: int = 0
    total: int = 0
    primary: str | None = None
    conditions: Conditions = []
    roles: list[NodeRole] = []
    holders: list[RoleHolder] = []
    revision: str = ""
    """The ControllerRevision of this Component's spec that its nodes run with."""
    parameters: dict[str, str] = {}
    """The parameters in effect, as an engine said."""


class Component(Model):
    api_version: Literal["middleware.io/v1alpha1"] = "middleware.io/v1alpha1"
    kind: Literal["Component"] = "Component"
    metadata: dict[str, Any]
    spec: ComponentSpec
    status: ComponentStatus = ComponentStatus()
