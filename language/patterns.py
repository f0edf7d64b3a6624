"""Regular expressions whose search comes to an end: Python has no other bound for a search, which holds up all else.

What takes for ever is a repetition in a repetition, such as ``(a+)+``: there are ever so many ways to part a text among
them. It is allowed where its every turn begins with a sign that its own repetitions cannot match: ``([.][0-9]+)*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_LONGEST = 200
"""Characters."""
_MANY = 20
"""Turns of a repetition that count as ever so many."""
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_SIGNS = frozenset(range(128))


@lru_cache(maxsize=128)
def pattern(written: str) -> re.Pattern[str]:
    """Compiled, for a search in a text of several lines. Raises ValueError."""
    if len(written) > _LONGEST:
        raise ValueError(f"a pattern of {len(written)} characters; {_LONGEST} is the most")
    try:
        compiled = re.compile(written, re.MULTILINE)
        parsed = re._parser.parse(written, re.MULTILINE)  # type: ignore[attr-defined]
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{written!r} is not a pattern: {error}") from error
    for inner in _repeated(parsed):
        if _takes_for_ever(inner):
            raise ValueError(f"{written!r} repeats what is itself a repetition or a choice: its search may not end")
    return compiled


def _repeated(parsed: Any) -> Iterator[Any]:
    """What is repeated ever so often in it."""
    for name, arguments in _all(parsed):
        if name in _REPEATS and int(arguments[1]) > _MANY:
            yield arguments[2]


def _all(parsed: Any) -> Iterator[tuple[str, Any]]:
    for kind, arguments in parsed:
        name = str(kind)
        yield name, arguments
        for inner in _inside(name, arguments):
            yield from _all(inner)


def _inside(name: str, arguments: Any) -> list[Any]:
    if name in _REPEATS:
        return [arguments[2]]
    if name == "BRANCH":
        return list(arguments[1])
    if name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
        return [arguments[-1]]
    return [arguments] if name == "ATOMIC_GROUP" else []


def _takes_for_ever(inner: Any) -> bool:
    within = list(_all(inner))
    if any(name == "BRANCH" for name, _ in within):
        return True
    repeats = [arguments for name, arguments in within if name in _REPEATS and int(arguments[0]) != int(arguments[1])]
    if not repeats:
        return False
    first = next(iter(_flat(inner)))
    varying = frozenset[int]().union(*(_signs(each) for arguments in repeats for each in _flat(arguments[2])))
    return first[0] in _REPEATS or bool(_signs(first) & varying)


def _flat(parsed: Any) -> Iterator[tuple[str, Any]]:
    """Its elements, those of groups in their place."""
    for kind, arguments in parsed:
        if str(kind) == "SUBPATTERN":
            yield from _flat(arguments[-1])
        else:
            yield str(kind), arguments


def _signs(element: tuple[str, Any]) -> frozenset[int]:
    """Of ASCII, what it may match; all where that is not plain."""
    name, arguments = element
    if name == "LITERAL":
        return frozenset([arguments])
    if name != "IN":
        return _SIGNS
    found: set[int] = set()
    for kind, value in arguments:
        if str(kind) == "LITERAL":
            found.add(value)
        elif str(kind) == "RANGE":
            found |= set(range(value[0], min(value[1], 127) + 1))
        elif str(kind) != "NEGATE":
            return _SIGNS
    return _SIGNS - found if str(arguments[0][0]) == "NEGATE" else frozenset(found)
