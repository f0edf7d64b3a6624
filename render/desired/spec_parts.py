"""Which part of a changed spec comes next, and the App as it is meant while only that part is carried out. Pure.

A person changes several things at once; an operation is about one of them, and what it does not carry out stays as it
runs. So each operation works on a *stage*: the App's spec in its own part, the record of what runs in all others. The
order of parts: the plugin first, since the other parts may need what only the newer one knows; nodes come and go
before all are rolled; settings last, when every node is of the version that takes them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.app import App, ComponentTemplate, GroupTemplate, PluginReference, Resources, Scalar
from api.group import AgentBundle, GroupSpec
from api.meta import parse_quantity
from api.names import group_name
from api.operations import OperationType
from api.plugin import Topology
from render.desired.app import (
    DesiredApp,
    DesiredComponent,
    Pinned,
    RecordedState,
    chosen_topology,
    desired,
    group_templates,
    pinned_to,
)
from render.desired.parameter_order import in_order
from render.plugin.bundle import PluginBundle

POD_FIELDS = (
    "resources",
    "agent_resources",
    "node_selector",
    "affinity",
    "tolerations",
    "topology_spread_constraints",
)
"""Of a Group: what its Pods are made of beside the runtime version; a change rolls the nodes."""
PARTS = (
    OperationType.UPGRADE_PLUGIN,
    OperationType.SCALE,
    OperationType.UPGRADE,
    OperationType.RESIZE,
    OperationType.RECONFIGURE,
)
WHOLE = frozenset({*PARTS})
"""Stage of a first Deploy: everything as the spec says."""


@dataclass(frozen=True)
class Deployed:
    """What runs, by the record. ``ordinals``: of the nodes that exist, by Group resource name. ``versions``: runtime
    version of each node, by its name. ``removing``: names of nodes that a Scale has begun to remove, not among
    ``ordinals`` any more. ``base_version``: what a newer spec may be compared with: while an upgrade has not moved the
    writable role, that from which it began."""

    plugin_version: str
    runtime_version: str
    base_version: str
    recorded: RecordedState
    ordinals: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    joining: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Ordinals of nodes that a Scale has begun to add, by Group resource name; not among ``ordinals`` yet."""
    versions: Mapping[str, str] = field(default_factory=dict)
    removing: frozenset[str] = frozenset()
    previous_plugin: str = ""
    """While a move to ``plugin_version`` has not ended: the plugin version from which it began."""


@dataclass(frozen=True)
class Part:
    """One part of the spec that is not carried out yet, and a sentence on what differs."""

    operation: OperationType
    sentence: str


def stage_of(operation: str) -> frozenset[OperationType]:
    """The parts that an operation carries out; none for one that only keeps or moves what runs."""
    if operation == OperationType.DEPLOY:
        return WHOLE
    kind = OperationType(operation)
    return frozenset({kind}) if kind in PARTS else frozenset()


def staged(
    app: App,
    bundle: PluginBundle,
    deployed: Deployed,
    stage: Collection[OperationType],
    *,
    agent: AgentBundle,
    extend: bool = False,
) -> DesiredApp:
    """What should run while ``stage`` is carried out. ``bundle``: of the plugin version that ``plugin_of`` names.

    ``extend``: a Scale begins, so the nodes that are to come are wanted too. Later steps go by those that it has noted:
    ``kubectl scale`` in the middle of it is for the next one.
    """
    if WHOLE.issubset(stage):
        return desired(app, bundle, agent=agent, recorded=deployed.recorded)
    topology = chosen_topology(app, bundle)
    if topology is None:
        raise ValueError(f"plugin {bundle.name} has no topology {app.spec.topology!r}")
    whole = desired(_app_of(app, topology, deployed, stage), bundle, agent=agent, recorded=deployed.recorded)
    ordinals = {
        group.resource_name: _ordinals(deployed, group.resource_name, group.spec, stage, extend=extend)
        for component in whole.components
        for group in component.groups
    }
    carries = OperationType.RECONFIGURE in stage
    config = {c.name: (_next_config if carries else _pinned_config)(c, deployed) for c in whole.components}
    return pinned_to(whole, Pinned(ordinals, config, deployed.versions, _joining(deployed, ordinals)))


def plugin_of(app: App, deployed: Deployed, stage: Collection[OperationType]) -> str:
    """The plugin version with which ``stage`` is carried out."""
    return app.spec.plugin.version if OperationType.UPGRADE_PLUGIN in stage else deployed.plugin_version


def _next_config(component: DesiredComponent, deployed: Deployed) -> dict[str, Scalar]:
    """The spec's parameters, as far as one operation can carry them out."""
    return in_order(component.parameters, _pinned_config(component, deployed), component.config)


def _pinned_config(component: DesiredComponent, deployed: Deployed) -> dict[str, Scalar]:
    """The recorded parameters that the plugin version knows. A newer one's own templates may read what only it has:
    those begin with their defaults."""
    record = deployed.recorded.components.get(component.name)
    known = {name: p.default for name, p in component.parameters.items() if p.default is not None}
    recorded = record.config if record is not None else component.config
    return known | {name: value for name, value in recorded.items() if name in component.parameters}


def _ordinals(
    deployed: Deployed, resource_name: str, spec: GroupSpec, stage: Collection[OperationType], *, extend: bool
) -> tuple[int, ...]:
    present = deployed.ordinals.get(resource_name)
    if present is None:
        return tuple(spec.ordinals)
    if OperationType.SCALE not in stage:
        return present
    more = spec.ordinals if extend else ()
    return tuple(sorted({*present, *deployed.joining.get(resource_name, ()), *more}))


def _joining(deployed: Deployed, ordinals: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Those of ``ordinals`` that are not there yet."""
    return {
        name: tuple(set(wanted) - set(deployed.ordinals[name]))
        for name, wanted in ordinals.items()
        if name in deployed.ordinals
    }


def _app_of(app: App, topology: Topology, deployed: Deployed, stage: Collection[OperationType]) -> App:
    spec = app.spec
    components = []
    for default in topology.components:
        template = next((c for c in spec.components if c.name == default.name), None)
        groups = [_group_of(app, default.name, group, deployed, stage) for group in group_templates(template, default)]
        given = template.config if template is not None else {}
        components.append(ComponentTemplate(name=default.name, config=given, groups=groups))
    changes: dict[str, Any] = {
        "components": components,
        "plugin": PluginReference(name=spec.plugin.name, version=plugin_of(app, deployed, stage)),
    }
    if OperationType.UPGRADE not in stage:
        changes["runtime_version"] = deployed.runtime_version
    return app.model_copy(update={"spec": spec.model_copy(update=changes)})


def _group_of(
    app: App, component: str, group: GroupTemplate, deployed: Deployed, stage: Collection[OperationType]
) -> GroupTemplate:
    record = deployed.recorded.groups.get(group_name(app.name, component, group.name))
    if record is None or OperationType.RESIZE in stage:
        return group
    return group.model_copy(update={name: getattr(record, name) for name in (*POD_FIELDS, "storage")})


def pending(wanted: DesiredApp, deployed: Deployed) -> list[Part]:
    """What of the spec (``wanted``: all of it) is not as it runs, in the order in which it is carried out."""
    found: dict[OperationType, list[str]] = {}
    if deployed.previous_plugin or wanted.bundle.version != deployed.plugin_version:
        moving = deployed.previous_plugin and wanted.bundle.version == deployed.plugin_version
        sentence = f"plugin {deployed.previous_plugin if moving else deployed.plugin_version} → {wanted.bundle.version}"
        found.setdefault(OperationType.UPGRADE_PLUGIN, []).append(sentence)
    for part, sentence in _of_groups(wanted, deployed):
        found.setdefault(part, []).append(sentence)
    if OperationType.SCALE not in found and deployed.removing:
        found[OperationType.SCALE] = [f"still to be removed: {', '.join(sorted(deployed.removing))}"]
    if OperationType.SCALE not in found and any(deployed.joining.values()):
        found[OperationType.SCALE] = [f"still to be added: nodes of {', '.join(sorted(deployed.joining))}"]
    for component in wanted.components:
        record = deployed.recorded.components.get(component.name)
        if record is not None:
            changed = changed_parameters(record.config, component.config)
            if changed:
                found.setdefault(OperationType.RECONFIGURE, []).append(f"{component.name}: {', '.join(changed)}")
    # Once each: all groups of an App change their version together.
    return [Part(part, "; ".join(dict.fromkeys(found[part]))) for part in PARTS if part in found]


def changed_parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Names of parameters whose values differ, or that one of the two does not have."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _of_groups(wanted: DesiredApp, deployed: Deployed) -> Iterator[tuple[OperationType, str]]:
    for component in wanted.components:
        for group in component.groups:
            present = deployed.ordinals.get(group.resource_name)
            if present is not None and set(present) != set(group.spec.ordinals):
                counted = f"{len(present)} → {group.spec.replicas}"
                if len(present) == group.spec.replicas:
                    counted = f"ordinals {_listed(present)} → {_listed(group.spec.ordinals)}"
                yield OperationType.SCALE, f"{group.resource_name} {counted} nodes"
            record = deployed.recorded.groups.get(group.resource_name)
            if record is None:
                continue
            if record.runtime_version != group.spec.runtime_version:
                yield OperationType.UPGRADE, f"{record.runtime_version} → {group.spec.runtime_version}"
            changed = [name for name in POD_FIELDS if _canonical(record, name) != _canonical(group.spec, name)]
            if record.storage != group.spec.storage:  # of another class only where there is no volume yet
                changed.append("storage")
            if changed:
                fields = [GroupSpec.model_fields[name].alias or name for name in changed]
                yield OperationType.RESIZE, f"{group.resource_name}: {', '.join(fields)}"


def _listed(ordinals: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(ordinals)))


def _canonical(spec: GroupSpec, name: str) -> Any:
    """A field's value, where equal quantities are equal: ``1000m`` is no change of ``1``, and starts no new Pod."""
    value = getattr(spec, name)
    if not isinstance(value, Resources):
        return value
    return {
        part: {key: str(parse_quantity(text).normalize()) for key, text in amounts.items()}
        for part, amounts in (("requests", value.requests), ("limits", value.limits))
    }


def pod_facts(spec: GroupSpec) -> str:
    """What a group's Pods are made of, as one text to take a digest of. A newer agent image is not among it: it
    reaches a Pod at its next planned restart."""
    included = {"runtime_version", "image", "user", "ports", "termination_grace_period_seconds", *POD_FIELDS}
    facts = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=included)
    facts["resources"] = _canonical(spec, "resources")
    facts["storage"] = spec.storage is not None
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))
