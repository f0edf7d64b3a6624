"""The ConfigMap of one node: ``node.json`` and the rendered files it refers to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import yaml
from pydantic import ValidationError

from api.app import Resources, Scalar
from api.meta import parse_quantity
from api.names import LABEL_PLUGIN_VERSION
from api.node import DOCUMENT_KEY, SCHEMA, EngineVersion, Lease, Member, NodeDocument, NodeFile, NodeIdentity
from api.plugin import ConfigFile
from api.tools import LONG_PARTS, Sequence, Step, Tool, Toolbox, ToolName
from render.desired.app import DesiredApp, DesiredComponent, DesiredGroup, DesiredNode
from render.manifests.labels import metadata, object_labels
from render.plugin.bundle import CONFIG_MAP_LIMIT, PluginBundle
from render.plugin.parameters import parameter_problems
from render.plugin.problems import from_pydantic, listing, near
from render.plugin.templates import TemplateFailure
from render.plugin.yaml_text import line_of, load_yaml

LEASE_SECONDS = 4.0
"""Of a primary in a topology with ``failover: platform``. A failover that cannot stop the old primary waits this out,
so it is short; the watcher renews every second, so three losses in a row do no harm."""


def node_config_map(
    desired: DesiredApp,
    component: DesiredComponent,
    node: DesiredNode,
    *,
    addresses: Mapping[str, str],
    bootstrap: str | None,
    revision: int,
    hold: bool = False,
) -> dict[str, Any]:
    """Renders files and tools of one node.

    ``addresses``: node name -> ClusterIP, for all nodes of the App. ``bootstrap``: name of the node that may start as
    first primary without having found another; None once the App has run, when an empty volume must never do so.
    Raises TemplateFailure, also for a tool that does not follow the tool language.
    """
    context = template_context(desired, component, node, addresses=addresses, bootstrap=bootstrap)
    bundle, definition = desired.bundle, component.definition
    document = NodeDocument(
        schema_=SCHEMA,
        revision=revision,
        hold=hold,
        node=NodeIdentity(
            app=desired.name,
            app_uid=desired.uid,
            namespace=desired.namespace,
            component=component.name,
            group=node.group,
            name=node.name,
            address=addresses[node.name],
            ordinal=node.ordinal,
        ),
        process=definition.process,
        files=[NodeFile(path=f.path, source=source_key(f), write=f.write, mode=f.mode) for f in definition.files],
        toolbox=render_tools(desired, component, context),
        names=context,
        roles=[role.name for role in definition.roles],
        writable_roles=[role.name for role in definition.roles if role.writable],
        monitor_interval=definition.monitor.interval,
        lease=_lease(desired, component),
        members=[
            Member(name=other.name, address=addresses[other.name])
            for other in component.nodes
            if other.name != node.name
        ],
        engines=[
            EngineVersion(version=each.version, upgrades_from=each.upgrades_from)
            for each in bundle.plugin.spec.runtime_versions
        ],
    )
    data = {source_key(f): bundle.templates.render(f.template, context) for f in definition.files}
    data[DOCUMENT_KEY] = document_text(written_document(document))
    size = sum(len(key) + len(text.encode()) for key, text in data.items())
    if size > CONFIG_MAP_LIMIT:
        message = f"the files of node {node.name} are {size} bytes together; {CONFIG_MAP_LIMIT} is the most"
        raise TemplateFailure(f"{bundle.name} {bundle.version}", component.name, 0, message)
    labels = object_labels(desired, component.name, node.group, node.name) | {LABEL_PLUGIN_VERSION: bundle.version}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(desired, node.name, labels), "data": data}


def document_text(written: Mapping[str, Any]) -> str:
    """Sorted, so that the same document is the same text; but for the tools, in which the order of ``set`` and of
    connections is what the plugin's author wrote."""
    others = json.dumps({name: value for name, value in written.items() if name != "toolbox"}, sort_keys=True)
    return f'{others[:-1]}, "toolbox": {json.dumps(written["toolbox"])}}}'


def written_document(document: NodeDocument) -> dict[str, Any]:
    """As it stands in the ConfigMap. A name whose value is none is a name all the same."""
    written = document.model_dump(by_alias=True, mode="json", exclude_none=True, exclude={"toolbox", "names"})
    return {**written, "toolbox": toolbox_document(document.toolbox), "names": document.names}


def toolbox_document(box: Toolbox) -> dict[str, Any]:
    """What the agents read: what is as it is by default is left out, the agents' defaults are the same. ``only`` and
    ``extends`` have had their effect, and ``beforeRestart`` is for the platform. Each part of a long tool is a tool to
    them: ``leave.poll``."""
    written: dict[str, Any] = box.model_dump(
        by_alias=True, mode="json", exclude_defaults=True, exclude={"extends": True}
    )
    tools: dict[str, Any] = {}
    for name, tool in written.get("tools", {}).items():
        for of_the_platform in ("only", "beforeRestart"):
            tool.pop(of_the_platform, None)
        tool.get("undo", {}).pop("when", None)
        if box.tools[name].poll is None:
            tools[name] = tool
            continue
        tool["poll"].pop("every", None)
        tools |= {f"{name}.{part}": tool[part] for part in LONG_PARTS}
    return {**written, "tools": tools} if tools else written


def _lease(desired: DesiredApp, component: DesiredComponent) -> Lease | None:
    """None where nobody could take over."""
    replicas = len(component.nodes) - 1
    writable = any(role.writable for role in component.definition.roles)
    if desired.bundle.topology(desired.topology).failover != "platform" or not writable or not replicas:
        return None
    return Lease(seconds=LEASE_SECONDS, followers=replicas // 2 + 1)


def source_key(file: ConfigFile) -> str:
    """ConfigMap key of a rendered file: its path, as such a key may hold no ``/``."""
    return file.path.strip("/").replace("/", "__")


def template_context(
    desired: DesiredApp,
    component: DesiredComponent,
    node: DesiredNode,
    *,
    addresses: Mapping[str, str],
    bootstrap: str | None,
) -> dict[str, Any]:
    """What templates see; the contract is the docstring of ``api.plugin``. Plain values only."""
    described = {c.name: _describe_component(desired, c, addresses, node.runtime_version) for c in desired.components}
    own = next(n for n in described[component.name]["nodes"] if n["name"] == node.name)
    first = next((n for n in described[component.name]["nodes"] if n["name"] == bootstrap), None)
    context: dict[str, Any] = {
        "app": {"name": desired.name, "namespace": desired.namespace},
        "plugin": {"name": desired.bundle.name, "version": desired.bundle.version},
        "runtimeVersion": node.runtime_version,
        "topology": desired.topology,
        "component": described[component.name],
        "components": described,
        "node": own,
        "bootstrap": first,
        "parameters": {
            name: {"apply": p.apply, "readBack": p.read_back or name} for name, p in component.parameters.items()
        },
        "resources": resource_amounts(component.group(node.group), _default_resources(desired, component)),
    }
    context["config"] = node_config(desired, component, context)
    return context


def stand_in_addresses(desired: DesiredApp) -> dict[str, str]:
    """By node name, from the range for documentation: where it does not matter which."""
    return {node.name: f"192.0.{2 + number // 250}.{number % 250 + 1}" for number, node in enumerate(desired.nodes)}


def node_config(desired: DesiredApp, component: DesiredComponent, context: Mapping[str, Any]) -> dict[str, Scalar]:
    """The node's parameters: the component's, and the defaults that follow from the node. Raises TemplateFailure."""
    bundle = desired.bundle
    values, seen = dict(component.config), _without_joining(desired, component, context)
    for name, parameter in component.parameters.items():
        if name not in values and parameter.default_expression is not None:
            file, line = bundle.place_of(component.definition, name)
            values[name] = bundle.templates.evaluate(parameter.default_expression, file, line, seen)
            wrong = parameter_problems(name, component.name, {name: values[name]}, component.parameters)
            if wrong:
                message = f"defaultExpression of {name}: {wrong[0].message}"
                raise TemplateFailure(f"{bundle.name} {bundle.version}", file, line, message)
    return dict(sorted(values.items()))


def _without_joining(desired: DesiredApp, component: DesiredComponent, context: Mapping[str, Any]) -> Mapping[str, Any]:
    """An engine that was told to wait for so many others would stop at once where they are still to come."""
    joining = {node.name for node in desired.nodes if node.joining}
    there = {
        name: {**each, "nodes": [node for node in each["nodes"] if node["name"] not in joining]}
        for name, each in context["components"].items()
    }
    return {**context, "components": there, "component": there[component.name]}


def _describe_component(
    desired: DesiredApp, component: DesiredComponent, addresses: Mapping[str, str], runtime_version: str
) -> dict[str, Any]:
    nodes = [
        {"name": n.name, "address": addresses[n.name], "ordinal": n.ordinal, "id": n.id, "group": n.group}
        for n in component.nodes
    ]
    return {
        "name": component.name,
        "version": desired.bundle.engine_version(component.name, runtime_version),
        "nodes": nodes,
        "ports": {port.name: port.port for port in component.definition.ports},
        "service": f"{component.resource_name}.{desired.namespace}.svc",
    }


def _default_resources(desired: DesiredApp, component: DesiredComponent) -> Resources:
    """The topology's, for what the App gives no amount of."""
    components = desired.bundle.topology(desired.topology).components
    return next((each.resources for each in components if each.name == component.name), Resources())


def resource_amounts(group: DesiredGroup, default: Resources) -> dict[str, Any]:
    """``cpu`` in cores, ``memory`` in bytes: the limit, else the request, else the same of ``default``, else 0 for "not
    bounded". ``limits`` and ``requests``: of the group alone, 0 for what it does not give."""
    own = group.spec.resources
    return {
        **_amounts(own.limits, own.requests, default.limits, default.requests),
        "limits": _amounts(own.limits),
        "requests": _amounts(own.requests),
    }


def _amounts(*sources: Mapping[str, str]) -> dict[str, float | int]:
    """Of the first that has it."""

    def first(name: str) -> Decimal:
        return next((parse_quantity(each[name]) for each in sources if each.get(name)), Decimal(0))

    return {"cpu": float(first("cpu")), "memory": math.floor(first("memory"))}


def render_tools(desired: DesiredApp, component: DesiredComponent, context: Mapping[str, Any]) -> Toolbox:
    """The component's tools, those that ``only`` leaves. Raises TemplateFailure with file and line."""
    bundle, file = desired.bundle, component.definition.tools
    box = toolbox(bundle, file)

    def holds(expression: str | None, name: str) -> bool:
        line = line_of(bundle.files[file], f"  {name}:")
        return expression is None or bool(bundle.templates.evaluate(expression, file, line, context))

    tools = {name: tool for name, tool in box.tools.items() if holds(tool.only, name)}
    for name, tool in tools.items():
        if tool.undo is not None and not holds(tool.undo.when, name):
            tools[name] = tool.model_copy(update={"undo": None})
    for name in tools:
        wrong = undo_problem(name, tools)
        if wrong:
            line = line_of(bundle.files[file], f"  {name}:")
            raise TemplateFailure(f"{bundle.name} {bundle.version}", file, line, f"tools.{name}.undo.tool: {wrong}")
    for name in (ToolName.PRE_START, ToolName.BOOTSTRAP):
        asks = name in tools and _asks_the_engine(tools[name].steps, box.sequences, set())
        if not asks:
            continue
        line = line_of(bundle.files[file], f"  {name}:")
        message = f"tools.{name}: {asks} is for an engine that runs; {name} comes before it starts"
        raise TemplateFailure(f"{bundle.name} {bundle.version}", file, line, message)
    return box.model_copy(update={"tools": tools})


def toolbox(bundle: PluginBundle, file: str) -> Toolbox:
    """As it is written, with what it extends. Raises TemplateFailure with file and line."""
    read, chain = _toolbox(bundle.name, bundle.version, bundle.files.get(file), file), [file]
    while read.extends is not None:
        base = read.extends
        if base in chain:
            circle = " -> ".join([*chain, base])
            plugin = f"{bundle.name} {bundle.version}"
            line = line_of(bundle.files[chain[-1]], "extends:")
            raise TemplateFailure(plugin, chain[-1], line, f"extends: goes round in a circle, {circle}")
        chain.append(base)
        read = extended(read, _toolbox(bundle.name, bundle.version, bundle.files.get(base), base))
    return read


def extended(own: Toolbox, below: Toolbox) -> Toolbox:
    """What has the same name in ``own`` stands in its place."""
    return Toolbox(
        extends=below.extends,
        connections={**below.connections, **own.connections},
        vars={**below.vars, **own.vars},
        sequences={**below.sequences, **own.sequences},
        tools={**below.tools, **own.tools},
    )


@lru_cache(maxsize=64)
def _toolbox(name: str, version: str, text: str | None, file: str) -> Toolbox:
    """For each node of each App the same few files are read."""
    plugin = f"{name} {version}"
    if text is None:
        raise TemplateFailure(plugin, file, 0, "the plugin has no such file")
    try:
        return Toolbox.model_validate(load_yaml(text) or {})
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        raise TemplateFailure(plugin, file, line, f"is not YAML: {getattr(error, 'problem', error)}") from error
    except ValidationError as error:
        problems = from_pydantic(error, file, text)
        said = "; ".join(f"{each.path}: {each.message}" if each.path else each.message for each in problems)
        raise TemplateFailure(plugin, file, problems[0].line, said) from error


def _asks_the_engine(steps: Iterable[Step], sequences: Mapping[str, Sequence], seen: set[str]) -> str:
    """The first ``restart`` or ``reload`` among them and what they call; empty: none."""
    for step in steps:
        if step.restart is not None or step.reload is not None:
            return "restart" if step.restart is not None else "reload"
        called: list[Step] = []
        if step.call is not None and step.call in sequences and step.call not in seen:
            seen.add(step.call)
            called = sequences[step.call].steps
        if found := _asks_the_engine([*(step.steps or ()), *step.else_, *step.on_failure, *called], sequences, seen):
            return found
    return ""


def undo_problem(name: str, tools: Mapping[str, Tool]) -> str:
    """The agent runs each tool once at a time, and what undoes a tool while no new run of that tool begins. One that
    undoes itself would wait for itself; two that undo each other would never come to an end."""
    undo = tools[name].undo
    if undo is None:
        return ""
    if undo.tool == name:
        return f"{name} cannot undo itself; name the tool that takes back what {name} does"
    if undo.tool not in tools:
        others = sorted({*tools} - {name})
        return f"there is no tool {undo.tool!r}{near(undo.tool, others)}; write it, or name one of {listing(others)}"
    if tools[undo.tool].poll is not None:
        return f"{undo.tool} takes hours; name a tool with steps"
    if tools[undo.tool].undo is not None:
        return f"{undo.tool} has an undo of its own; remove that one: {undo.tool} has to be the end of it"
    return ""
