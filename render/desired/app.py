"""What should run for an App: components in start order, groups, nodes, images, effective configuration.

Computed from an App that ``validation`` found good. What was recorded earlier wins where a change would restart
processes without having been asked for: a plugin hot upgrade or a newer platform never changes a Pod (image, user,
ports and grace period come from the Group's record until the runtime version changes), and ``kubectl scale`` holds
where the App is silent.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from api.app import App, ComponentTemplate, DeletionPolicy, GroupTemplate, Scalar
from api.component import ComponentSpec
from api.group import AgentBundle, GroupSpec
from api.names import component_name, group_name, node_name, role_service_name
from api.plugin import ComponentDefinition, Credential, Parameter, Topology, TopologyComponent
from render.plugin.bundle import PluginBundle

STOP_MARGIN_SECONDS = 15
"""Between the plugin's stop timeout and the kubelet's KILL: the agent's own steps around the stop."""


@dataclass(frozen=True)
class RecordedState:
    """Component and Group resources as they are now. ``components`` by component, ``groups`` by Group resource name.
    ``held``: size of each group's largest volume, by the same name, without groups that have none; None where nobody
    had to ask."""

    components: Mapping[str, ComponentSpec] = field(default_factory=dict)
    groups: Mapping[str, GroupSpec] = field(default_factory=dict)
    held: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Pinned:
    """What stays as it runs, whatever the spec says: an operation carries out one part of a changed spec.

    ``ordinals``: of the nodes, by Group resource name. ``config``: by component, instead of the App's.
    """

    ordinals: Mapping[str, Sequence[int]] = field(default_factory=dict)
    config: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    """Runtime versions by node name: in mid-upgrade a node's files and tools are of the version that it runs."""
    joining: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Of ``ordinals``, those of nodes that are still to come, by Group resource name."""


@dataclass(frozen=True)
class DesiredNode:
    """``name``: of the node's Deployment, Service, ConfigMap and claim. ``id``: from 1, unique in the component,
    stable. ``runtime_version``: what its files and tools are rendered for. ``joining``: a Scale adds it; the others'
    files name it already, but no parameter follows from it before it is there: it may never come up."""

    name: str
    component: str
    group: str
    ordinal: int
    id: int
    runtime_version: str
    joining: bool = False


@dataclass(frozen=True)
class DesiredGroup:
    """``name`` as in the App; ``resource_name`` that of the Group resource."""

    name: str
    resource_name: str
    spec: GroupSpec
    nodes: tuple[DesiredNode, ...]

    @property
    def leaving(self) -> tuple[DesiredNode, ...]:
        """Nodes that the App does not ask for any more."""
        return tuple(node for node in self.nodes if node.ordinal not in self.spec.ordinals)


@dataclass(frozen=True)
class DesiredComponent:
    """``resource_name``: of the Component resource and the Service of all ready nodes. ``role_services``: role ->
    Service, for each writable role. ``config``: the App's parameters over the plugin's defaults."""

    name: str
    resource_name: str
    definition: ComponentDefinition
    after: tuple[str, ...]
    config: Mapping[str, Scalar]
    parameters: Mapping[str, Parameter]
    groups: tuple[DesiredGroup, ...]
    role_services: Mapping[str, str]
    recorded_bootstrap: str | None

    @property
    def nodes(self) -> tuple[DesiredNode, ...]:
        """All nodes, group by group."""
        return tuple(node for group in self.groups for node in group.nodes)

    @property
    def stored_nodes(self) -> tuple[DesiredNode, ...]:
        """Those that have a volume."""
        return tuple(node for group in self.groups if group.spec.storage is not None for node in group.nodes)

    @property
    def bootstrap_node(self) -> str:
        """The node that starts as first primary: the recorded one, else the first node of the first group."""
        return self.recorded_bootstrap or self.nodes[0].name

    def group(self, name: str) -> DesiredGroup:
        return next(group for group in self.groups if group.name == name)


@dataclass(frozen=True)
class DesiredApp:
    """``components`` are in start order: each after those it depends on."""

    name: str
    namespace: str
    uid: str
    generation: int
    bundle: PluginBundle
    runtime_version: str
    topology: str
    components: tuple[DesiredComponent, ...]
    credentials: tuple[Credential, ...]
    deletion_policy: DeletionPolicy
    paused: bool
    agent: AgentBundle
    """The newest: of new nodes, and of those that are rolled. A Group's record keeps that of its first ones."""
    replaced: frozenset[str] = frozenset()
    """Nodes in whose place another was made primary: their engines wait until they are taken in again."""

    @property
    def nodes(self) -> tuple[DesiredNode, ...]:
        return tuple(node for component in self.components for node in component.nodes)

    def rolled(self, group: DesiredGroup) -> DesiredGroup:
        """The group as its Pods are made at a planned restart, which brings them the newest agents."""
        return replace(group, spec=group.spec.model_copy(update={"agent": self.agent}))

    def component(self, name: str) -> DesiredComponent:
        return next(component for component in self.components if component.name == name)


def chosen_topology(app: App, bundle: PluginBundle) -> Topology | None:
    """The App's topology, the plugin's default where it names none, None where the plugin has no such topology."""
    for topology in bundle.plugin.spec.topologies:
        if topology.name == app.spec.topology or (app.spec.topology is None and topology.default):
            return topology
    return None


def start_order(topology: Topology) -> list[TopologyComponent]:
    """Components so that each comes after those it names in ``after``; else in the plugin's order. ValueError on a
    circle."""
    left = list(topology.components)
    ordered: list[TopologyComponent] = []
    while left:
        done = {component.name for component in ordered}
        following = next((component for component in left if done.issuperset(component.after)), None)
        if following is None:
            names = ", ".join(component.name for component in left)
            raise ValueError(f"topology {topology.name!r}: {names} wait for each other in 'after'")
        ordered.append(following)
        left.remove(following)
    return ordered


def group_templates(template: ComponentTemplate | None, default: TopologyComponent) -> list[GroupTemplate]:
    """The App's groups of a component, or one group ``default`` where it gives none."""
    if template is not None and template.groups:
        return list(template.groups)
    return [GroupTemplate(name="default")]


def replicas_of(
    app: App, default: TopologyComponent, templates: Iterable[GroupTemplate], recorded: RecordedState | None
) -> dict[str, int]:
    """Replicas per group: the App's, else the recorded (scaled) ones, else the topology's (less what other groups
    have)."""
    groups = list(templates)
    counts = {group.name: group.replicas for group in groups if group.replicas is not None}
    for group in groups:
        record = recorded.groups.get(group_name(app.name, default.name, group.name)) if recorded else None
        if group.name not in counts and record is not None:
            counts[group.name] = record.replicas
    silent = [group.name for group in groups if group.name not in counts]
    rest = max(default.replicas - sum(counts.values()), len(silent))
    for position, name in enumerate(silent):
        counts[name] = rest // len(silent) + (1 if position < rest % len(silent) else 0)
    return counts


def effective_config(template: ComponentTemplate | None, parameters: Mapping[str, Parameter]) -> dict[str, Scalar]:
    """The plugin's defaults under the App's values, sorted by name."""
    values = {name: p.default for name, p in parameters.items() if p.default is not None}
    given: Mapping[str, Scalar] = template.config if template is not None else {}
    return dict(sorted({**values, **given}.items()))


def desired(
    app: App,
    bundle: PluginBundle,
    *,
    agent: AgentBundle,
    recorded: RecordedState | None = None,
) -> DesiredApp:
    """What should run. ``agent``: of new nodes. Raises ValueError for an App that validation would refuse."""
    topology = chosen_topology(app, bundle)
    if topology is None:
        raise ValueError(f"plugin {bundle.name} has no topology {app.spec.topology!r}")
    runtime_version = app.spec.runtime_version or _unspoken_version(bundle, recorded)
    components = tuple(
        _component(app, bundle, default, runtime_version, agent, recorded) for default in start_order(topology)
    )
    return DesiredApp(
        name=app.name,
        namespace=app.namespace,
        uid=app.uid,
        generation=app.generation,
        bundle=bundle,
        runtime_version=runtime_version,
        topology=topology.name,
        components=components,
        credentials=tuple(bundle.plugin.spec.credentials),
        deletion_policy=app.spec.deletion_policy,
        paused=app.spec.paused,
        agent=agent,
        replaced=frozenset(each.node for each in app.status.fenced if each.successor),
    )


def _unspoken_version(bundle: PluginBundle, recorded: RecordedState | None) -> str:
    """Of an App that names none: what runs, as another default of a newer plugin is no wish to upgrade an engine."""
    supported = {version.version for version in bundle.plugin.spec.runtime_versions}
    runs = {group.runtime_version for group in recorded.groups.values()} if recorded is not None else set()
    if len(runs) == 1 and runs <= supported:
        return runs.pop()
    return bundle.plugin.spec.default_runtime_version


def _component(
    app: App,
    bundle: PluginBundle,
    default: TopologyComponent,
    runtime_version: str,
    agent: AgentBundle,
    recorded: RecordedState | None,
) -> DesiredComponent:
    definition, parameters = bundle.definition_in(default), bundle.parameters_in(default)
    template = next((c for c in app.spec.components if c.name == default.name), None)
    version = next(v for v in bundle.plugin.spec.runtime_versions if v.version == runtime_version)
    templates = group_templates(template, default)
    counts = replicas_of(app, default, templates, recorded)
    groups = []
    for group in templates:
        resource_name = group_name(app.name, default.name, group.name)
        record = recorded.groups.get(resource_name) if recorded else None
        spec = GroupSpec(
            app=app.name,
            component=default.name,
            group=group.name,
            replicas=counts[group.name],
            reserve_ordinals=sorted(set(group.reserve_ordinals)),
            resources=group.resources or default.resources,
            agent_resources=group.agent_resources,
            storage=group.storage or default.storage,
            node_selector=group.node_selector,
            affinity=group.affinity,
            tolerations=group.tolerations,
            topology_spread_constraints=group.topology_spread_constraints,
            rolling_update=group.rolling_update,
            **_pod_facts(bundle, definition, runtime_version, version.images[definition.image], agent, record),
        )
        nodes = _nodes(spec, spec.ordinals, sorted(counts), {}, base=definition.id_base)
        groups.append(DesiredGroup(group.name, resource_name, spec, nodes))
    record_of_component = recorded.components.get(default.name) if recorded else None
    return DesiredComponent(
        name=default.name,
        resource_name=component_name(app.name, default.name),
        definition=definition,
        after=tuple(default.after),
        config=effective_config(template, parameters),
        parameters=parameters,
        groups=tuple(groups),
        role_services={
            role.name: role_service_name(app.name, default.name, role.name)
            for role in definition.roles
            if role.writable
        },
        recorded_bootstrap=record_of_component.bootstrap_node if record_of_component else None,
    )


def pinned_to(desired: DesiredApp, pinned: Pinned) -> DesiredApp:
    """The same App, but for what stays as it runs."""

    def group(of: DesiredGroup, names: Sequence[str], base: int) -> DesiredGroup:
        ordinals = pinned.ordinals.get(of.resource_name, of.spec.ordinals)
        joining = pinned.joining.get(of.resource_name, ())
        return replace(of, nodes=_nodes(of.spec, ordinals, names, pinned.versions, joining, base=base))

    def component(of: DesiredComponent) -> DesiredComponent:
        names = sorted(each.name for each in of.groups)
        groups = tuple(group(each, names, of.definition.id_base) for each in of.groups)
        return replace(of, groups=groups, config=pinned.config.get(of.name, of.config))

    return replace(desired, components=tuple(map(component, desired.components)))


def node_id(ordinal: int, group: str, group_names: Sequence[str], base: int) -> int:
    """``group_names``: of all groups of the component, sorted: the numbers of two groups never meet. ``base``: the
    component's ``idBase``."""
    return base + ordinal * len(group_names) + group_names.index(group) + 1


def _nodes(
    spec: GroupSpec,
    ordinals: Iterable[int],
    group_names: Sequence[str],
    versions: Mapping[str, str],
    joining: Collection[int] = (),
    *,
    base: int,
) -> tuple[DesiredNode, ...]:
    """``group_names``: of all groups of the component, in an order that gives each node an id of its own.
    ``versions``, ``joining``: see ``Pinned``; ``base``: see ``node_id``."""
    names = {ordinal: node_name(spec.app, spec.component, spec.group, ordinal) for ordinal in ordinals}
    return tuple(
        DesiredNode(
            name=name,
            component=spec.component,
            group=spec.group,
            ordinal=ordinal,
            id=node_id(ordinal, spec.group, group_names, base),
            runtime_version=versions.get(name, spec.runtime_version),
            joining=ordinal in joining,
        )
        for ordinal, name in names.items()
    )


def _pod_facts(
    bundle: PluginBundle,
    definition: ComponentDefinition,
    runtime_version: str,
    image: str,
    agent: AgentBundle,
    record: GroupSpec | None,
) -> dict[str, Any]:
    if record is not None and record.runtime_version == runtime_version:
        return {
            "runtime_version": record.runtime_version,
            "engine_version": record.engine_version,
            "image": record.image,
            "agent": record.agent,
            "user": record.user,
            "ports": record.ports,
            "termination_grace_period_seconds": record.termination_grace_period_seconds,
        }
    return {
        "runtime_version": runtime_version,
        "engine_version": bundle.engine_version(definition.name, runtime_version),
        "image": image,
        "agent": agent,
        "user": definition.user,
        "ports": definition.ports,
        "termination_grace_period_seconds": math.ceil(definition.process.stop.timeout) + STOP_MARGIN_SECONDS,
    }
