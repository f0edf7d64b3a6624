"""SQL of a tool file: constant text with ``:name`` for a value and ``:"name"`` for an identifier (as psql writes them).

What stands for a value is put in as a literal, as the engine's rules quote it, and not sent beside the text: neither
engine takes parameters in what an operator's statements are made of (ALTER ROLE, ALTER SYSTEM, SET GLOBAL, CHANGE
REPLICATION SOURCE). In texts, quoted names and comments of a statement nothing is put in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

_PLACE = r':(?:"(?P<identifier>[A-Za-z_]\w*)"|(?P<value>[A-Za-z_]\w*))'
_NOT_CLOSED = r"(?P<open>['\"`]|/\*)"


@dataclass(frozen=True)
class Dialect:
    """``skipped``: texts, names and comments, in which no place is; ``quote``: around identifiers."""

    scanner: re.Pattern[str]
    quote: str
    doubles_backslash: bool


def _dialect(skipped: tuple[str, ...], quote: str, *, doubles_backslash: bool) -> Dialect:
    pattern = "|".join((*skipped, rf"(?<![:\w]){_PLACE}", _NOT_CLOSED))
    return Dialect(re.compile(pattern, re.DOTALL), quote, doubles_backslash)


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "mysql": _dialect(
            (
                r"'(?:[^'\\]|\\.|'')*'",
                r'(?<!:)"(?:[^"\\]|\\.|"")*"',
                r"`(?:[^`]|``)*`",
                r"\#[^\n]*",
                r"--(?=\s|$)[^\n]*",
                r"/\*.*?\*/",
            ),
            "`",
            doubles_backslash=True,
        ),
        "postgresql": _dialect(
            (
                r"(?<!\w)[eE]'(?:[^'\\]|\\.|'')*'",
                r"'(?:[^']|'')*'",
                r'(?:(?<!:)|(?<=::))"(?:[^"]|"")*"',
                r"--[^\n]*",
                r"/\*.*?\*/",
                r"\$(?P<tag>[A-Za-z_]\w*|)\$.*?\$(?P=tag)\$",
            ),
            '"',
            doubles_backslash=False,
        ),
    }
)
"""By the name of the step."""


@dataclass(frozen=True)
class Place:
    """``:name``, or ``:"name"`` where an ``identifier`` belongs."""

    name: str
    identifier: bool


def places(kind: str, text: str) -> Iterator[Place]:
    """Of a statement, in their order. Raises ValueError where a quote or a comment is not closed."""
    for found in DIALECTS[kind].scanner.finditer(text):
        if (place := _place(found)) is not None:
            yield place


def statement(kind: str, text: str, arguments: Mapping[str, Any]) -> str:
    """With everything put in. Raises ValueError; its sentence has no value in it, which may be a secret."""
    dialect = DIALECTS[kind]

    def put(found: re.Match[str]) -> str:
        place = _place(found)
        if place is None:
            return found[0]
        if place.name not in arguments:
            raise ValueError(f"args: has no {place.name!r}, which the statement asks for")
        try:
            value = arguments[place.name]
            return _identifier(dialect, value) if place.identifier else _literal(dialect, value)
        except ValueError as error:
            raise ValueError(f"args.{place.name} {error}") from None

    return dialect.scanner.sub(put, text)


def _place(found: re.Match[str]) -> Place | None:
    if found["open"]:
        raise ValueError(f"the statement opens {found['open']} and does not close it")
    if found[0].startswith("/*") and "/*" in found[0][2:]:  # PostgreSQL's nest, MySQL's do not: where it ends differs
        raise ValueError("a comment of the statement has another in it; remove one")
    name = found["identifier"] or found["value"]
    return Place(name, found["identifier"] is not None) if name else None


def _literal(dialect: Dialect, value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError("is no number that SQL knows")
        return f" {value!r}" if value < 0 else repr(value)  # "-" before it would begin a comment with it
    if not isinstance(value, str):
        raise ValueError("is a list or a map; a text, a number, true, false or none belongs there")
    if "\0" in value:
        raise ValueError("has a zero byte in it")
    doubled = value.replace("'", "''")
    if "\\" not in value:
        return f"'{doubled}'"
    escaped = doubled.replace("\\", "\\\\")
    return f"'{escaped}'" if dialect.doubles_backslash else f" E'{escaped}'"


def _identifier(dialect: Dialect, value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("is no name; a text belongs there, as it names a thing of the engine")
    return f"{dialect.quote}{value.replace(dialect.quote, dialect.quote * 2)}{dialect.quote}"
