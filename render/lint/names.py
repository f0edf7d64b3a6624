"""What expressions know by name, and the fields of it: of tools, of templates, of parameters.

``api.plugin`` and ``api.tools`` say what each is; a test holds this list and what is rendered together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from api.plugin import ComponentDefinition
from api.tools import ToolName
from render.plugin.bundle import PluginBundle

Shape = Mapping[str, Any] | None
"""Fields by name, each with a shape of its own; None where nobody can say."""


def _fields(*names: str) -> dict[str, Shape]:
    return dict.fromkeys(names)


_NODE = _fields("name", "address", "ordinal", "id", "group")
_AMOUNTS = _fields("cpu", "memory")
ARGUMENTS: Mapping[str, Shape] = MappingProxyType(
    {
        ToolName.BOOTSTRAP: _fields("directory"),
        ToolName.FENCE: _fields("seconds"),
        ToolName.FAILOVER: _fields("from"),
        ToolName.FOLLOW: _fields("primary"),
        ToolName.FORGET: _fields("node", "address", "id"),
        ToolName.RELOAD_CONFIG: None,
    }
)
"""What ``arg`` has in a tool of the platform's, but for ``validateConfig`` (``arguments``); the others of these get
none, and a plugin's own tools anything."""


def arguments(component: ComponentDefinition) -> dict[str, Shape]:
    """By tool. ``validateConfig`` gets the places of the component's own files."""
    files = {file.path: None for file in component.files if file.write == "always"}
    return {**ARGUMENTS, ToolName.VALIDATE_CONFIG: files}


def rendered_names(bundle: PluginBundle, component: ComponentDefinition) -> dict[str, Shape]:
    """What templates know, and defaults and checks of parameters."""
    described = {each.name: _component(bundle, each) for each in bundle.plugin.spec.components}
    parameters = bundle.parameters.get(component.name, {})
    return {
        "app": _fields("name", "namespace"),
        "plugin": _fields("name", "version"),
        "runtimeVersion": None,
        "topology": None,
        "component": described[component.name],
        "components": described,
        "node": _NODE,
        "bootstrap": _NODE,
        "parameters": {name: _fields("apply", "readBack") for name in parameters},
        "resources": {**_AMOUNTS, "limits": _AMOUNTS, "requests": _AMOUNTS},
        "config": dict.fromkeys(parameters),
    }


def tool_names(bundle: PluginBundle, component: ComponentDefinition) -> dict[str, Shape]:
    """What steps know before the first."""
    secrets = secret_names(bundle)
    return {
        **rendered_names(bundle, component),
        "node": {**_NODE, **_fields("first", "lead")},
        "last": _fields("role", "position", "epoch"),
        "secret": secrets,
        "alsoValid": secrets,
    }


def start_names(bundle: PluginBundle, component: ComponentDefinition, found: Iterable[str] | None) -> dict[str, Shape]:
    """What is known as the engine starts. ``found``: results of ``preStart``; None where they cannot be told."""
    return {**tool_names(bundle, component), "preStart": None if found is None else dict.fromkeys(found)}


def secret_names(bundle: PluginBundle) -> dict[str, Shape]:
    return {each.name: None for each in bundle.plugin.spec.credentials}


def _component(bundle: PluginBundle, definition: ComponentDefinition) -> dict[str, Shape]:
    """With the ports of any topology: one that the others lack is missed when those are rendered."""
    at = [each for topology in bundle.plugin.spec.topologies for each in topology.components]
    ports = [*definition.ports, *(port for each in at if each.name == definition.name for port in each.ports or ())]
    return {"name": None, "version": None, "nodes": None, "ports": {port.name: None for port in ports}, "service": None}
