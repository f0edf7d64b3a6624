"""Names that the platform derives from an App: short enough for Kubernetes, and no two objects with the same one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from api.app import App
from api.group import node_ordinals
from api.meta import DNS_LABEL_PATTERN
from api.names import (
    DNS_LABEL_LIMIT,
    agent_tls_name,
    component_name,
    credentials_name,
    group_name,
    metadata_name,
    node_name,
    role_service_name,
)
from api.plugin import Topology, TopologyComponent
from render.desired.app import RecordedState, group_templates, replicas_of
from render.plugin.bundle import PluginBundle
from render.plugin.problems import Problem


def name_problems(
    app: App, topology: Topology, bundle: PluginBundle, recorded: RecordedState | None = None
) -> list[Problem]:
    """Derived names that are too long (one problem for each path: the longest) or that meet inside the App."""
    if not re.fullmatch(DNS_LABEL_PATTERN, app.name):
        rule = "use lower-case letters, digits and dashes, beginning with a letter"
        return [Problem("metadata.name", f"{app.name!r} begins the names of Services: {rule}")]
    longest: dict[str, tuple[str, str]] = {}
    seen: dict[tuple[str, str], str] = {}
    collisions: list[Problem] = []
    for kind, name, what, path in _derived(app, topology, bundle, recorded):
        if len(name) > DNS_LABEL_LIMIT and len(name) > len(longest.get(path, ("", ""))[1]):
            longest[path] = (what, name)
        other = seen.setdefault((kind, name), what)
        if other != what:
            message = f"{what} and {other} would both have the {kind} {name!r}; rename a component or group"
            collisions.append(Problem(path, message))
    too_long = [
        Problem(
            path,
            f"{what} would be named {name!r}, {len(name)} characters; Kubernetes allows {DNS_LABEL_LIMIT}: "
            f"save {len(name) - DNS_LABEL_LIMIT} in the names of App, component and group",
        )
        for path, (what, name) in longest.items()
    ]
    return too_long + collisions


def _derived(
    app: App, topology: Topology, bundle: PluginBundle, recorded: RecordedState | None
) -> Iterator[tuple[str, str, str, str]]:
    """(kind of object, derived name, what it is for, path of the field that decides it)."""
    yield "ConfigMap", metadata_name(app.name), "the App's metadata", "metadata.name"
    yield "Secret", credentials_name(app.name), "the App's passwords", "metadata.name"
    yield "Secret", agent_tls_name(app.name), "the App's agent certificate", "metadata.name"
    for default in topology.components:
        yield from _of_component(app, default, bundle, recorded)


def _of_component(
    app: App, default: TopologyComponent, bundle: PluginBundle, recorded: RecordedState | None
) -> Iterator[tuple[str, str, str, str]]:
    index = next((i for i, c in enumerate(app.spec.components) if c.name == default.name), None)
    template = app.spec.components[index] if index is not None else None
    path = f"spec.components[{index}]" if index is not None else "metadata.name"
    label = f"component {default.name}"
    yield "Component", component_name(app.name, default.name), label, f"{path}.name" if index is not None else path
    yield "Service", component_name(app.name, default.name), label, f"{path}.name" if index is not None else path
    definition = next(c for c in bundle.plugin.spec.components if c.name == default.name)
    for role in definition.roles:
        if role.writable:
            name = role_service_name(app.name, default.name, role.name)
            yield "Service", name, f"role {role.name} of {label}", f"{path}.name" if index is not None else path
    groups = group_templates(template, default)
    counts = replicas_of(app, default, groups, recorded)
    for position, group in enumerate(groups):
        at = f"{path}.groups[{position}].name" if template is not None and template.groups else path
        yield "Group", group_name(app.name, default.name, group.name), f"group {group.name} of {label}", at
        for ordinal in node_ordinals(counts[group.name], group.reserve_ordinals):
            what = f"node {ordinal} of group {group.name} of {label}"
            name = node_name(app.name, default.name, group.name, ordinal)
            yield "Service", name, what, at
            yield "ConfigMap", name, what, at
