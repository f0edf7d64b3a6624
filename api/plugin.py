"""The plugin format: what ``plugin.yaml`` declares. A new middleware is such a definition plus templates, no code.

Templates are Jinja2, rendered in a sandbox with strict undefined names. They see ``app`` (name, namespace),
``plugin``, ``runtimeVersion``, ``topology``, ``component`` (name, version of its engine, nodes, ports, service),
``components`` (by name, the same), ``parameters`` (by name: apply, readBack), ``node`` (name, address, ordinal, id,
group; id counts from 1 above the component's ``idBase`` and is unique in the component), ``bootstrap`` (the node that
may start as first primary, or none), ``config`` (effective parameters) and ``resources`` (cpu in cores, memory in
bytes; limit, else request, else the topology's, else 0; ``resources.limits`` and ``resources.requests`` the same of one
of the two, 0 where the App gives none). ``nodes``
entries have name, address, ordinal, id, group. Beyond Jinja2's own: the filters and tests of
``language.filters``, and the filters ``yesno`` and ``bytes``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from api.app import Resources, Scalar, Storage
from api.meta import DnsLabel, Model, SemanticVersion
from api.tools import Seconds

SECRET_REFERENCE = re.compile(r"""\{\{\s*secret(?:\.|\[['"])([a-z][a-z0-9-]*)(?:['"]\])?\s*\}\}""")
"""Of a client's environment; the one expression that the agents do not evaluate."""
RelativePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]*$", max_length=200)]


class RuntimeVersion(Model):
    """``images`` maps the image names that components use to references."""

    version: str
    """What an App names, and what it is upgraded by; that of the engine of each component that has none of its own."""
    images: dict[str, str]
    components: dict[DnsLabel, Annotated[str, Field(min_length=1, max_length=63)]] = {}
    """By component, the version of its engine where that is another: a ZooKeeper 3.8 beside a Kafka 3.9."""
    upgrades_from: list[str] | None = None
    """Versions from which a running App may be moved to this one; by default every lower one. Naming a higher one
    allows a downgrade."""


class Port(Model):
    name: Annotated[DnsLabel, Field(max_length=15)]
    port: int = Field(ge=1, le=65535)


def _distinct(ports: list[Port]) -> list[Port]:
    """Kubernetes refuses a Service with two of one number only when it is made."""
    known = {"number": [str(port.port) for port in ports], "name": [port.name for port in ports]}
    for what, given in known.items():
        twice = sorted({each for each in given if given.count(each) > 1})
        if twice:
            raise ValueError(f"two have the {what} {', '.join(twice)}; give each its own")
    return ports


Ports = Annotated[list[Port], Field(min_length=1), AfterValidator(_distinct)]


class TopologyComponent(Model):
    """``after``: components that must be ready first. Replica bounds count all groups of the component together. What
    a component is by its definition may be otherwise in one topology: ``scaling``, ``ports``, ``defaults``."""

    name: DnsLabel
    after: list[DnsLabel] = []
    replicas: int = Field(default=1, ge=1)
    minimum: int = Field(default=1, ge=1)
    maximum: int = Field(default=99, ge=1)
    odd: bool = False
    """The number of nodes must be odd, for an engine whose majority gains nothing by an even one."""
    scaling: Literal["dynamic", "fixed"] | None = None
    """In place of the component's own."""
    ports: Ports | None = None
    """In place of the component's own, all of them."""
    defaults: dict[str, Scalar] = {}
    """By parameter, the value where the App gives none, in place of the parameter's own ``default`` or
    ``defaultExpression``."""
    resources: Resources = Resources()
    storage: Storage | None = None


class Topology(Model):
    name: DnsLabel
    default: bool = False
    description: str = ""
    failover: Literal["engine", "platform"] = "engine"
    """Who replaces a lost holder of a writable role. ``platform``: its agents hold a lease (``api.node.Lease``), and
    the workflow Failover needs the tools fence, unfence, detach, failover and follow."""
    components: list[TopologyComponent] = Field(min_length=1)


class Stop(Model):
    """The plugin's stop signal, which goes to the process's group, and how long it may take before all of the engine's
    processes are killed, in whichever group or session."""

    signal: Literal["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"] = "TERM"
    timeout: Seconds = 30.0


class Process(Model):
    """The engine's process; ``command`` and ``env`` may hold expressions in ``{{ }}``, which the agent evaluates
    at each start; they know what ``atStart`` does (no secrets in ``command``)."""

    command: list[str] = Field(min_length=1)
    env: dict[str, str] = {}
    working_directory: str = "/middleware"
    directories: list[RelativePath] = []
    """Made below /middleware before the first start."""
    pid_files: list[RelativePath] = []
    """Removed before a start, when no process of the engine is left: a stale one keeps some engines from starting.
    Name none by which an engine keeps a second one from its data (PostgreSQL's ``postmaster.pid``) and which it removes
    by itself when it is stale."""
    start_seconds: Seconds = 1.0
    """Alive for this long counts as started (supervisor's startsecs)."""
    stop: Stop = Stop()


class ConfigFile(Model):
    """A template and where the agent writes it. ``once``: only where it is absent, for a file that the engine
    rewrites."""

    path: Annotated[str, Field(pattern=r"^/(middleware|scripts)/[A-Za-z0-9._/-]+$")]
    template: RelativePath
    write: Literal["always", "once"] = "always"
    mode: Annotated[str, Field(pattern=r"^0[0-7]{3}$")] = "0640"


class ParameterOrder(Model):
    """Which nodes get a parameter first when it rises and when it falls, where the engine cannot run with replicas that
    have less (or more) than their primary."""

    raise_: Literal["replicasFirst", "primaryFirst"] = Field(alias="raise")
    lower: Literal["replicasFirst", "primaryFirst"]


class Check(Model):
    """What must hold between a parameter and something else, which no schema can say: the memory, the number of nodes,
    another parameter."""

    that: Annotated[str, Field(min_length=1)]
    """Jinja2 expression, true for a good App. It sees what templates see, and ``value``."""
    message: Annotated[str, Field(min_length=1)]
    """A sentence with both figures (``{{ value }}``) and what would be right; it sees the same."""
    warns: bool = False
    """Where it does not hold nothing is refused: the App says so, in the condition ``ParametersSafe``. For what an
    engine may be run with at a price that not everybody knows."""


class Parameter(Model):
    """``schema`` is JSON Schema; ``readBack`` the engine's own name where it differs. Without a default: unset."""

    schema_: dict[str, Any] = Field(alias="schema")
    apply: Literal["dynamic", "restart", "immutable"] = "restart"
    default: Scalar | None = None
    default_expression: str | None = None
    """Jinja2 expression for a default that follows from the node: it sees what templates see, without ``config``, and
    without the nodes that a Scale is still adding: an engine is not to count on them before they are there."""
    checks: list[Check] = []
    """Looked at before anything of an App is touched, on each group's first node."""
    read_back: str | None = None
    unit: Literal["bytes"] | None = None
    """What a number without a unit counts, so that what the engine answers can be compared."""
    order: ParameterOrder | None = None
    description: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        """What rises or falls is a number, and is known before an App sets it."""
        if self.order is None:
            return self
        kinds = self.schema_.get("type")
        if not set([kinds] if isinstance(kinds, str) else kinds or [""]) <= {"integer", "number"}:
            raise ValueError("order: only of a number; give the schema type: integer, or number")
        if self.default is None or self.default_expression is not None:
            raise ValueError(
                "order: needs a default that is the same for all nodes; give default, not defaultExpression"
            )
        if self.apply == "immutable":
            raise ValueError("order: an immutable parameter never changes; leave order out")
        return self


class Role(Model):
    """``upgradeOrder``: lower first; the writable role is last by convention."""

    name: DnsLabel
    writable: bool = False
    upgrade_order: int = 0
    exclusive: bool = True
    """At most one node of the component may hold it (where writable)."""


class Unwritable(Model):
    """Signs that an own password may not have, since the engine itself cannot keep them, however they are quoted."""

    signs: Annotated[str, Field(min_length=1)]
    topologies: list[DnsLabel] = []
    """Only in these; empty: in all."""
    reason: Annotated[str, Field(min_length=1)]
    """What stands behind "because"."""


class Credential(Model):
    """A password to generate into the App's Secret, readable by the agents as ``secret.NAME``. Somebody may have put
    an own one there before."""

    name: DnsLabel
    length: int = Field(default=32, ge=16, le=128)
    unwritable: list[Unwritable] = []


class Monitor(Model):
    """How often agent 2 asks for role and readiness."""

    interval: Seconds = 0.5


class ClientProgram(Model):
    """The engine's own client, run beside the engine (``mw connect``). ``env`` may hold ``{{ secret.NAME }}`` and no
    other expression, ``command`` none: arguments show in every process list."""

    command: list[str] = Field(min_length=1)
    env: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = {}

    @model_validator(mode="after")
    def _secrets(self) -> Self:
        if any("{{" in word for word in self.command):
            raise ValueError("command may hold no {{ }}; give a password by env")
        for name, value in self.env.items():
            if "{{" in SECRET_REFERENCE.sub("", value):
                raise ValueError(f"env.{name}: only {{{{ secret.NAME }}}} is known here")
        return self

    @property
    def secrets(self) -> set[str]:
        """Names of the credentials that it needs."""
        return {name for value in self.env.values() for name in SECRET_REFERENCE.findall(value)}


class ComponentDefinition(Model):
    """``scaling: fixed``: the engine's members are decided at the first deploy; a change of replicas is refused."""

    name: DnsLabel
    id_base: int = Field(default=0, ge=0, le=1_000_000)
    """Added to the ``id`` of each node, for components whose engines take their ids from one space: those of Kafka's
    controllers and of its brokers must differ. An App in which two would meet is refused."""
    scaling: Literal["dynamic", "fixed"] = "dynamic"
    image: str
    user: int = Field(default=999, ge=1)
    process: Process
    ports: Ports
    files: list[ConfigFile] = []
    parameters: Annotated[
        list[RelativePath], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)
    ] = []
    """YAML files, or one: parameter name -> Parameter. A later file says it anew for the names that it has."""
    roles: list[Role] = []
    tools: RelativePath
    """YAML file: a Toolbox of ``api.tools``."""
    monitor: Monitor = Monitor()
    client: ClientProgram | None = None


class PluginSpec(Model):
    description: str = ""
    runtime_versions: list[RuntimeVersion] = Field(min_length=1)
    default_runtime_version: str
    topologies: list[Topology] = Field(min_length=1)
    components: list[ComponentDefinition] = Field(min_length=1)
    credentials: list[Credential] = []

    @model_validator(mode="after")
    def _references(self, info: ValidationInfo) -> Self:
        wrong = [] if info.context == WITHOUT_REFERENCES else [message for _, _, message in references(self)]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


WITHOUT_REFERENCES = "without references"
"""Context of a validation whose caller asks ``references`` itself, for the places."""
Misfit = tuple[tuple[str | int, ...], str, str]
"""Where in ``spec``, at which word, and what is wrong."""


def references(spec: PluginSpec) -> Iterator[Misfit]:
    """Names that nothing in ``spec`` defines."""
    yield from _of_topologies(spec)
    versions = [each.version for each in spec.runtime_versions]
    if spec.default_runtime_version not in versions:
        default = spec.default_runtime_version
        message = f"defaultRuntimeVersion {default!r} is not in runtimeVersions; there are {', '.join(versions)}"
        yield ("defaultRuntimeVersion",), default, message
    for number, version in enumerate(spec.runtime_versions):
        for image in dict.fromkeys(each.image for each in spec.components):
            if image not in version.images:
                message = f"runtimeVersions[{version.version}].images has no {image!r}, which a component needs"
                yield ("runtimeVersions", number, "images"), "", message
        for name in sorted(set(version.components) - {each.name for each in spec.components}):
            message = (
                f"runtimeVersions[{version.version}].components names {name}, which spec.components does not define"
            )
            yield ("runtimeVersions", number, "components"), name, message
    given = {credential.name for credential in spec.credentials}
    for number, definition in enumerate(spec.components):
        for name in sorted(definition.client.secrets - given) if definition.client is not None else ():
            message = f"client of {definition.name!r} uses {name!r}, which credentials do not name"
            yield ("components", number, "client"), name, message


def _of_topologies(spec: PluginSpec) -> Iterator[Misfit]:
    defined = {each.name for each in spec.components}
    for number, topology in enumerate(spec.topologies):
        names = {each.name for each in topology.components}
        for position, component in enumerate(topology.components):
            at = ("topologies", number, "components", position)
            if component.name not in defined:
                message = f"topology {topology.name!r} uses {component.name!r}, which spec.components does not define"
                yield (*at, "name"), component.name, message
            for other in component.after:
                if other not in names:
                    message = f"topology {topology.name!r}: {component.name!r} comes after {other!r}, not in it"
                    yield (*at, "after"), other, message
    defaults = [number for number, topology in enumerate(spec.topologies) if topology.default]
    if len(defaults) != 1:
        where: tuple[str | int, ...] = ("topologies", defaults[1], "default") if defaults else ("topologies",)
        yield where, "", f"exactly one topology has default: true; here {len(defaults) or 'none'}"


class PluginMetadata(Model):
    name: DnsLabel
    version: SemanticVersion


class Plugin(Model):
    api_version: Literal["plugin.middleware.io/v1alpha1"]
    kind: Literal["Plugin"] = "Plugin"
    metadata: PluginMetadata
    spec: PluginSpec
