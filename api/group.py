"""``Group``: the nodes of one size within a component. Written by the platform; scale works where the App is silent."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from itertools import count, islice
from typing import Any, Literal

from pydantic import Field

from api.app import Resources, RollingUpdate, Storage
from api.meta import Conditions, FreeForm, Model, StatusModel, by_key
from api.plugin import Port


def node_ordinals(replicas: int, reserved: Collection[int]) -> list[int]:
    """Ordinals of a group's nodes: the first ``replicas`` that are not reserved."""
    return list(islice((n for n in count() if n not in reserved), replicas))


class AgentBundle(Model):
    """The image that brings the agents into a Pod, and how: ``mounted`` as a volume of its own, where the cluster can
    mount an image, else copied by an init container."""

    image: str
    mounted: bool = False


class GroupSpec(Model):
    """All that a Pod of the group is made of. What counts is the revision that the status names: it is what Repair
    applies again, whatever the plugin, or a hand-edited Group, says by then."""

    app: str
    component: str
    group: str
    replicas: int = Field(ge=1, le=99)
    reserve_ordinals: list[int] = []
    runtime_version: str
    """The App's."""
    engine_version: str
    """Of the component's own engine, as the plugin says; what ``getVersion`` must answer."""
    image: str
    agent: AgentBundle
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


class MemberState(StrEnum):
    NORMAL = "normal"
    ADDING = "adding"
    """A Deploy or Scale has begun to add it."""
    DELETING = "deleting"
    """It has left, and is being removed."""


class Member(StatusModel):
    """A node that the platform has made, or begun to make."""

    name: str
    state: MemberState
    version: str = ""
    """The runtime version of its Pod."""
    unverified: bool = False
    """A rolling operation has given it another Pod and has not seen it serve yet."""
    data: str = ""
    """The highest runtime version whose engine has had its volume, where an operation noted it."""
    pod_hash: str = ""
    """Of the facts of which its Deployment's Pod was made last (``render.manifests.deployments``): its own annotation
    can be edited by a tenant."""
    template_hash: str = ""
    """Of the Pod template as it was rendered then."""


class GroupStatus(StatusModel):
    """``members``, ``currentRevision`` and ``updateRevision`` are written by activities, which decide by them; all else
    by the watcher.

    A revision is a ControllerRevision of this Group's spec. The two are equal but while a rolling operation is under
    way: then ``updateRevision`` is what it brings, and ``currentRevision`` what an abort goes back to.
    """

    observed_generation: int | None = None
    replicas: int = 0
    ready: int = 0
    selector: str = ""
    """Label selector of the Group's Pods, for the scale subresource."""
    nodes: list[NodeStatus] = Field(default=[], json_schema_extra=by_key("name"))
    conditions: Conditions = []
    members: list[Member] = Field(default=[], json_schema_extra=by_key("name"))
    current_revision: str = ""
    update_revision: str = ""


class Group(Model):
    api_version: Literal["middleware.io/v1alpha1"] = "middleware.io/v1alpha1"
    kind: Literal["Group"] = "Group"
    metadata: dict[str, Any]
    spec: GroupSpec
    status: GroupStatus = GroupStatus()
