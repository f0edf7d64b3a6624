"""The check before a plugin is installed: every topology and runtime version is rendered with its defaults.

What an App would run into later, with a database under it, is found here with file and line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from api.app import App
from api.names import AGENT_PORTS
from api.plugin import ComponentDefinition, Topology
from api.tools import LONGEST, Tool, ToolName
from language.versions import version_key
from render.check.credentials import BOTH
from render.check.parameter_checks import failed_checks, warnings
from render.check.raw_values import raw_values
from render.check.trial import render_trial
from render.desired.app import desired, start_order
from render.plugin.amounts import resource_problems, size_problem
from render.plugin.bundle import DEFINITION, PluginBundle
from render.plugin.problems import Problem, listing
from render.plugin.templates import TemplateFailure

__all__ = ["check_bundle", "check_successor", "shared_runtime_versions"]

_IMAGE_OF_CHECK = "agent:check"


def check_bundle(bundle: PluginBundle) -> list[Problem]:
    """All that is wrong with a plugin that parses; none for one that may be installed."""
    problems = list(_definition(bundle))
    if not problems:
        for topology in bundle.plugin.spec.topologies:
            for version in bundle.plugin.spec.runtime_versions:
                problems += _rendered(bundle, topology, version.version)
    if not problems:
        problems += _unused_files(bundle)
    return list(dict.fromkeys(problems))


def shared_runtime_versions(one: PluginBundle, other: PluginBundle) -> list[str]:
    """Runtime versions that both support, oldest first."""
    versions = {v.version for v in one.plugin.spec.runtime_versions}
    return sorted(versions & {v.version for v in other.plugin.spec.runtime_versions}, key=version_key)


def check_successor(older: PluginBundle, newer: PluginBundle) -> list[Problem]:
    """Whether Apps can move between two adjacent versions of a plugin: they must share a runtime version."""
    if older.digest != newer.digest and older.version == newer.version:
        message = f"{newer.name} {newer.version} is installed with other content ({older.digest}); raise the version"
        return [Problem(f"{DEFINITION}: metadata.version", message)]
    if shared_runtime_versions(older, newer):
        return []
    has = listing(v.version for v in older.plugin.spec.runtime_versions)
    message = (
        f"shares no runtime version with {older.name} {older.version}, which has {has}; keep one, so that Apps can move"
    )
    return [Problem(f"{DEFINITION}: spec.runtimeVersions", message)]


def _definition(bundle: PluginBundle) -> Iterator[Problem]:
    for index, topology in enumerate(bundle.plugin.spec.topologies):
        path = f"{DEFINITION}: spec.topologies[{index}]"
        try:
            start_order(topology)
        except ValueError as error:
            yield Problem(path, str(error))
        for position, component in enumerate(topology.components):
            yield from resource_problems(f"{path}.components[{position}].resources", component.resources)
            if component.storage is not None and (wrong := size_problem(component.storage.size, "1Gi")):
                yield Problem(f"{path}.components[{position}].storage.size", wrong)
            if not component.minimum <= component.replicas <= component.maximum:
                bounds = f"{component.minimum} to {component.maximum}"
                yield Problem(f"{path}.components[{position}].replicas", f"{component.replicas} is not in {bounds}")
    for index, definition in enumerate(bundle.plugin.spec.components):
        path = f"{DEFINITION}: spec.components[{index}]"
        for position, port in enumerate(definition.ports):
            if port.port in AGENT_PORTS:
                yield Problem(f"{path}.ports[{position}].port", f"{port.port} is the agents' own; choose another")
        paths = [file.path for file in definition.files]
        for position, file in enumerate(definition.files):
            if file.path in paths[:position]:
                yield Problem(f"{path}.files[{position}].path", f"{file.path} is written twice; remove one")


def _rendered(bundle: PluginBundle, topology: Topology, runtime_version: str) -> list[Problem]:
    """What an App without any settings of its own would meet."""
    app = App.model_validate(
        {
            "metadata": {"name": "check", "namespace": "check", "uid": "check"},
            "spec": {
                "plugin": {"name": bundle.name, "version": bundle.version},
                "topology": topology.name,
                "runtimeVersion": runtime_version,
            },
        }
    )
    wanted = desired(app, bundle, agent_image=_IMAGE_OF_CHECK)
    try:
        for component in wanted.components:
            for failed in (*failed_checks(wanted, component), *warnings(wanted, component)):
                file, _ = bundle.place_of(component.definition, failed.parameter)
                place = f"{file}: {failed.parameter}.checks"
                return [Problem(place, f"the default fails: {failed.message} (topology {topology.name})")]
        tools = render_trial(wanted)
    except TemplateFailure as failure:
        place = f"{failure.file}:{failure.line}" if failure.line else failure.file
        with_what = f"(topology {topology.name}, runtime version {runtime_version})"
        return [Problem(place, f"{failure.message} {with_what}")]
    found = [
        problem for component in wanted.components for problem in _tools(component.definition, tools[component.name])
    ]
    found += raw_values(wanted, tools)
    if topology.failover == "platform":
        for component in wanted.components:
            found += _failover(topology, component.definition, tools[component.name])
    return found


def _tools(definition: ComponentDefinition, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    file, roles = definition.tools, [role.name for role in definition.roles]
    yield from _too_long(file, tools)
    there, missing = ([name for name in BOTH if (name in tools) is is_there] for is_there in (True, False))
    if there and missing:
        message = f"tool '{there[0]}' is there without '{missing[0]}'"
        yield Problem(file, f"{message}; write both, or neither for an engine that holds one password only")
    if ToolName.READY not in tools:
        yield Problem(file, "tool 'ready' is missing; without it nobody knows when a node serves")
    if roles and ToolName.GET_ROLE not in tools:
        yield Problem(file, f"tool 'getRole' is missing, but roles are declared ({listing(roles)})")
    if ToolName.GET_ROLE in tools:
        role = tools[ToolName.GET_ROLE]
        if "role" not in results(role):
            yield Problem(file, "tool 'getRole' has no result 'role'")


def results(tool: Tool) -> set[str]:
    """The names of what it gives, where it names them."""
    return {str(name) for name in tool.result} if isinstance(tool.result, Mapping) else set()


def _too_long(file: str, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    """What the platform would cut off in the middle."""
    for name, tool in tools.items():
        most = LONGEST.get(name)
        if most is not None and tool.timeout > most:
            message = f"tool {name!r} may take {tool.timeout:g} s, but the platform waits for it for {most:g} s"
            yield Problem(file, f"{message}; give it a timeout of at most {most:g}")


_FAILOVER_TOOLS = (ToolName.FENCE, ToolName.UNFENCE, ToolName.DETACH, ToolName.FAILOVER, ToolName.FOLLOW)


def _failover(topology: Topology, definition: ComponentDefinition, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    """What the platform needs to replace a lost primary."""
    if not any(role.writable and role.exclusive for role in definition.roles):
        return
    missing = [name for name in _FAILOVER_TOOLS if name not in tools]
    if missing:
        message = f"topology {topology.name!r} has failover: platform, but these tools are missing: {listing(missing)}"
        yield Problem(definition.tools, message)
    if ToolName.GET_ROLE in tools and "position" not in results(tools[ToolName.GET_ROLE]):
        message = "tool 'getRole' has no result 'position', by which the platform chooses who takes over"
        yield Problem(definition.tools, f"{message} (topology {topology.name!r} has failover: platform)")


def _unused_files(bundle: PluginBundle) -> list[Problem]:
    """A file that nothing reads is a mistake in plugin.yaml more often than litter."""
    used = {DEFINITION}
    for component in bundle.plugin.spec.components:
        used |= {component.tools, *component.parameters, *(file.template for file in component.files)}
    used |= bundle.templates.loaded
    return [
        Problem(path, "is used by nothing; name it in plugin.yaml or remove it")
        for path in sorted(set(bundle.files) - used)
        if not path.lower().endswith(".md")
    ]
