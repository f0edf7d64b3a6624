"""Statements of SQL in a tool file: nothing that comes from elsewhere is pasted into them.

An expression in a statement may only choose among words that stand in it (``SHOW {{ 'REPLICA' if new else 'SLAVE' }}
STATUS``). Whatever is a value or a name comes by ``args``, where the agent quotes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import nodes

from language.expressions import ENVIRONMENT
from language.statements import Place, places
from render.lint.expressions import Read, read
from render.plugin.problems import near

_PASTED = (
    'what an expression gives would be read as SQL; write :name in its place (:"name" where it names a table, a user '
    "or a setting), and the expression in args: {name: …}. An expression here may only choose among words that stand "
    "in it"
)
Found = tuple[tuple[str | int, ...], str, str]
"""Where in the step, what is wrong, and by which word it is found there."""


def wrong_statements(
    kind: str, written: str | Sequence[str], args: Mapping[str, Any], named: Mapping[str, Read]
) -> Iterator[Found]:
    """``named``: the file's ``vars``."""
    asked = set[str]()
    whole = True
    for number, text in enumerate([written] if isinstance(written, str) else written):
        at = (kind,) if isinstance(written, str) else (kind, number)
        tree = read(ENVIRONMENT, text, bare=False).tree
        if tree is not None:
            yield from ((at, message, word) for message, word in _pasted(tree, named))
        try:
            found = list(places(kind, text))
        except ValueError as error:
            yield at, str(error), ""
            whole = False
            continue
        asked |= {place.name for place in found}
        yield from ((at, message, word) for message, word in _missing(found, args))
        whole = whole and not {place.name for place in found} - set(args)
    for name in args if whole else ():
        if name not in asked:
            yield (
                ("args", name),
                f"no statement has :{name}, outside of quotes and comments; remove it, or write it",
                "",
            )


def _missing(found: Sequence[Place], args: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys(place.name for place in found):
        if name not in args:
            hint = near(name, args) or f'; write args: {{{name}: "{{{{ … }}}}"}}'
            yield f"args has no {name!r}, which the statement asks for{hint}", name


def _pasted(tree: nodes.Template, named: Mapping[str, Read]) -> Iterator[tuple[str, str]]:
    for output in tree.find_all(nodes.Output):
        for part in output.nodes:
            if not _fixed(part, named, frozenset()):
                first = next(part.find_all(nodes.Name), None) if not isinstance(part, nodes.Name) else part
                name = first.name if isinstance(first, nodes.Name) else ""
                yield _PASTED, name


def _fixed(node: nodes.Node | None, named: Mapping[str, Read], within: frozenset[str]) -> bool:
    """Whether all that it can give stands in it."""
    match node:
        case nodes.TemplateData() | nodes.Const():
            return True
        case nodes.CondExpr():
            return _fixed(node.expr1, named, within) and _fixed(node.expr2, named, within)
        case nodes.Getitem():
            chosen = node.node
            return isinstance(chosen, nodes.Dict) and all(_fixed(pair.value, named, within) for pair in chosen.items)
        case nodes.Name():
            var = named.get(node.name)
            if var is None or var.tree is None or node.name in within:
                return False
            parts = [part for output in var.tree.find_all(nodes.Output) for part in output.nodes]
            return bool(parts) and all(_fixed(part, named, within | {node.name}) for part in parts)
    return False
