"""What stands in steps: their names, their expressions, the steps within them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jinja2 import nodes

from api.tools import ACTIONS, Step
from render.lint.expressions import chains


def flat(steps: Iterable[Step]) -> Iterator[Step]:
    """Also those within."""
    for step in steps:
        yield step
        yield from flat([*(step.steps or ()), *step.else_, *step.on_failure])


def names_of(step: Step) -> Iterator[str]:
    yield from step.as_
    yield from step.set or ()
    if step.into is not None:
        yield step.into
    if step.optional or step.on_failure:
        yield "error"


def written_in(step: Step) -> Iterator[tuple[str, bool]]:
    """All expressions of a step itself, and whether each is a bare one."""
    for bare in (step.when, step.expect, step.until, step.for_each, step.first_of):
        if bare is not None:
            yield bare, True
    given = step.model_dump(include={"at", "otherwise", "with_", "args", *ACTIONS} - {"call", "steps"})
    yield from ((text, False) for text in strings(given))


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings(each)


def surely(tree: nodes.Node) -> Iterator[list[str]]:
    """Chains that are not only asked whether they are there."""
    for each in tree.iter_child_nodes():
        if isinstance(each, nodes.Test | nodes.Filter) and each.name in ("defined", "undefined", "default"):
            continue
        if isinstance(each, nodes.Getattr | nodes.Getitem):
            yield from (chain for chain, _ in chains(nodes.Output([each])))
        else:
            yield from surely(each)
