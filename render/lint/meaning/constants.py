"""Words that are compared with a name of which all words are known: ``topology == 'replicaton'`` never holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from jinja2 import nodes

from api.plugin import ComponentDefinition
from language.filters import version
from render.lint.expressions import Remark, chain_of
from render.plugin.bundle import PluginBundle
from render.plugin.problems import listing, near

Words = Mapping[tuple[str, ...], frozenset[str]]
"""By the parts of a name, all words that it can be."""

_EQUAL = frozenset({"eq", "ne", "==", "!=", "equalto"})
_AMONG = frozenset({"in", "notin"})
_OBJECTS = ("app", "component", "node", "plugin")
_LETTER = re.compile(r"(?:^|[.<>=!,\s])[A-Za-z]")


def words_of(bundle: PluginBundle, component: ComponentDefinition) -> Words:
    spec = bundle.plugin.spec
    found = {
        ("topology",): frozenset(each.name for each in spec.topologies),
        ("runtimeVersion",): frozenset(each.version for each in spec.runtime_versions),
        ("component", "name"): frozenset(each.name for each in spec.components),
        ("plugin", "name"): frozenset([bundle.name]),
        ("last", "role"): frozenset(["", *(role.name for role in component.roles)]),
    }
    for name, parameter in bundle.parameters.get(component.name, {}).items():
        found["parameters", name, "apply"] = frozenset(["dynamic", "restart", "immutable"])
        values = parameter.schema_.get("enum")
        if isinstance(values, list) and values and all(isinstance(each, str) for each in values):
            found["config", name] = frozenset(values)
    return found


def impossible(tree: nodes.Template, known: Words) -> Iterator[Remark]:
    """Comparisons that never hold, or always."""
    for left, right, line in _compared(tree):
        chain = chain_of(left)
        if chain is None:
            continue
        if len(chain) == 1 and chain[0] in _OBJECTS and right and ("topology",) in known:
            message = f"{chain[0]} is a group of fields, and never equals a text; write {chain[0]}.name"
            yield Remark(message, chain[0], line=line)
        there = known.get(tuple(chain))
        if there is None:
            continue
        for word in right:
            if word not in there:
                hint = near(word, there) or f"; it is one of {listing(each or repr(each) for each in there)}"
                yield Remark(f"{'.'.join(chain)} is never {word!r}{hint}", word, line=line)
    yield from _versions(tree, known.get(("runtimeVersion",), frozenset()))


def _compared(tree: nodes.Template) -> Iterator[tuple[nodes.Node, list[str], int]]:
    """What is compared, and with which texts."""
    for each in tree.find_all(nodes.Compare):
        left: nodes.Node = each.expr
        for operand in each.ops:
            if operand.op in _EQUAL:
                yield left, _texts([operand.expr]), each.lineno
                yield operand.expr, _texts([left]), each.lineno
            elif operand.op in _AMONG and isinstance(operand.expr, nodes.List | nodes.Tuple):
                yield left, _texts(operand.expr.items), each.lineno
            left = operand.expr
    for test in tree.find_all(nodes.Test):
        if test.name in _EQUAL and test.args:
            yield test.node, _texts(test.args[:1]), test.lineno
        elif test.name in _AMONG and test.args and isinstance(test.args[0], nodes.List | nodes.Tuple):
            yield test.node, _texts(test.args[0].items), test.lineno
    for looked_up in tree.find_all(nodes.Getitem):
        if isinstance(looked_up.node, nodes.Dict):
            yield looked_up.arg, _texts(pair.key for pair in looked_up.node.items), looked_up.lineno


def _texts(given: Iterable[nodes.Node]) -> list[str]:
    return [each.value for each in given if isinstance(each, nodes.Const) and isinstance(each.value, str)]


def _versions(tree: nodes.Template, versions: frozenset[str]) -> Iterator[Remark]:
    for test in tree.find_all(nodes.Test):
        written = test.args[0] if test.name == "version" and test.args else None
        if not isinstance(written, nodes.Const) or not isinstance(written.value, str):
            continue
        condition = written.value
        if _LETTER.search(condition):
            message = f"{condition!r} has a letter where a version has a number; write for example >=7.0"
            yield Remark(message, condition, line=test.lineno)
            continue
        try:
            holds = [version(each, condition) for each in versions]
        except ValueError:  # of which the reader of the expression tells
            continue
        if chain_of(test.node) == ["runtimeVersion"] and versions and not any(holds):
            message = f"{condition!r} holds for none of the runtime versions {listing(versions)}"
            yield Remark(message, condition, True, test.lineno)
