"""``App``: the one resource a person edits. Binds a plugin version, a runtime version and components."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from api.meta import Conditions, DnsLabel, FreeForm, Model, Quantity, SemanticVersion, StatusModel, by_key

Scalar = str | int | float | bool
ParameterValues = Annotated[dict[str, Scalar], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]


class DeletionPolicy(StrEnum):
    """What becomes of the volumes, and of the Secrets that open them, when the App is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Phase(StrEnum):
    """One word on what the platform is doing with the App; the sentence is in ``status.message``."""

    PENDING = "Pending"
    DEPLOYING = "Deploying"
    RUNNING = "Running"
    DEGRADED = "Degraded"
    """It runs, and something that was observed is not as wanted."""
    UPDATING = "Updating"
    PAUSED = "Paused"
    REFUSED = "Refused"
    WAITING = "Waiting"
    DELETING = "Deleting"


class PluginReference(Model):
    name: DnsLabel
    """Name of an installed plugin, for example redis."""
    version: SemanticVersion
    """Version of the plugin (not of the middleware): three numbers, like 1.0.0."""


class Resources(Model):
    """Container resources of the middleware container."""

    requests: dict[str, Quantity] = Field(default={}, max_length=16)
    """What is set aside for it, for example cpu: 500m and memory: 256Mi."""
    limits: dict[str, Quantity] = Field(default={}, max_length=16)
    """What it cannot go above, for example memory: 512Mi."""


class Storage(Model):
    """The volume of each node. ``storageClassName`` is immutable where there are volumes; the cluster's default if left
    out."""

    size: Quantity
    """For example 1Gi. It may be made larger where the StorageClass can; never smaller."""
    storage_class_name: str | None = Field(default=None, min_length=1, max_length=253)
    """One of kubectl get storageclass; the cluster's default if left out. Immutable once a node of the group has a
    volume."""


class RollingUpdate(Model):
    """How many nodes of the group may be down at once, and how long a node must have been ready to count."""

    max_unavailable: int = Field(default=1, ge=1)
    """Nodes of the group that may be down at once; fewer where a majority of the component, or another node beside the
    writable one, has to stay."""
    min_ready_seconds: int = Field(default=0, ge=0, le=599)
    """Seconds for which a rolled node's new Pod must have been ready before the next node is taken; Kubernetes takes
    less than a Deployment's progress deadline, which is 600."""


class GroupTemplate(Model):
    """Nodes of one size. What is left out comes from the plugin's topology."""

    name: DnsLabel
    """Name of the group, part of its nodes' names. Immutable."""
    replicas: int | None = Field(default=None, ge=1, le=99)
    """Number of nodes. Left out, it is the plugin's at first, and then a matter of kubectl scale."""
    reserve_ordinals: list[Annotated[int, Field(ge=0, le=998)]] = Field(default=[], max_length=99)
    """Ordinals that no node may have: with ``replicas`` one lower, this is how one chosen node is removed."""
    resources: Resources | None = None
    """Container resources of each node; the topology's if left out."""
    agent_resources: Resources | None = None
    """Of the containers that hold the platform's agents; for namespaces whose quota or LimitRange asks for amounts."""
    storage: Storage | None = None
    """The volume of each node; the topology's if left out."""
    node_selector: dict[str, str] = {}
    """Labels that a machine must have to get a node."""
    affinity: FreeForm | None = None
    """As in a Pod. A kind that is given replaces the platform's own; {} switches it off."""
    tolerations: list[FreeForm] = []
    """As in a Pod."""
    topology_spread_constraints: list[FreeForm] = []
    """As in a Pod. Given, they replace the platform's own."""
    rolling_update: RollingUpdate = RollingUpdate()
    """How many nodes may be down at once, and how long a node must have been ready to count."""


class ComponentTemplate(Model):
    """One kind of middleware process, by the plugin's name for it."""

    name: DnsLabel
    """The plugin's name for it, for example redis-server. Immutable."""
    config: ParameterValues = {}
    """Parameters of the middleware by name; the plugin says which there are."""
    groups: list[GroupTemplate] = Field(default=[], max_length=16, json_schema_extra=by_key("name"))
    """Its nodes, by group; one group as the topology has it if left out."""


class DataLoss(StrEnum):
    """Whether a failover may take a replica that was not in sync with the lost primary."""

    REFUSE = "Refuse"
    ALLOW = "Allow"


class FailoverPolicy(Model):
    """For topologies in which the platform, not the engine, replaces a lost primary. What somebody starts by hand
    does not ask ``automatic`` and ``coolDownSeconds``."""

    automatic: bool = True
    """Whether the platform replaces a lost primary by itself."""
    data_loss: DataLoss = DataLoss.REFUSE
    """Whether a failover may take a replica that was not in sync with the lost primary."""
    cool_down_seconds: int = Field(default=60, ge=0, le=86_400)
    """After a failover of a component the next one waits for so long, so that two bad nodes do not take turns."""


class AppSpec(Model):
    """What should run."""

    plugin: PluginReference
    """The plugin that knows the middleware, and the version of it. The name is immutable."""
    runtime_version: str | None = Field(default=None, min_length=1, max_length=63)
    """Version of the middleware, in quotes: "7.0". The plugin's default if left out."""
    topology: DnsLabel | None = None
    """One of the plugin's topologies; its default if left out. Immutable."""
    components: list[ComponentTemplate] = Field(default=[], max_length=16, json_schema_extra=by_key("name"))
    """What is to be other than in the topology, by component."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """What becomes of the volumes, and of the Secrets that open them, when the App is deleted."""
    failover: FailoverPolicy = FailoverPolicy()
    """Where the platform, not the engine, replaces a lost primary."""
    paused: bool = False
    """True keeps anything of this App from being changed by the platform."""


class OperationStatus(StatusModel):
    """The operation that runs now, or ran last."""

    type: str
    workflow_id: str
    step: str = ""
    state: Literal["Running", "Waiting", "Paused", "Completed", "Failed", "Cancelled"] = "Running"


class Progress(StatusModel):
    """What the platform does with the App, or has done last, in the words of its activities; ``status.phase`` and
    ``status.message`` say what follows from that and from what is observed."""

    phase: Phase = Phase.PENDING
    message: str = ""
    observed_generation: int | None = None
    """The generation of the spec that was looked at last."""


class ComponentStatusSummary(StatusModel):
    name: str
    ready: int = 0
    total: int = 0
    primary: str | None = None


class FencedNode(StatusModel):
    """A node that was replaced as primary and has not been taken in again. Until then the watcher neither renews its
    lease nor sends clients to it. ``since``: RFC 3339."""

    node: str
    component: str
    since: str
    reason: str = ""
    successor: str = ""
    """Who was asked to become writable in its place."""


class RoleMove(StatusModel):
    """A writable role on its way from ``source`` to ``candidate``. Noted before the candidate is asked to take it, and
    kept until it is known who has it: whatever becomes of the operation meanwhile. ``since``: RFC 3339.

    Empty ``source``: the status was lost while the candidate was silent, so nobody knows whether it was given the role.
    """

    component: str
    source: str
    candidate: str
    since: str


class EndpointServes(StrEnum):
    """Who answers behind an endpoint."""

    WRITES = "Writes"
    """The node that takes writes, whichever that is."""
    ANY_NODE = "AnyNode"
    """Any ready node of the component."""


class Endpoint(StatusModel):
    """Where a client connects: a Service name that resolves inside the cluster, with its port."""

    name: str
    address: str
    component: str = ""
    serves: EndpointServes = EndpointServes.ANY_NODE


class DeployedStatus(StatusModel):
    """What the platform has deployed, in whole: with the recorded state of the Groups and Components it is what
    operations decide by."""

    plugin: str = ""
    plugin_version: str = ""
    """The plugin version that the App runs with."""
    previous_plugin: str = ""
    """Until a move to ``pluginVersion`` has ended: the version from which it began, to which an abort goes back."""
    topology: str = ""
    spec_hash: str = ""
    """Of the spec that was last carried out in whole; empty until the first Deploy has completed."""
    begun: list[str] = []
    """Before that: components of which no node may begin as first primary any more, since others may have data."""
    writable_version: str = ""
    """The highest runtime version of a node that may have had a writable role since all were of one version: from there
    an upgrade only goes forward."""
    created: str = ""
    updated: str = ""


class AppStatus(StatusModel):
    """One writer for each field.

    ``progress``, ``operation``, ``fenced``, ``moving``, ``deployed`` and the conditions Accepted, Progressing, Paused
    and ParametersSafe are written by activities; all else by the watcher, which alone sees what runs.
    ``observedGeneration`` is that of ``progress``, so ``phase``, ``message`` and the conditions are about it.
    ``runtimeVersion`` is the one in effect, also where the spec leaves it to the plugin.
    """

    observed_generation: int | None = None
    phase: Phase = Phase.PENDING
    message: str = ""
    ready: str = ""
    runtime_version: str = ""
    primary: str = ""
    conditions: Conditions = []
    progress: Progress | None = None
    operation: OperationStatus | None = None
    deployed: DeployedStatus | None = None
    fenced: list[FencedNode] = Field(default=[], json_schema_extra=by_key("node"))
    moving: list[RoleMove] = Field(default=[], json_schema_extra=by_key("candidate"))
    components: list[ComponentStatusSummary] = Field(default=[], json_schema_extra=by_key("name"))
    endpoints: list[Endpoint] = Field(default=[], json_schema_extra=by_key("name"))


class App(Model):
    api_version: Literal["middleware.io/v1alpha1"] = "middleware.io/v1alpha1"
    kind: Literal["App"] = "App"
    metadata: dict[str, Any]
    spec: AppSpec
    status: AppStatus = AppStatus()

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def namespace(self) -> str:
        return str(self.metadata["namespace"])

    @property
    def uid(self) -> str:
        return str(self.metadata.get("uid", ""))

    @property
    def generation(self) -> int:
        return int(self.metadata.get("generation", 0))
