"""Texts that were surely meant as expressions: ``position: info.offset`` gives these very letters."""

from __future__ import annotations

from collections.abc import Set

from jinja2 import nodes

from language.expressions import ENVIRONMENT
from render.lint.expressions import chain_of, read
from render.lint.meaning.conditions import condition


def meant_as_expression(written: str, found: Set[str], given: Set[str], *, value: bool) -> bool:
    """``found``: what steps and vars name. ``given``: what the platform gives. ``value``: where an expression is what
    mostly stands; elsewhere (words of a command) only fields of what was found are surely no text of their own."""
    if "{{" in written or "\n" in written.strip():
        return False
    read_as = read(ENVIRONMENT, written, bare=True)
    expression = condition(read_as.tree)
    if expression is None or not read_as.names:
        return False
    if not value:
        chain = chain_of(expression)
        return chain is not None and len(chain) > 1 and chain[0] in found
    if isinstance(expression, nodes.Name):
        return expression.name in found
    return read_as.names <= (found | given)
