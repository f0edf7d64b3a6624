"""Which act and which operation comes when, by a seed alone: the same seed gives the same plan again. Pure.

Each App has a random order of its own, so a run with more Apps does to the first ones what a run with fewer did. Which
object an act takes is a number between 0 and 1: its place in the sorted list of those that are there at that moment.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from tests.chaos.edits.acts import ACTS
from tests.chaos.edits.apps import Shape
from tests.chaos.edits.operations import OPERATIONS, fits

OPERATION, ACT = "operation", "act"
_SOON = 15.0
"""Seconds after the beginning of an operation within which its acts come."""
_APART = 7
"""So many acts further on in their order begins the next App: together a few Apps do all of them."""
_ACTS_OF_EACH = (1, 1, 2, 3)
"""How many acts come with an operation; one of these."""


@dataclass(frozen=True)
class Step:
    """``at``: seconds from the beginning. ``what``: an operation, or an act on an object, by name."""

    at: float
    app: str
    what: str
    name: str
    pick: float = 0.0

    def line(self) -> str:
        return f"{self.at:7.1f} {self.app} {self.what} {self.name}" + (f" {self.pick:.3f}" if self.pick else "")


def plan(
    seed: int,
    apps: Mapping[str, Shape],
    seconds: float,
    every: float,
    acts: Sequence[str] = (),
    operations: Sequence[str] = (),
) -> list[Step]:
    """In order of time. ``every``: seconds from one operation of an App to its next, in the mean. ``acts`` and
    ``operations``: the names to choose from; without any, all."""
    chosen = [act.full_name for act in ACTS if not acts or act.full_name in acts]
    random.Random(seed).shuffle(chosen)
    steps = []
    for number, (name, shape) in enumerate(apps.items()):
        start = number * _APART % len(chosen)
        fitting = [each for each in OPERATIONS if fits(each, shape) and (not operations or each in operations)]
        steps += list(
            _of_app(random.Random(f"{seed}/{name}"), name, seconds, every, chosen[start:] + chosen[:start], fitting)
        )
    return sorted(steps, key=lambda step: (step.at, step.app))


def _of_app(
    dice: random.Random, app: str, seconds: float, every: float, acts: Sequence[str], operations: Sequence[str]
) -> Iterator[Step]:
    """A name comes again only when all others have come: a short run shows many of them. ``acts``: in the order in
    which they come first, which is another one for each App."""
    next_act, next_operation = chain(acts, _dealt(dice, acts)), _dealt(dice, operations)
    at = dice.uniform(0, every)
    while at < seconds:
        yield Step(at, app, OPERATION, next(next_operation))
        for _ in range(dice.choice(_ACTS_OF_EACH)):
            yield Step(at + dice.uniform(0, _SOON), app, ACT, next(next_act), dice.random())
        at += dice.uniform(0.5, 1.5) * every


def _dealt(dice: random.Random, names: Sequence[str]) -> Iterator[str]:
    while names:
        shuffled = list(names)
        dice.shuffle(shuffled)
        yield from shuffled
