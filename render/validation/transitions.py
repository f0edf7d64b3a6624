"""Changes of a running App that cannot be carried out: refused by field, with what would do. Pure.

What is wrong with a spec by itself is in ``app``; what may never change in ``immutability``; this is about the
way from what runs to what is wanted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from api.app import App
from api.meta import parse_quantity
from language.versions import version_key
from render.check.parameter_checks import failed_checks
from render.desired.app import DesiredApp, DesiredComponent
from render.desired.spec_parts import Deployed
from render.plugin.bundle import PluginBundle
from render.plugin.problems import Problem


def transition_problems(
    app: App,
    wanted: DesiredApp,
    deployed: Deployed,
    *,
    installed: Mapping[str, Sequence[str]],
    expandable: Collection[str] | None,
) -> list[Problem]:
    """``installed``: plugin version -> runtime versions it supports. ``expandable``: Group resource names whose volumes
    can grow; None where nobody had to ask."""
    problems = [*_plugin(wanted.bundle, deployed, installed), *_runtime(wanted, deployed)]
    for component in wanted.components:
        problems += _unset(app, component, deployed)
        problems += _too_early(app, wanted, component, deployed)
        for group in component.groups:
            path = group_path(app, component.name, group.name)
            present = deployed.ordinals.get(group.resource_name)
            changed = present is not None and set(present) != set(group.spec.ordinals)
            if changed and component.definition.scaling == "fixed":
                message = (
                    f"the members of {component.name} are decided at the first deploy; keep {len(present or ())} nodes"
                )
                problems.append(Problem(f"{path}.replicas", message))
            record = deployed.recorded.groups.get(group.resource_name)
            if record is None or record.storage is None or group.spec.storage is None or expandable is None:
                continue
            grows = parse_quantity(group.spec.storage.size) > parse_quantity(record.storage.size)
            if grows and group.resource_name not in expandable:
                name = record.storage.storage_class_name or "the cluster's default"
                message = (
                    f"volumes of StorageClass {name} cannot grow (allowVolumeExpansion is not true); keep "
                    f"{record.storage.size}, or make a new App and move the data"
                )
                problems.append(Problem(f"{path}.storage.size", message))
    return problems


def _plugin(bundle: PluginBundle, deployed: Deployed, installed: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """A plugin is moved under a running engine, so it must support the version that runs (immutable runtime)."""
    supported = {v.version for v in bundle.plugin.spec.runtime_versions}
    if bundle.version == deployed.plugin_version or deployed.runtime_version in supported:
        return
    fitting = [version for version, runtimes in installed.items() if deployed.runtime_version in runtimes]
    message = (
        f"{bundle.name} {bundle.version} does not support the running version {deployed.runtime_version}; "
        f"installed versions that do: {', '.join(sorted(fitting, key=version_key)) or 'none'}"
    )
    yield Problem("spec.plugin.version", message)


def _runtime(wanted: DesiredApp, deployed: Deployed) -> Iterator[Problem]:
    now, then = deployed.base_version, wanted.runtime_version
    if then not in (now, deployed.runtime_version) and (message := unreadable(wanted.bundle, now, then)):
        yield Problem("spec.runtimeVersion", message)


def unreadable(bundle: PluginBundle, now: str, then: str) -> str:
    """Why an engine of version ``then`` must not be given the data of one of ``now``, and what would do; empty where it
    may. By the plugin's ``upgradesFrom``; without it, only an older version may not read a newer one's data."""
    versions = bundle.plugin.spec.runtime_versions
    allowed = next((version.upgrades_from for version in versions if version.version == then), None)
    if now == then or (allowed is None and version_key(now) < version_key(then)) or now in (allowed or ()):
        return ""
    if version_key(then) < version_key(now):
        return f"cannot go back from {now} to {then}: the older version may not read the newer one's data; keep {now}"
    steps = [v.version for v in versions if v.version in (allowed or ()) and version_key(now) < version_key(v.version)]
    remedy = f"upgrade to {' or '.join(sorted(steps, key=version_key))} first" if steps else f"keep {now}"
    return f"cannot go from {now} to {then} at once; {remedy}"


def _unset(app: App, component: DesiredComponent, deployed: Deployed) -> Iterator[Problem]:
    """An engine cannot be told to take back a parameter for which nobody knows a default."""
    record = deployed.recorded.components.get(component.name)
    for name in sorted(set(record.config if record is not None else ()) - set(component.config)):
        parameter = component.parameters.get(name)
        if parameter is not None and parameter.default_expression is None and parameter.apply == "dynamic":
            message = (
                f"has no default to go back to; set it to the value that it should have instead of removing {name}"
            )
            yield Problem(f"{component_path(app, component.name)}.config.{name}", message)


def _too_early(app: App, wanted: DesiredApp, component: DesiredComponent, deployed: Deployed) -> Iterator[Problem]:
    """Nodes and their sizes change before parameters do (``render.desired.spec_parts.PARTS``), so the parameters that
    run must go with the nodes that are wanted: with one replica less a primary would refuse writes until the end."""
    record = deployed.recorded.components.get(component.name)
    if record is None or wanted.bundle.version != deployed.plugin_version:
        return
    now = {name: value for name, value in record.config.items() if name in component.parameters}
    for failed in failed_checks(wanted, replace(component, config=now)):
        if now.get(failed.parameter) != component.config.get(failed.parameter):
            message = f"runs with a value that does not go with the other changes, which come first: {failed.message}"
            path = f"{component_path(app, component.name)}.config.{failed.parameter}"
            yield Problem(path, f"{message}. Change {failed.parameter} alone, then the rest")


def component_path(app: App, component: str) -> str:
    for index, template in enumerate(app.spec.components):
        if template.name == component:
            return f"spec.components[{index}]"
    return f"spec.components[{component}]"


def group_path(app: App, component: str, group: str) -> str:
    """Where a person wrote the group, or would write it."""
    for template in app.spec.components:
        if template.name == component:
            for index, each in enumerate(template.groups):
                if each.name == group:
                    return f"{component_path(app, component)}.groups[{index}]"
    return f"{component_path(app, component)}.groups[{group}]"
