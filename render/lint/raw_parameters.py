"""Parameters that reach a file as they are, where somebody's own text would break out of its place.

A parameter that may be any text is followed by rendering with a text that every quoting changes: where it comes out
unchanged, nothing quotes it. Parameters with a pattern are the schema's matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from api.plugin import Parameter
from language.quoting import QUOTINGS
from render.desired.app import DesiredApp, DesiredComponent
from render.manifests.node import stand_in_addresses, template_context
from render.plugin.parameters import parameter_problems
from render.plugin.problems import Problem, at_line

_CANARY = 'a b"c\\d#e'
_NAMES = ", ".join(name for name in QUOTINGS if name != "raw")
_LOOP = re.compile(r"\{%-?\s*for\s+(\w+)\s*,\s*(\w+)\s+in\s+config\.items\(\)")


def raw_parameters(wanted: DesiredApp) -> Iterator[Problem]:
    """One problem for each file and parameter. Raises TemplateFailure."""
    for component in wanted.components:
        for name, parameter in component.parameters.items():
            if any_text(name, parameter):
                yield from _parameter(wanted, component, name)


def any_text(name: str, parameter: Parameter) -> bool:
    return not parameter_problems(name, "", {name: _CANARY}, {name: parameter})


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
            yield at_line(file.template, *_place(wanted.bundle.files[file.template], name, message))


def _place(text: str, name: str, message: str) -> tuple[int, str, int]:
    """Where it is printed: by its name, or by that of a loop over all parameters."""
    by_name = re.compile(r"\{\{[^}]*?config(?:\.|\[['\"])" + re.escape(name))
    loop = _LOOP.search(text)
    in_loop = re.compile(r"\{\{[^}]*?\b" + loop.group(2) + r"\b") if loop is not None else None
    for pattern, start in ((by_name, 0), (in_loop, loop.end() if loop is not None else 0)):
        found = pattern.search(text, start) if pattern is not None else None
        if found is not None:
            at = found.start()
            return text.count("\n", 0, at) + 1, message, at - text.rfind("\n", 0, at)
    return 1, message, 1
