"""``Group``: the nodes of one size within a component. Written by the platform; scale works where the App is silent."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count, islice
from typing import Any, Literal

from pydantic import Field

from api.app import Resources, RollingUpdate, Storage
from api.meta import Conditions, FreeForm, Model, StatusModel, by_key
from api.plugin import Port


def node_ordinals(replicas: int, reserved: Collection[int]) -> list[int]:
    """Ordinals of a group's nodes: the first ``replicas`` that are not reserved."""
    return list(islice((n for n in count() if n not in reserved), replicas))


class GroupSpec(Model):
    """All that a Pod of the group is made of: the record that Repair applies again, whatever the plugin says by
    then."""

    app: str
    component: str
    group: str
    replicas: int = Field(ge=1, le=99)
    reserve_ordinals: list[int] = []
    runtime_version: str
    image: str
    agent_image: str
    user: int = Field(ge=1)
    ports: list[Port]
    termination_grace_period_seconds: int = Field(ge=1)
    resources: Resources = Resources()
    agent_resources: Resources | None = None
    """Of the containers that hold the platform's agents."""
    storage: Storage | None = None
    node_selector: dict[str, str] = {}
    affinity: FreeForm | None = None
    tolerations: list[FreeForm] = []
    topology_spread_constraints: list[FreeForm] = []
    rolling_update: RollingUpdate = RollingUpdate()

    @property
    def ordinals(self) -> list[int]:
        return node_ordinals(self.replicas, self.reserve_ordinals)


class NodeStatus(StatusModel):
    name: str
    role: str = ""
    ready: bool = False
    pod: str = ""
    message: str = ""


class GroupStatus(StatusModel):
    observed_generation: int | None = None
    replicas: int = 0
    ready: int = 0
    selector: str = ""
    """Label selector of the Group's Pods, for the scale subresource."""
    nodes: list[NodeStatus] = Field(default=[], json_schema_extra=by_key("name"))
    conditions: Conditions = []


class Group(Model):
    api_version: Literal["middleware.io/v1alpha1"] = "middleware.io/v1alpha1"
    kind: Literal["Group"] = "Group"
    metadata: dict[str, Any]
    spec: GroupSpec
    status: GroupStatus = GroupStatus()
