"""What comes to light only when a plugin is rendered: every topology and runtime version, with its defaults.

What an App would run into later, with a database under it, is found here with file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from api.app import App
from api.group import AgentBundle
from api.names import AGENT_PORTS
from api.plugin import ComponentDefinition, Port, Topology
from api.tools import LONG_TOOLS, LONGEST_CANCEL, Tool, ToolName
from render.check.credentials import BOTH
from render.check.parameter_checks import failed_checks, warnings
from render.check.trial import render_trial
from render.desired.app import DesiredApp, desired, start_order
from render.lint.meaning.tools import FAILOVER_TOOLS, takes_over
from render.lint.raw_parameters import raw_parameters
from render.lint.tool_files import ToolFile
from render.manifests.node import stand_in_addresses, template_context
from render.plugin.amounts import resource_problems, size_problem
from render.plugin.bundle import DEFINITION, PluginBundle
from render.plugin.parameters import parameter_problems
from render.plugin.problems import Problem, at_line, in_file, listing
from render.plugin.templates import TemplateFailure

_IMAGE_OF_CHECK = "agent:check"
_CONFIG = re.compile(r"\bconfig\b")


def definition_problems(bundle: PluginBundle) -> Iterator[Problem]:
    """What is wrong between the fields of plugin.yaml."""
    text = bundle.files[DEFINITION]
    for index, topology in enumerate(bundle.plugin.spec.topologies):
        path = f"spec.topologies[{index}]"
        try:
            start_order(topology)
        except ValueError as error:
            yield in_file(DEFINITION, text, path, str(error))
        for position, component in enumerate(topology.components):
            for found in resource_problems(f"{path}.components[{position}].resources", component.resources):
                yield in_file(DEFINITION, text, found.path, found.message)
            if component.storage is not None and (wrong := size_problem(component.storage.size, "1Gi")):
                yield in_file(DEFINITION, text, f"{path}.components[{position}].storage.size", wrong)
            if not component.minimum <= component.replicas <= component.maximum:
                bounds = f"{component.minimum} to {component.maximum}"
                message = f"{component.replicas} is not in {bounds}"
                yield in_file(DEFINITION, text, f"{path}.components[{position}].replicas", message)
            elif component.odd and component.replicas % 2 == 0:
                message = f"{component.replicas} is even, and odd: true stands beside it; write an odd number"
                yield in_file(DEFINITION, text, f"{path}.components[{position}].replicas", message)
            at, parameters = f"{path}.components[{position}].defaults", bundle.parameters.get(component.name, {})
            for found in parameter_problems(at, component.name, component.defaults, parameters):
                yield in_file(DEFINITION, text, found.path, found.message)
            yield from _agents_ports(text, f"{path}.components[{position}]", component.ports or ())
    for index, definition in enumerate(bundle.plugin.spec.components):
        path = f"spec.components[{index}]"
        yield from _agents_ports(text, path, definition.ports)
        paths = [file.path for file in definition.files]
        for position, file in enumerate(definition.files):
            if file.path in paths[:position]:
                message = f"{file.path} is written twice; remove one"
                yield in_file(DEFINITION, text, f"{path}.files[{position}].path", message)


def _agents_ports(text: str, path: str, ports: Iterable[Port]) -> Iterator[Problem]:
    for position, port in enumerate(ports):
        if port.port in AGENT_PORTS:
            message = f"{port.port} is the agents' own; choose another"
            yield in_file(DEFINITION, text, f"{path}.ports[{position}].port", message)


def rendered_problems(
    bundle: PluginBundle, tool_files: Mapping[str, ToolFile], unsound: frozenset[str]
) -> Iterator[Problem]:
    """What an App without any settings of its own would meet, in each topology and runtime version. ``tool_files``: by
    component; empty where something is wrong with them already. ``unsound``: templates and parameter files that are
    passed over, as something is wrong with them."""
    said: set[Problem] = set()
    for topology in bundle.plugin.spec.topologies:
        for version in bundle.plugin.spec.runtime_versions:
            for problem in _rendered(bundle, topology, version.version, tool_files, unsound):
                if problem not in said:
                    said.add(problem)
                    where = f"(topology {topology.name}, runtime version {version.version})"
                    yield replace(problem, message=f"{problem.message} {where}")


def _rendered(
    bundle: PluginBundle,
    topology: Topology,
    runtime_version: str,
    tool_files: Mapping[str, ToolFile],
    unsound: frozenset[str],
) -> Iterator[Problem]:
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
    wanted = desired(app, bundle, agent=AgentBundle(image=_IMAGE_OF_CHECK))
    try:
        for component in wanted.components:
            if unsound.intersection(component.definition.parameters):
                continue
            for failed in (*failed_checks(wanted, component), *warnings(wanted, component)):
                file, _ = bundle.place_of(component.definition, failed.parameter)
                message = f"the default fails: {failed.message}"
                yield in_file(file, bundle.files[file], (failed.parameter, "checks"), message)
                return
    except TemplateFailure as failure:
        yield at_line(failure.file, failure.line, failure.message)
        return
    failures = list(_files(wanted, unsound))
    yield from failures
    if failures or unsound:
        return
    yield from raw_parameters(wanted)
    if not tool_files:
        return
    try:
        tools = render_trial(wanted)
    except TemplateFailure as failure:
        yield at_line(failure.file, failure.line, failure.message)
        return
    for component in wanted.components:
        file_of_tools, own = tool_files[component.name], tools[component.name]
        yield from _tools(component.definition, file_of_tools, own)
        yield from _reload(bundle, component.definition, file_of_tools, own)
        if topology.failover == "platform":
            yield from _failover(topology, component.definition, file_of_tools, own)


def _files(wanted: DesiredApp, unsound: frozenset[str]) -> Iterator[Problem]:
    """Each template by itself, so that a mistake in the first does not hide those of the others."""
    addresses = stand_in_addresses(wanted)
    for component in wanted.components:
        if unsound.intersection(component.definition.parameters):
            continue
        for node in dict.fromkeys((component.nodes[0], component.nodes[-1])):
            for bootstrap in (component.bootstrap_node, None):
                context = template_context(wanted, component, node, addresses=addresses, bootstrap=bootstrap)
                for file in component.definition.files:
                    if file.template in unsound:
                        continue
                    try:
                        wanted.bundle.templates.render(file.template, context)
                    except TemplateFailure as failure:
                        if failure.file in unsound:  # it is included
                            continue
                        yield at_line(failure.file, failure.line, failure.message)


def _tools(definition: ComponentDefinition, file: ToolFile, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    """Those that are left where ``only`` does not hold; of what the file does not have at all it is told before."""
    yield from _long(file, tools)
    yield from _bootstrap(definition, file, tools)
    yield from _out_of_place(file, tools)
    there, missing = ([name for name in BOTH if (name in tools) is is_there] for is_there in (True, False))
    if there and missing:
        message = f"tool '{there[0]}' is there without '{missing[0]}'"
        advice = "write both, or neither for an engine that holds one password only"
        yield file.problem(("tools", there[0]), f"{message}; {advice}")
    written = file.names("tools")
    if ToolName.READY not in tools and ToolName.READY in written:
        yield file.problem(("tools", ToolName.READY, "only"), "without 'ready' nobody knows when a node serves")
    if definition.roles and ToolName.GET_ROLE not in tools and ToolName.GET_ROLE in written:
        roles = listing(role.name for role in definition.roles)
        message = f"tool 'getRole' is missing, but roles are declared ({roles})"
        yield file.problem(("tools", ToolName.GET_ROLE, "only"), message)


def _reload(
    bundle: PluginBundle, definition: ComponentDefinition, file: ToolFile, tools: Mapping[str, Tool]
) -> Iterator[Problem]:
    """A file that is written once brings no parameter at a start, so the author has to decide."""
    reload = tools.get(ToolName.RELOAD_CONFIG)
    if reload is None or reload.before_restart is not None:
        return
    kept = [
        each.path
        for each in definition.files
        if each.write == "once" and _CONFIG.search(bundle.files.get(each.template, ""))
    ]
    if kept:
        message = (
            f"{kept[0]} is written once, so a restart does not bring a changed parameter that stands in it; write "
            "beforeRestart: true to run this tool also where a restart follows, or false where the start reads them all"
        )
        yield file.problem(("tools", ToolName.RELOAD_CONFIG), message)


def _long(file: ToolFile, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    for name, tool in tools.items():
        if tool.cancel is None:
            continue
        if name in set(ToolName) - LONG_TOOLS:
            message = f"tool {name!r} may not be long, since others wait for it; give it steps"
            yield file.problem(("tools", name), f"{message} (long may be {listing(sorted(LONG_TOOLS))})")
        if tool.cancel.timeout > LONGEST_CANCEL:
            message = f"cancel may take {tool.cancel.timeout:g} s, but a Failover may be waiting for it"
            yield file.problem(("tools", name, "cancel", "timeout"), f"{message}; at most {LONGEST_CANCEL:g}")


def _bootstrap(definition: ComponentDefinition, file: ToolFile, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    for name, tool in tools.items():
        if name == ToolName.BOOTSTRAP and tool.directory is None:
            message = "tool 'bootstrap' has no directory; write where the data are to be, for example directory: data"
            yield file.problem(("tools", name), message)
        if name != ToolName.BOOTSTRAP and tool.directory is not None:
            yield file.problem(("tools", name, "directory"), "is for the tool 'bootstrap' alone; remove it")
        if name == ToolName.BOOTSTRAP and tool.directory is not None:
            for place in _made_before(definition):
                if place.startswith(f"/middleware/{tool.directory}/"):
                    message = f"{place} is there before 'bootstrap' runs, which begins on an empty directory only"
                    yield file.problem(("tools", name, "directory"), f"{message}; choose another for one of them")


def _made_before(definition: ComponentDefinition) -> Iterator[str]:
    """What the agent makes in a node's volume before an engine's first start."""
    yield from (f"/middleware/{each}" for each in definition.process.directories)
    yield from (file.path for file in definition.files)


_ONLY_OF: Mapping[str, tuple[ToolName, ...]] = {
    "once": (ToolName.JOIN, ToolName.FORGET),
    "beforeRestart": (ToolName.RELOAD_CONFIG,),
}


def _out_of_place(file: ToolFile, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    """A field of other tools, which nothing would read here."""
    for name, tool in tools.items():
        given = {"once": tool.once, "beforeRestart": tool.before_restart}
        for field, of in _ONLY_OF.items():
            if given[field] is not None and name not in of:
                yield file.problem(("tools", name, field), f"this field is of {listing(of)} only; leave it out")


def _failover(
    topology: Topology, definition: ComponentDefinition, file: ToolFile, tools: Mapping[str, Tool]
) -> Iterator[Problem]:
    missing = [name for name in FAILOVER_TOOLS if name not in tools and name in file.names("tools")]
    if missing and takes_over(definition):
        message = f"topology {topology.name!r} has failover: platform, but these tools are missing: {listing(missing)}"
        yield file.problem(("tools",), message)
