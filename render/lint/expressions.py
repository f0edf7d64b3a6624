"""What is wrong with one expression, as far as its text tells: syntax, names, fields, filters, tests, patterns."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import jinja2
from jinja2 import nodes

from language.filters import version
from language.patterns import pattern as bounded_pattern
from language.quoting import QUOTINGS
from language.sandbox import asked_names
from render.lint.names import Shape
from render.plugin.problems import listing, near

LONGEST_PATTERN = 60
_METHODS = frozenset({"items", "keys", "values", "get"})
_ESCAPED = re.compile(r"\\[^nrt\\'\"xuU]")
_BY_FIRST = {"map": "filter", "select": "test", "reject": "test"}
_BY_SECOND = ("selectattr", "rejectattr")
_OF_PATTERNS = {"matching": 0, "captured": 0}


@dataclass(frozen=True)
class Remark:
    """``word``: by which it is found in the text. ``line``: in the text, from 1, where that is known."""

    message: str
    word: str = ""
    warns: bool = False
    line: int = 0


@dataclass(frozen=True)
class Read:
    """``names``: those that it asks for, without those that it gives itself."""

    tree: nodes.Template | None
    names: frozenset[str]
    remarks: tuple[Remark, ...]


def read(environment: jinja2.Environment, source: str, *, bare: bool) -> Read:
    """``bare``: an expression without braces."""
    written = "{{" + source + "}}" if bare else source
    try:
        escaped = list(_escapes(environment, written))
        if escaped:
            return Read(None, frozenset(), tuple(escaped))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = environment.parse(written)
        if bare and (len(tree.body) != 1 or not _one_expression(tree)):
            message = "is one expression, without braces: write the expression alone"
            return Read(None, frozenset(), (Remark(message),))
    except jinja2.TemplateSyntaxError as error:
        braces = "; expressions stand here without braces" if bare and "{{" in source else ""
        return Read(None, frozenset(), (Remark(f"is no expression: {error.message}{braces}", line=error.lineno),))
    return Read(tree, _asked(tree), tuple(_known(environment, tree)))


def _asked(tree: nodes.Template) -> frozenset[str]:
    try:
        # Jinja2 counts a name that is set within one branch, and used there.
        own = {each.name for each in tree.find_all(nodes.Name) if each.ctx != "load"}
        return frozenset(asked_names(tree)) - own
    except jinja2.TemplateAssertionError:  # an unknown filter, of which ``_known`` tells
        return frozenset(each.name for each in tree.find_all(nodes.Name) if each.ctx == "load")


def _one_expression(tree: nodes.Template) -> bool:
    (output,) = tree.body
    return isinstance(output, nodes.Output) and len(output.nodes) == 1


def _escapes(environment: jinja2.Environment, source: str) -> Iterator[Remark]:
    for line, kind, value in environment.lex(source):
        for found in _ESCAPED.findall(value) if kind == "string" else ():
            sign = {"\\d": "[0-9]", "\\w": "[A-Za-z0-9_]", "\\s": "[ \\t]", "\\.": "[.]"}.get(found, f"[{found[1:]}]")
            yield Remark(f"{found} in a text of an expression is no escape; write {sign}", found, line=line)


def _known(environment: jinja2.Environment, tree: nodes.Template) -> Iterator[Remark]:
    for kind, name, line in _calls(tree):
        there = environment.filters if kind == "filter" else environment.tests
        if name not in there:
            hint = near(name, there) or f"; there are {listing(there)}"
            yield Remark(f"there is no {kind} {name!r}{hint}", name, line=line)
    for name, pattern, line in _patterns(tree):
        try:
            bounded_pattern(pattern)
        except ValueError as error:
            yield Remark(str(error), name, line=line)
        if len(pattern) > LONGEST_PATTERN:
            message = f"a regular expression of {len(pattern)} characters; write several, or take the answer apart"
            yield Remark(f"{message} by fields ({LONGEST_PATTERN} is the most that one can read)", name, True, line)
    for test in tree.find_all(nodes.Test):
        if test.name == "version" and test.args and isinstance(test.args[0], nodes.Const):
            try:
                version("1", str(test.args[0].value))
            except ValueError as error:
                yield Remark(str(error), "version", line=test.lineno)


def _calls(tree: nodes.Template) -> Iterator[tuple[str, str, int]]:
    """Filters and tests, also those that ``map`` and ``select`` are given by name."""
    for each in tree.find_all((nodes.Filter, nodes.Test)):
        assert isinstance(each, nodes.Filter | nodes.Test)
        yield ("filter" if isinstance(each, nodes.Filter) else "test"), each.name, each.lineno
        if isinstance(each, nodes.Filter):
            at = 1 if each.name in _BY_SECOND else 0
            if (each.name in _BY_FIRST or each.name in _BY_SECOND) and len(each.args) > at:
                given = each.args[at]
                if isinstance(given, nodes.Const) and isinstance(given.value, str):
                    yield _BY_FIRST.get(each.name, "test"), given.value, each.lineno


def _patterns(tree: nodes.Template) -> Iterator[tuple[str, str, int]]:
    for each in tree.find_all((nodes.Filter, nodes.Test)):
        assert isinstance(each, nodes.Filter | nodes.Test)
        arguments = [given.value if isinstance(given, nodes.Const) else None for given in each.args]
        at = _OF_PATTERNS.get(each.name, arguments.index("matching") + 1 if "matching" in arguments else None)
        pattern = arguments[at] if at is not None and len(arguments) > at else None
        if isinstance(pattern, str):
            yield each.name, pattern, each.lineno


def fields(tree: nodes.Template, names: frozenset[str], known: Mapping[str, Shape]) -> Iterator[Remark]:
    """Fields that something which the platform gives does not have. ``names``: those that ``tree`` asks for."""
    for each in tree.find_all((nodes.Getattr, nodes.Getitem)):
        chain = chain_of(each)
        if chain is None or chain[0] not in names or chain[0] not in known:
            continue
        base, shape = chain[0], known[chain[0]]
        for part in chain[1:]:
            if shape is None or part in _METHODS:
                break
            if part not in shape:
                hint = near(part, shape) or f"; it has {listing(shape)}"
                yield Remark(f"{base} has no {part!r}{hint}", part, line=each.lineno)
                break
            base, shape = f"{base}.{part}", shape[part]


def chain_of(node: nodes.Node) -> list[str] | None:
    """``a.b['c']`` as its parts."""
    if isinstance(node, nodes.Name):
        return [node.name]
    if isinstance(node, nodes.Getattr):
        before, part = chain_of(node.node), node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        before, part = chain_of(node.node), node.arg.value
    else:
        return None
    return None if before is None else [*before, part]


def chains(tree: nodes.Node) -> Iterator[tuple[list[str], int]]:
    """All of them in it, each at its longest."""
    for each in tree.iter_child_nodes():
        chain = chain_of(each) if isinstance(each, nodes.Getattr | nodes.Getitem) else None
        if chain is not None:
            yield chain, each.lineno
        else:
            yield from chains(each)


def unquoted(tree: nodes.Node, wanted: Callable[[list[str]], bool]) -> Iterator[tuple[list[str], int]]:
    """The chains for which ``wanted`` holds and to which no quoting filter is applied."""
    for each in tree.iter_child_nodes():
        if isinstance(each, nodes.Filter) and each.name in (*QUOTINGS, "urlencode"):
            continue
        chain = chain_of(each) if isinstance(each, nodes.Getattr | nodes.Getitem) else None
        if chain is not None and wanted(chain):
            yield chain, each.lineno
        elif chain is None:
            yield from unquoted(each, wanted)


def words(tree: nodes.Template) -> set[str] | None:
    """The texts that an expression can give, where all of them stand in it; None where they do not."""
    found: set[str] = set()
    for output in tree.body:
        parts: Iterable[nodes.Node] = output.nodes if isinstance(output, nodes.Output) else [output]
        for part in parts:
            given = _words(part)
            if given is None or len(tree.body) > 1:
                return None
            found |= given
    return found


def _words(node: nodes.Node) -> set[str] | None:
    if isinstance(node, nodes.TemplateData):
        return {node.data}
    if isinstance(node, nodes.Const):
        return {str(node.value)}
    if isinstance(node, nodes.CondExpr):
        sides = [_words(side) for side in (node.expr1, node.expr2) if side is not None]
        # What is not known on one side may be anything; what stands on the other can be told all the same.
        return set().union(*(side for side in sides if side is not None)) if any(sides) else None
    if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Dict):
        values = [_words(pair.value) for pair in node.node.items]
        return set().union(*(each for each in values if each)) if values else None
    return None
