"""How far a node's data have come, as its engine counts, and how two of these compare. Pure.

1. A number: the higher is ahead (an offset).
2. Parts, a list of numbers: the first that differs decides (timeline and offset). An old primary that wrote on in its
   timeline has a higher offset and is behind all the same.
3. A set of ranges by source (MySQL's GTID sets, with or without tags): who contains the other is ahead. Of two that
   each have what the other has not, neither is: they have *diverged*, and no rule may choose between them.
None of these, and the number 0: nothing is known of it, which is behind all else. Positions of two kinds, or of another
number of parts, do not compare: they have diverged as well.

It is written in one way (``str``), so that equal ones are equal texts, in records on volumes and between processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

LARGEST = 2**64 - 1
"""Of one number: more than any engine counts."""
_NUMBERS = re.compile(r"-?\d{1,20}( -?\d{1,20})*")
_SOURCE = re.compile(r"[A-Za-z0-9_-]+")
_RANGE = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?")
_TAG = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHOWN = 120


class PositionError(ValueError):
    """A text is no position."""


class Order(StrEnum):
    EQUAL = "equal"
    BEHIND = "behind"
    AHEAD = "ahead"
    DIVERGED = "diverged"


Ranges = tuple[tuple[int, int], ...]
"""Both ends are in it; in order, and no two touch."""


@dataclass(frozen=True)
class Position:
    """``parts`` or ``sources``, by name, or neither."""

    parts: tuple[int, ...] = ()
    sources: tuple[tuple[str, Ranges], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Position:
        """Raises PositionError."""
        text = text.strip()
        if not text:
            return cls()
        if ":" in text:
            return cls(sources=_sources(text))
        if not _NUMBERS.fullmatch(text):
            raise PositionError(
                f"{text[:40]!r} is no position; it has to be a whole number, a list of whole numbers, or a set such as "
                "SOURCE:1-5:7"
            )
        parts = tuple(int(word) for word in text.split())
        if max(map(abs, parts)) > LARGEST:
            raise PositionError(f"{text[:40]!r} is no position: a number of it is beyond 64 bits")
        # Engines say 0 or -1 for "none".
        return cls() if len(parts) == 1 and parts[0] <= 0 else cls(parts)

    def __str__(self) -> str:
        if self.sources:
            return ",".join(":".join([name, *map(_range, ranges)]) for name, ranges in self.sources)
        return " ".join(map(str, self.parts))

    def __bool__(self) -> bool:
        return bool(self.parts or self.sources)

    @property
    def value(self) -> int | list[int] | str:
        """As expressions know it."""
        if self.sources:
            return str(self)
        return list(self.parts) if len(self.parts) > 1 else (self.parts or (0,))[0]

    def order(self, other: Position) -> Order:
        """How this stands to the other."""
        if self == other:
            return Order.EQUAL
        if not self or not other:
            return Order.AHEAD if self else Order.BEHIND
        if self.sources and other.sources:
            return _by_containment(dict(self.sources), dict(other.sources))
        if len(self.parts) != len(other.parts):
            return Order.DIVERGED
        return Order.AHEAD if self.parts > other.parts else Order.BEHIND

    def reaches(self, other: Position) -> bool:
        """Whether it has all that the other has."""
        return self.order(other) in (Order.EQUAL, Order.AHEAD)

    def beside(self, other: Position) -> str:
        """For people, of one that does not reach the other: ``12 behind``."""
        if self.order(other) is Order.DIVERGED:
            return f"at {shown(self)}, diverged from {shown(other)}"
        if len(other.parts) == 1:
            return f"{other.parts[0] - (self.parts or (0,))[0]} behind"
        return f"at {shown(self)}, behind {shown(other)}"


def shown(position: Position) -> str:
    """For people: a set may be long."""
    text = str(position) or "0"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def furthest(positions: Mapping[str, Position]) -> list[str]:
    """Names of those that nobody is ahead of, in order. More than one: they are equal, or have diverged."""
    return [
        name
        for name in sorted(positions)
        if not any(other.order(positions[name]) is Order.AHEAD for other in positions.values())
    ]


def diverged(positions: Mapping[str, Position]) -> tuple[str, str] | None:
    """Two of the furthest that each have what the other has not: nobody has all."""
    for one, other in combinations(furthest(positions), 2):
        if positions[one].order(positions[other]) is Order.DIVERGED:
            return one, other
    return None


def _by_containment(mine: Mapping[str, Ranges], others: Mapping[str, Ranges]) -> Order:
    contains = all(_within(ranges, mine.get(name, ())) for name, ranges in others.items())
    contained = all(_within(ranges, others.get(name, ())) for name, ranges in mine.items())
    if contains:
        return Order.AHEAD
    return Order.BEHIND if contained else Order.DIVERGED


def _within(ranges: Ranges, wide: Ranges) -> bool:
    """In one pass: both are in order, and a range lies within one of the wide ones or within none."""
    rest = iter(wide)
    current = next(rest, None)
    for low, high in ranges:
        while current is not None and current[1] < high:
            current = next(rest, None)
        if current is None or low < current[0]:
            return False
    return True


def _sources(text: str) -> tuple[tuple[str, Ranges], ...]:
    found: dict[str, list[tuple[int, int]]] = {}
    for given in filter(None, (part.strip() for part in text.split(","))):
        source, *words = (word.strip() for word in given.split(":"))
        if not _SOURCE.fullmatch(source):
            raise PositionError(f"{given[:40]!r} is no part of a set; it has to be SOURCE:1-5:7")
        name = source = source.lower()
        for word in words:
            name, found_range = _read(source, name, word, given)
            if found_range is not None:
                found.setdefault(name, []).append(found_range)
        if not words:
            raise PositionError(f"{given[:40]!r} is no part of a set; it has to be SOURCE:1-5:7")
    return tuple((name, _merged(found[name])) for name in sorted(found))


def _read(source: str, name: str, word: str, given: str) -> tuple[str, tuple[int, int] | None]:
    """A range of ``name``, or, where it is no range, the tag of the ranges that follow."""
    matched = _RANGE.fullmatch(word)
    if matched is None:
        if not _TAG.fullmatch(word):
            raise PositionError(f"{word[:40]!r} in {given[:40]!r} is no range; it has to be FROM-TO")
        return f"{source}:{word.lower()}", None
    low, high = int(matched.group(1)), int(matched.group(2) or matched.group(1))
    if low > high or high > LARGEST:
        raise PositionError(f"{word[:40]!r} in {given[:40]!r} is no range; it has to be FROM-TO, of at most 64 bits")
    return name, (low, high)


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _range(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}-{ends[1]}"
