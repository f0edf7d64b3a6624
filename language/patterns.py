"""Regular expressions whose search comes to an end soon: Python has no other bound for a search, which holds up all
else.

How long a search takes is counted before it, from the pattern alone and the length of the text. What multiplies the
ways to try is a repetition that could as well stop where it goes on, since what follows it may begin with the same
sign: ``.*`` before ``x``, but not ``[0-9]+`` before ``[.]``. In a repetition such a repetition, or a choice, makes ever
so many ways, as in ``(a+)+``, and is refused. Beside each other they make a power of the text's length, and the length
is bounded by that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_LONGEST = 200
"""Characters."""
_MANY = 20
"""Turns of a repetition that count as ever so many."""
_MOST_OPEN = 3
"""Repetitions beside each other that could each stop earlier."""
_MOST_STEPS = 10_000_000
"""Of one search: a tenth of a second, or two."""
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_OTHERS = 128
"""Stands for each sign beyond ASCII."""
_SIGNS = frozenset(range(_OTHERS + 1))
_NONE = frozenset[int]()
_NEWLINE = ord("\n")
_PLAIN_FLAGS = re.MULTILINE | re.UNICODE


@dataclass(frozen=True, slots=True)
class Pattern:
    """``power``: of a text's length, and ``ways`` for each, are what a search takes. ``lines``: each line is searched
    by itself."""

    source: str
    power: int
    ways: int
    lines: bool
    _compiled: re.Pattern[str]

    def search(self, text: str) -> re.Match[str] | None:
        """Raises ValueError where that may take too long."""
        if self._steps([len(text)]) > _MOST_STEPS:  # most texts are short
            self._check_lines(text)
        return self._compiled.search(text)

    def _check_lines(self, text: str) -> None:
        if not self.lines or self._steps(map(len, text.split("\n"))) > _MOST_STEPS:
            raise ValueError(
                f"a search of {self.source!r} in {len(text)} characters may take too long; take the text apart first, "
                "or write what stands between its repetitions"
            )

    def _steps(self, lengths: Iterable[int]) -> int:
        return self.ways * sum(int(length**self.power) for length in lengths) // math.factorial(self.power)


@lru_cache(maxsize=128)
def pattern(written: str) -> Pattern:
    """For a search in a text of several lines. Raises ValueError."""
    if len(written) > _LONGEST:
        raise ValueError(f"a pattern of {len(written)} characters; {_LONGEST} is the most")
    try:
        compiled = re.compile(written, re.MULTILINE)
        parsed = re._parser.parse(written, re.MULTILINE)  # type: ignore[attr-defined]
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{written!r} is not a pattern: {error}") from error
    if compiled.flags & ~_PLAIN_FLAGS:
        raise ValueError(f"{written!r} has flags; write [Aa] for a letter of either case")
    counted = _Counted(written)
    found = counted.sequence(list(parsed), _NONE)
    if found.open > _MOST_OPEN or found.ways > _MOST_STEPS:
        raise ValueError(
            f"{written!r} has too many repetitions and choices beside each other that could each end elsewhere: its "
            f"search may not end; {_MOST_OPEN} is the most"
        )
    anchored = counted.lines and bool(parsed) and _anchors(parsed[0])
    power = found.open + found.repeats + (0 if anchored else 1)
    return Pattern(written, max(power, 1), found.ways, counted.lines, compiled)


def _anchors(element: tuple[Any, Any]) -> bool:
    return str(element[0]) == "AT" and str(element[1]).startswith("AT_BEGINNING")


@dataclass(frozen=True, slots=True)
class _Part:
    """Of a pattern. ``first``: the signs that it may begin with; ``empty``: it may match nothing; ``open``: how many of
    its repetitions could stop earlier, those without a bound, and ``ways``: those with one, and choices, multiplied;
    ``repeats``: it has another repetition without a bound."""

    first: frozenset[int]
    empty: bool = False
    open: int = 0
    ways: int = 1
    repeats: bool = False


class _Counted:
    def __init__(self, written: str) -> None:
        self._written = written
        self.lines = True
        """Nothing in it matches the end of a line."""

    def sequence(self, elements: list[Any], after: frozenset[int]) -> _Part:
        """``after``: the signs that may come behind it. Raises ValueError."""
        first, empty, opened, ways, repeats = _NONE, True, 0, 1, False
        for kind, arguments in reversed(elements):
            part = self._element(str(kind), arguments, first | after if empty else first)
            first = first | part.first if part.empty else part.first
            empty = empty and part.empty
            opened, ways, repeats = opened + part.open, ways * part.ways, repeats or part.repeats
        return _Part(first, empty, opened, ways, repeats)

    def _element(self, name: str, arguments: Any, after: frozenset[int]) -> _Part:
        if name in _REPEATS:
            return self._repetition(int(arguments[0]), int(arguments[1]), list(arguments[2]), after)
        if name == "BRANCH":
            return self._choice([self.sequence(list(each), after) for each in arguments[1]])
        if name == "SUBPATTERN":
            if arguments[1] or arguments[2]:
                raise ValueError(f"{self._written!r} has flags; write [Aa] for a letter of either case")
            return self.sequence(list(arguments[3]), after)
        if name == "ATOMIC_GROUP":
            return self.sequence(list(arguments), after)
        if name in ("ASSERT", "ASSERT_NOT"):
            seen = self.sequence(list(arguments[1]), _NONE)
            return _Part(_NONE, True, seen.open, seen.ways, seen.repeats)
        if name == "AT":
            return _Part(_NONE, empty=True)
        if name in ("LITERAL", "NOT_LITERAL", "IN", "ANY"):
            signs = _signs(name, arguments)
            self.lines = self.lines and _NEWLINE not in signs
            return _Part(signs)
        raise ValueError(f"{self._written!r} refers to a group of its own: its search may not end")

    def _choice(self, parts: list[_Part]) -> _Part:
        return _Part(
            _NONE.union(*(part.first for part in parts)),
            any(part.empty for part in parts),
            max(part.open for part in parts),
            sum(part.ways for part in parts),
            any(part.repeats for part in parts),
        )

    def _repetition(self, least: int, most: int, body: list[Any], after: frozenset[int]) -> _Part:
        alone = self.sequence(body, after)
        each = self.sequence(body, after | alone.first) if most > 1 else alone
        many, varies = most > _MANY, least != most
        if most > 1 and (each.open or each.ways > 1) and (many or each.ways**most > _MOST_STEPS):
            raise ValueError(
                f"{self._written!r} repeats what is itself a repetition or a choice: its search may not end"
            )
        ends_elsewhere = varies and bool(each.first & after)
        return _Part(
            each.first,
            each.empty or least == 0,
            each.open * most + (ends_elsewhere and many),
            each.ways**most * (most - least + 1 if ends_elsewhere and not many else 1),
            each.repeats or (varies and many and not ends_elsewhere),
        )


def _signs(name: str, arguments: Any) -> frozenset[int]:
    """What an element of a single sign may match; all where that is not plain."""
    if name == "ANY":
        return _SIGNS - {_NEWLINE}
    if name in ("LITERAL", "NOT_LITERAL"):
        one = frozenset([min(arguments, _OTHERS)])
        return one if name == "LITERAL" else (_SIGNS - one) | {_OTHERS}
    found: set[int] = set()
    for kind, value in arguments:
        if str(kind) == "LITERAL":
            found.add(min(value, _OTHERS))
        elif str(kind) == "RANGE":
            found |= set(range(min(value[0], _OTHERS), min(value[1], _OTHERS) + 1))
        elif str(kind) != "NEGATE":
            return _SIGNS
    negated = bool(arguments) and str(arguments[0][0]) == "NEGATE"
    return (_SIGNS - found) | {_OTHERS} if negated else frozenset(found)
