"""Changes of a deployed App that no operation of this version carries out yet: refused by field, not half done.

Pure. What is deployed is known from the Component and Group resources; a difference while the App's own spec is the
deployed one is drift of those, and repaired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from api.app import App
from api.component import ComponentSpec
from api.group import GroupSpec
from render.desired import DesiredApp, RecordedState
from render.problems import Problem

_GROUP_FIELDS = ("resources", "storage", "node_selector", "affinity", "tolerations", "topology_spread_constraints")


def unsupported_changes(
    app: App,
    wanted: DesiredApp,
    recorded: RecordedState,
    basic: Mapping[str, Any],
    nodes: Mapping[str, Any],
    *,
    changed: bool,
) -> list[Problem]:
    """``basic`` and ``nodes`` are parts of the metadata; ``changed``: the App's spec is not the deployed one.

    Before the first Deploy has completed anything may change but a group's nodes becoming fewer: those that exist may
    hold data by now.
    """
    deployed = basic.get("uid") == app.uid and bool(basic.get("deployed"))
    problems = list(_replicas(app, wanted, nodes, deployed=deployed))
    if deployed and changed:
        problems += _plugin(app, wanted, basic)
        problems += _settings(app, wanted, recorded)
    return problems


def _replicas(app: App, wanted: DesiredApp, nodes: Mapping[str, Any], *, deployed: bool) -> Iterator[Problem]:
    existing: dict[tuple[str, str], int] = {}
    for state in ("normal", "adding", "deleting") if deployed else ("normal",):
        for node in nodes.get(state) or []:
            key = (str(node.get("component")), str(node.get("group")))
            existing[key] = existing.get(key, 0) + 1
    for component in wanted.components:
        for group in component.groups:
            count = existing.get((component.name, group.name), 0)
            if count == 0 or count == len(group.nodes) or (not deployed and len(group.nodes) > count):
                continue
            yield Problem(
                f"{_group_path(app, component.name, group.name)}.replicas",
                f"changing {count} to {len(group.nodes)} nodes is not supported by this version; set it to {count}",
            )


def _plugin(app: App, wanted: DesiredApp, basic: Mapping[str, Any]) -> Iterator[Problem]:
    for path, key, now in (
        ("spec.plugin.name", "plugin", wanted.bundle.name),
        ("spec.plugin.version", "pluginVersion", wanted.bundle.version),
        ("spec.runtimeVersion", "runtimeVersion", wanted.runtime_version),
    ):
        was = basic.get(key)
        if was is not None and was != now:
            yield Problem(path, f"changing {was} to {now} is not supported by this version; set it to {was}")


def _settings(app: App, wanted: DesiredApp, recorded: RecordedState) -> Iterator[Problem]:
    for component in wanted.components:
        record = recorded.components.get(component.name)
        if record is not None:
            yield from _config(app, component.name, dict(component.config), record)
        for group in component.groups:
            was = recorded.groups.get(group.resource_name)
            if was is not None:
                yield from _group(_group_path(app, component.name, group.name), group.spec, was)


def _config(app: App, component: str, config: Mapping[str, Any], record: ComponentSpec) -> Iterator[Problem]:
    path = f"{_component_path(app, component)}.config"
    for name in sorted(set(config) | set(record.config)):
        was, now = record.config.get(name), config.get(name)
        if was != now:
            set_back = f"set it to {was!r}" if was is not None else "remove it"
            yield Problem(f"{path}.{name}", f"changing {was!r} to {now!r} is not supported by this version; {set_back}")


def _group(path: str, now: GroupSpec, was: GroupSpec) -> Iterator[Problem]:
    fields = type(now).model_fields
    for name in _GROUP_FIELDS:
        if getattr(now, name) != getattr(was, name):
            alias = fields[name].alias or name
            yield Problem(f"{path}.{alias}", "changing it is not supported by this version; set it back")


def _component_path(app: App, component: str) -> str:
    for index, template in enumerate(app.spec.components):
        if template.name == component:
            return f"spec.components[{index}]"
    return f"spec.components[{component}]"


def _group_path(app: App, component: str, group: str) -> str:
    for template in app.spec.components:
        if template.name == component:
            for index, each in enumerate(template.groups):
                if each.name == group:
                    return f"{_component_path(app, component)}.groups[{index}]"
    return f"{_component_path(app, component)}.groups[{group}]"
