"""Everything that can be wrong with an App, said at once: field path and what would be right.

The same checks run before anything is touched, so a bad spec never changes what runs. The CRD's schema and CEL rules
refuse some of it earlier where the API server has them; nothing here relies on that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from api.app import App, ComponentTemplate, GroupTemplate, Resources
from api.group import AgentBundle
from api.names import group_name
from api.plugin import Topology, TopologyComponent
from language.versions import version_key
from render.check.parameter_checks import failed_checks
from render.check.trial import render_trial
from render.desired.app import DesiredApp, RecordedState, chosen_topology, desired, group_templates, replicas_of
from render.plugin.amounts import resource_problems, size_problem
from render.plugin.bundle import PluginBundle
from render.plugin.parameters import parameter_problems
from render.plugin.problems import Problem, from_pydantic, listing, near
from render.plugin.templates import TemplateFailure
from render.validation.derived_names import name_problems
from render.validation.immutability import immutability_problems
from render.validation.transitions import component_path, group_path

__all__ = ["Problem", "parse_app", "validate"]


def parse_app(manifest: Mapping[str, Any]) -> tuple[App | None, list[Problem]]:
    """The App of a manifest as the API server gave it, or why it is none. Unknown parts of ``metadata`` are kept."""
    try:
        return App.model_validate(manifest), []
    except ValidationError as error:
        return None, from_pydantic(error)


def validate(
    app: App,
    bundle: PluginBundle | None,
    known_plugins: Mapping[str, Sequence[str]],
    recorded: RecordedState | None = None,
) -> list[Problem]:
    """All problems of an App, none for a good one.

    ``bundle``: the plugin version that the App names, None where it is not installed. ``known_plugins``: installed
    name -> versions, for the sentence that says what would do. ``recorded``: what runs now, for what may not change
    after creation.
    """
    if bundle is None:
        return [_unknown_plugin(app, known_plugins)]
    problems = _runtime_version(app, bundle)
    topology = chosen_topology(app, bundle)
    if topology is None:
        names = listing(t.name for t in bundle.plugin.spec.topologies)
        message = f"plugin {bundle.name} {bundle.version} has no topology {app.spec.topology!r}; it has {names}"
        return [*problems, Problem("spec.topology", message)]
    problems += _components(app, topology, bundle)
    duplicates = [p for p in problems if "already" in p.message]
    problems += _replicas(app, topology, recorded)
    if not duplicates:
        problems += name_problems(app, topology, bundle, recorded)
    if recorded is not None:
        problems += immutability_problems(app, bundle, topology, recorded)
    return problems or _templates(app, bundle, recorded)


def _templates(app: App, bundle: PluginBundle, recorded: RecordedState | None) -> list[Problem]:
    """What depends on the App as a whole: the plugin's checks of its parameters, and what the plugin's own check could
    not see, because only this App's settings lead there."""
    wanted = desired(app, bundle, agent=AgentBundle(image=""), recorded=recorded)
    if meeting := list(_meeting_ids(app, wanted)):
        return meeting
    try:
        failed = [(each, message) for each in wanted.components for message in failed_checks(wanted, each)]
        if failed:
            return [Problem(_parameter_path(app, c.name, found.parameter), found.message) for c, found in failed]
        render_trial(wanted)
    except TemplateFailure as failure:
        return [Problem("spec.plugin", f"{failure}; correct the plugin, or the parameters that lead there")]
    return []


def _meeting_ids(app: App, wanted: DesiredApp) -> Iterator[Problem]:
    """Two nodes of one id, of components whose ids are of one space."""
    for above in (each for each in wanted.components if each.definition.id_base):
        taken = {node.id: node.name for node in above.nodes}
        for other in wanted.components:
            if other.definition.id_base > above.definition.id_base or other is above:
                continue
            for group in other.groups:
                met = next((node for node in group.nodes if node.id in taken), None)
                if met is not None:
                    message = (
                        f"{met.name} would have the id {met.id}, which is that of {taken[met.id]} (the ids of "
                        f"{above.name} begin above its idBase, {above.definition.id_base}); use fewer nodes or groups "
                        "here, or lower ordinals"
                    )
                    yield Problem(f"{group_path(app, other.name, group.name)}.replicas", message)


def _parameter_path(app: App, component: str, parameter: str) -> str:
    return f"{component_path(app, component)}.config.{parameter}"


def _unknown_plugin(app: App, known_plugins: Mapping[str, Sequence[str]]) -> Problem:
    wanted = app.spec.plugin
    versions = known_plugins.get(wanted.name)
    if versions is None:
        hint = near(wanted.name, known_plugins)
        message = f"plugin {wanted.name!r} is not installed{hint}; installed: {listing(known_plugins)}"
        return Problem("spec.plugin.name", message)
    found = ", ".join(sorted(versions, key=version_key)) or "none"
    message = f"version {wanted.version} of plugin {wanted.name} is not installed; installed: {found}"
    return Problem("spec.plugin.version", message)


def _runtime_version(app: App, bundle: PluginBundle) -> list[Problem]:
    supported = [v.version for v in bundle.plugin.spec.runtime_versions]
    wanted = app.spec.runtime_version
    if wanted is None or wanted in supported:
        return []
    message = f"plugin {bundle.name} {bundle.version} does not support {wanted!r}; it supports {', '.join(supported)}"
    return [Problem("spec.runtimeVersion", message)]


def _components(app: App, topology: Topology, bundle: PluginBundle) -> list[Problem]:
    problems: list[Problem] = []
    defaults = {c.name: c for c in topology.components}
    problems += _duplicates("spec.components", [c.name for c in app.spec.components], "component")
    for index, component in enumerate(app.spec.components):
        path = f"spec.components[{index}]"
        default = defaults.get(component.name)
        if default is None:
            hint = near(component.name, defaults)
            message = f"topology {topology.name} has no component {component.name!r}{hint}; it has {listing(defaults)}"
            problems.append(Problem(f"{path}.name", message))
            continue
        parameters = bundle.parameters[component.name]
        problems += parameter_problems(f"{path}.config", component.name, component.config, parameters)
        problems += _groups(path, component, default)
    return problems


def _duplicates(path: str, names: Sequence[str], kind: str) -> list[Problem]:
    problems = []
    for index, name in enumerate(names):
        first = names.index(name)
        if first < index:
            message = f"{kind} {name!r} is already at {path}[{first}]; merge the two or rename one"
            problems.append(Problem(f"{path}[{index}].name", message))
    return problems


def _groups(path: str, component: ComponentTemplate, default: TopologyComponent) -> list[Problem]:
    problems = _duplicates(f"{path}.groups", [g.name for g in component.groups], "group")
    for index, group in enumerate(component.groups):
        at = f"{path}.groups[{index}]"
        problems += resource_problems(f"{at}.resources", group.resources or Resources())
        problems += resource_problems(f"{at}.agentResources", group.agent_resources or Resources())
        if group.storage is None:
            continue
        if default.storage is None:
            message = f"component {component.name} keeps nothing on a volume in this topology; remove it"
            problems.append(Problem(f"{at}.storage", message))
        elif message := size_problem(group.storage.size, default.storage.size):
            problems.append(Problem(f"{at}.storage.size", message))
    return problems


def _replicas(app: App, topology: Topology, recorded: RecordedState | None) -> list[Problem]:
    """Bounds count all groups of a component together; the problem is put where the person wrote the number."""
    problems = []
    written = {c.name: (index, c) for index, c in reversed(list(enumerate(app.spec.components)))}
    for default in topology.components:
        index, template = written.get(default.name, (-1, None))
        groups = group_templates(template, default)
        total = sum(replicas_of(app, default, groups, recorded).values())
        in_bounds, even = default.minimum <= total <= default.maximum, default.odd and total % 2 == 0
        if in_bounds and not even:
            continue
        path = f"spec.components[{index}].groups" if template is not None else "spec.components"
        if template is not None and len(template.groups) == 1 and template.groups[0].replicas is not None:
            path += "[0].replicas"
        if in_bounds:
            bound = "an odd number"
        elif default.minimum == default.maximum:
            bound = f"exactly {default.minimum}"
        elif total < default.minimum:
            bound = f"at least {default.minimum}"
        else:
            bound = f"at most {default.maximum}"
        scaled = _scaled_groups(app, default, groups, recorded)
        message = (
            f"topology {topology.name} needs {bound} of {default.name}, all groups together; there are {total}{scaled}"
        )
        problems.append(Problem(path, message))
    return problems


def _scaled_groups(
    app: App, default: TopologyComponent, groups: Iterable[GroupTemplate], recorded: RecordedState | None
) -> str:
    names = [group_name(app.name, default.name, group.name) for group in groups if group.replicas is None]
    scaled = [name for name in names if recorded is not None and name in recorded.groups]
    return f" (the number is that of group {', '.join(scaled)}; correct it with kubectl scale)" if scaled else ""
