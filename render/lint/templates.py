"""Templates, and the expressions of plugin.yaml and of parameters, read without rendering: also what no App meets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import jinja2
from jinja2 import nodes

from api.plugin import ComponentDefinition
from language.expressions import ENVIRONMENT
from language.quoting import QUOTINGS
from render.lint.expressions import Read, Remark, fields, read, unquoted
from render.lint.meaning.constants import Words, impossible, words_of
from render.lint.names import Shape, rendered_names, start_names
from render.lint.tool_files import ToolFile
from render.plugin.at_start import NAME
from render.plugin.bundle import DEFINITION, PluginBundle
from render.plugin.problems import Problem, at_line, in_file, listing, near
from render.plugin.yaml_text import words_in

_SECRETS = ("secret", "alsoValid")
_QUOTINGS = ", ".join(name for name in QUOTINGS if name != "raw")
_GLOBALS = {"range", "dict", "namespace"}


def template_problems(bundle: PluginBundle, component: ComponentDefinition, tools: ToolFile) -> Iterator[Problem]:
    """Of the component's files."""
    known = {**rendered_names(bundle, component), NAME: start_names(bundle, component, pre_start_results(tools))}
    words = words_of(bundle, component)
    for file in component.files:
        text = bundle.files.get(file.template)
        if text is not None:
            yield from _template(file.template, text, bundle.templates.environment, known, words)


def pre_start_results(tools: ToolFile) -> list[str] | None:
    tool = tools.box.tools.get("preStart")
    if tool is None:
        return None if "preStart" in tools.names("tools") else []
    return [str(name) for name in tool.result] if isinstance(tool.result, Mapping) else []


def _template(
    file: str, text: str, environment: jinja2.Environment, known: Mapping[str, Shape], words: Words
) -> Iterator[Problem]:
    found = read(environment, text, bare=False)
    remarks = [*found.remarks, *_names(found, known)]
    if found.tree is not None:
        remarks += impossible(found.tree, words)
        remarks += fields(found.tree, found.names | {NAME}, known)  # a global, which counts as no name there
        for chain, line in unquoted(found.tree, _secret):
            name = ".".join(chain)
            message = f"{name} stands as it is, and an own password may have spaces, quotes or a # in it; write"
            advice = f"{{{{ {name} | quoted }}}} ({_QUOTINGS}; raw where nothing has to be quoted)"
            remarks.append(Remark(f"{message} {advice}", chain[0], line=line))
    for remark in remarks:
        yield _placed(file, text, remark)


def _secret(chain: list[str]) -> bool:
    return len(chain) > 2 and chain[0] == NAME and chain[1] in _SECRETS


def _names(found: Read, known: Mapping[str, Shape]) -> Iterator[Remark]:
    for name in sorted(found.names - set(known) - _GLOBALS):
        lines = [each.lineno for each in found.tree.find_all(nodes.Name) if each.name == name] if found.tree else []
        if name in (*_SECRETS, "preStart", "last"):
            hint = f"; it is known as the engine starts: write {NAME}.{name}"
        else:
            hint = near(name, known) or f"; there are {listing(known)}"
        yield Remark(f"nothing is called {name!r} in a template{hint}", name, line=min(lines, default=0))


def _placed(file: str, text: str, remark: Remark) -> Problem:
    lines = text.splitlines()
    line = lines[remark.line - 1] if 0 < remark.line <= len(lines) else ""
    column = next(words_in(line, remark.word), -1) + 1 if remark.word else 0
    return at_line(file, remark.line, remark.message, column, warns=remark.warns)


def definition_problems(
    bundle: PluginBundle, index: int, component: ComponentDefinition, tools: ToolFile
) -> Iterator[Problem]:
    """What plugin.yaml leaves to the agent to evaluate, and what its parameters ask for."""
    at = ("spec", "components", index, "process")
    known = start_names(bundle, component, pre_start_results(tools))
    words = words_of(bundle, component)
    public = {name: shape for name, shape in known.items() if name not in _SECRETS}
    for number, word in enumerate(component.process.command):
        yield from _text(bundle, DEFINITION, (*at, "command", number), word, public, words)
    for name, value in component.process.env.items():
        yield from _text(bundle, DEFINITION, (*at, "env", name), value, known, words)
    rendered = rendered_names(bundle, component)
    without_config = {name: shape for name, shape in rendered.items() if name != "config"}
    for name, parameter in bundle.parameters.get(component.name, {}).items():
        file, _ = bundle.place_of(component, name)
        if parameter.default_expression is not None:
            place = (name, "defaultExpression")
            yield from _text(bundle, file, place, parameter.default_expression, without_config, words, bare=True)
        for number, check in enumerate(parameter.checks):
            place_of_check = (name, "checks", number)
            seen = {**rendered, "value": None}
            own = dict(words)
            if ("config", name) in words:
                own["value",] = words["config", name]
            yield from _text(bundle, file, (*place_of_check, "that"), check.that, seen, own, bare=True)
            yield from _text(bundle, file, (*place_of_check, "message"), check.message, seen, own)


def _text(
    bundle: PluginBundle,
    file: str,
    at: Iterable[str | int],
    written: str,
    known: Mapping[str, Shape],
    words: Words,
    *,
    bare: bool = False,
) -> Iterator[Problem]:
    path = tuple(at)
    found = read(ENVIRONMENT if file == DEFINITION else bundle.templates.environment, written, bare=bare)
    remarks = list(found.remarks)
    for name in sorted(found.names - set(known) - _GLOBALS):
        if name in _SECRETS:
            message = "a secret must not reach a command line, which every process list shows; give it by env"
        else:
            message = f"nothing is called {name!r} here{near(name, known) or f'; there are {listing(known)}'}"
        remarks.append(Remark(message, name))
    if found.tree is not None:
        remarks += [*fields(found.tree, found.names, known), *impossible(found.tree, words)]
    for remark in remarks:
        yield in_file(file, bundle.files[file], path, remark.message, word=remark.word, warns=remark.warns)
