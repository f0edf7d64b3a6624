"""Which names an expression reads, and what must hold where it reads them.

A step under ``when`` names something only sometimes. Who reads the name has to ask for it first, to stand under the
same condition, or to say what is taken instead. What holds is told by the text of conditions alone: nothing is proved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jinja2 import nodes

Holds = frozenset[str]
"""Conditions, each in one form whichever way it was written."""
_OPPOSITE = {"ne": "eq", "notin": "in", "undefined": "defined"}
_ASKING = ("defined", "undefined", "default", "failed")


@dataclass(frozen=True)
class Sometimes:
    """``where``: what must hold for the name to be there; ``written``: the author's own ``when``."""

    where: Holds
    written: str


def defined(name: str) -> str:
    return f"{name} is there"


def holding(node: nodes.Node | None, *, positive: bool = True) -> Holds:
    """What is known to hold where ``node`` does, or does not."""
    if node is None:
        return frozenset()
    if isinstance(node, nodes.Not):
        return holding(node.node, positive=not positive)
    if isinstance(node, nodes.And if positive else nodes.Or):
        return holding(node.left, positive=positive) | holding(node.right, positive=positive)
    if isinstance(node, nodes.Compare) and len(node.ops) == 1 and node.ops[0].op in _OPPOSITE:
        flipped = nodes.Compare(node.expr, [nodes.Operand(_OPPOSITE[node.ops[0].op], node.ops[0].expr)])
        return holding(flipped, positive=not positive)
    if isinstance(node, nodes.Test) and node.name in ("defined", "undefined") and isinstance(node.node, nodes.Name):
        there = (node.name == "defined") is positive
        return frozenset([defined(node.node.name) if there else f"not {defined(node.node.name)}"])
    return frozenset([repr(node) if positive else f"not {node!r}"])


def condition(tree: nodes.Template | None) -> nodes.Node | None:
    """The expression of a bare one that was read."""
    output = tree.body[0] if tree is not None and tree.body else None
    return output.nodes[0] if isinstance(output, nodes.Output) and len(output.nodes) == 1 else None


def reads(node: nodes.Node, holds: Holds) -> Iterator[tuple[str, Holds]]:
    """Names that are read, without those that are only asked whether they are there; each with what holds then."""
    if isinstance(node, nodes.Name):
        if node.ctx == "load":
            yield node.name, holds
    elif isinstance(node, nodes.CondExpr):
        yield from reads(node.test, holds)
        yield from reads(node.expr1, holds | holding(node.test))
        if node.expr2 is not None:
            yield from reads(node.expr2, holds | holding(node.test, positive=False))
    elif isinstance(node, nodes.And | nodes.Or):
        yield from reads(node.left, holds)
        yield from reads(node.right, holds | holding(node.left, positive=isinstance(node, nodes.And)))
    else:
        asks = isinstance(node, nodes.Test | nodes.Filter) and node.name in _ASKING
        for each in node.iter_child_nodes():
            if asks and isinstance(node, nodes.Test | nodes.Filter) and each is node.node and _plain(each):
                continue
            yield from reads(each, holds)


def _plain(node: nodes.Node) -> bool:
    """A name, or fields of it."""
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        node = node.node
    return isinstance(node, nodes.Name)


def there(name: str, holds: Holds, sometimes: Mapping[str, tuple[Sometimes, ...]]) -> bool:
    """Whether the name is there wherever ``holds`` does; also where another is that comes with it."""
    if name not in sometimes or defined(name) in holds:
        return True
    others = [ways for other, ways in sometimes.items() if defined(other) in holds]
    return _given(sometimes[name], holds) or any(
        all(_given(sometimes[name], holds | way.where) for way in ways) for ways in others
    )


def _given(ways: tuple[Sometimes, ...], holds: Holds) -> bool:
    return any(each.where <= holds for each in ways)
