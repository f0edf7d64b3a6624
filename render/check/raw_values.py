"""Values that reach a file or an engine as they are, where somebody's own text would break out of its place.

A Secret is known by its name. A parameter that may be any text is followed by rendering with a text that every quoting
changes: where it comes out unchanged, nothing quotes it. Parameters with a pattern are the schema's matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from api.plugin import Parameter
from api.tools import Tool
from language.quoting import QUOTINGS
from render.desired.app import DesiredApp, DesiredComponent
from render.manifests.node import stand_in_addresses, template_context
from render.plugin.parameters import parameter_problems
from render.plugin.problems import Problem

_RAW_SECRET = re.compile(r"\$\{secret\.[^}|]*\}|\{\{\s*(?:secret|alsoValid)\.\w+\s*\}\}")
_CANARY = 'a b"c\\d#e'
_SENT = ("send", "content", "body")
"""Fields of a step that an engine, or the reader of a file, takes apart; what goes by environment or stdin is whole."""
_NAMES = ", ".join(name for name in QUOTINGS if name != "raw")


def raw_values(wanted: DesiredApp, tools: Mapping[str, Mapping[str, Tool]]) -> Iterator[Problem]:
    """``tools``: by component, as they were rendered. One problem for each file and value."""
    for component in wanted.components:
        for file in component.definition.files:
            yield from _secrets(file.template, wanted.bundle.files[file.template])
        sent = _texts([tool.model_dump(mode="json") for tool in tools[component.name].values()])
        yield from _secrets(component.definition.tools, "\n".join(sent))
        for name, parameter in component.parameters.items():
            if _any_text(component, name, parameter):
                yield from _parameter(wanted, component, name)


def _secrets(file: str, text: str) -> Iterator[Problem]:
    for found in sorted({match.group() for match in _RAW_SECRET.finditer(text)}):
        message = (
            f"{found} stands as it is, and an own password may have spaces, quotes or a # in it; write for example "
            f"{found[:-1]} | quoted}} ({_NAMES}; raw where nothing has to be quoted)"
        )
        yield Problem(file, message)


def _texts(value: Any, field: str = "") -> list[str]:
    if isinstance(value, Mapping):
        return [text for key, each in value.items() for text in _texts(each, str(key))]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each, field)]
    return [value] if isinstance(value, str) and field in _SENT else []


def _any_text(component: DesiredComponent, name: str, parameter: Parameter) -> bool:
    return not parameter_problems(name, component.name, {name: _CANARY}, {name: parameter})


def _parameter(wanted: DesiredApp, component: DesiredComponent, name: str) -> Iterator[Problem]:
    marked = replace(component, config={**component.config, name: _CANARY})
    addresses = stand_in_addresses(wanted)
    context = template_context(wanted, marked, marked.nodes[0], addresses=addresses, bootstrap=marked.nodes[0].name)
    for file in component.definition.files:
        if _CANARY in wanted.bundle.templates.render(file.template, context):
            message = (
                f"parameter {name} may be any text, and stands here as it is: write {{{{ … | quoted }}}} ({_NAMES}; "
                "raw where nothing has to be quoted), or give its schema a pattern"
            )
            yield Problem(file.template, message)
