"""What expressions may call beyond Jinja2's own filters and tests: versions, quantities, durations, quoting.

The platform's templates have the same; docs/plugin-format.md lists them with examples, and a test runs each of these.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from language.patterns import pattern as compiled
from language.quoting import QUOTINGS, as_json
from language.sandbox import small
from language.versions import version_key

_QUANTITY = re.compile(r"([0-9]+(?:[.][0-9]+)?)([kMGTP]i?|m)?B?")
_UNITS: Mapping[str, float] = {
    "": 1, "m": 0.001,
    "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2**10, "ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
_DURATION = re.compile(r"([0-9]+(?:[.][0-9]+)?)(ms|s|m|h|d)")
_SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_CONDITION = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*([0-9][0-9A-Za-z.+-]*)\s*")
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": lambda a, b: bool(a >= b), "<=": lambda a, b: bool(a <= b), "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b), ">": lambda a, b: bool(a > b), "<": lambda a, b: bool(a < b),
}  # fmt: skip


def quantity(value: Any) -> int:
    """``512Mi`` -> 536870912, as Kubernetes counts. Raises ValueError."""
    found = _QUANTITY.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(f"{value!r} is not a quantity; write for example 512Mi")
    return int(float(found.group(1)) * _UNITS[found.group(2) or ""])


def seconds(value: Any) -> float:
    """``1500ms`` -> 1.5; a number is seconds already. Raises ValueError."""
    if isinstance(value, int | float):
        return float(value)
    found = _DURATION.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(f"{value!r} is not a duration; write for example 30s")
    return float(found.group(1)) * _SECONDS[found.group(2)]


def version(value: Any, condition: str) -> bool:
    """``runtimeVersion is version('>=7.0')``; several conditions, parted by commas, must all hold. A pre-release comes
    before its release. Raises ValueError."""
    own = version_key(str(value))
    for part in condition.split(","):
        found = _CONDITION.fullmatch(part)
        if found is None:
            raise ValueError(f"{part.strip()!r} is not a condition on a version; write for example >=7.0")
        if not _COMPARED[found.group(1)](own, version_key(found.group(2))):
            return False
    return True


def matching(value: Any, pattern: str) -> bool:
    """``line is matching('^OK')``: the regular expression is found in it."""
    return compiled(pattern).search(str(value)) is not None


def captured(value: Any, pattern: str) -> dict[str, str]:
    """``line | captured('(?P<lag>[0-9]+) ms')``: the named groups; none where the pattern is not found."""
    found = compiled(pattern).search(str(value))
    return {} if found is None else {name: group or "" for name, group in found.groupdict().items()}


def merged(values: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """``answers | merged``: several maps as one; the later wins."""
    return {name: value for each in values for name, value in each.items()}


def only(value: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """``settings | only(['maxmemory'])``: the entries of these names that are there."""
    return {name: value[name] for name in names if name in value}


def paired(names: Iterable[Any], values: Iterable[Any]) -> dict[str, Any]:
    """``names | paired(values)``: a map of both, in their order."""
    return {str(name): value for name, value in zip(names, values, strict=True)}


def address(value: Any) -> bool:
    """``named is address``: an IPv4 or IPv6 address and nothing else, whoever has said it."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, str(value))
        except (OSError, ValueError):
            continue
        return True
    return False


def failed(value: Any) -> bool:
    """``answer is failed``: what an optional step has left in the place of its result."""
    return isinstance(value, Failure)


class Failure:
    """Stands for the result of an optional step that failed: false, with ``error``, a sentence. Where an engine of SQL
    has answered, ``sqlstate``, ``errno`` (MySQL's) and ``message`` are what it said; else empty, and 0."""

    __slots__ = ("errno", "error", "message", "sqlstate")

    def __init__(self, error: str, *, sqlstate: str = "", errno: int = 0, message: str = "") -> None:
        self.error, self.sqlstate, self.errno, self.message = error, sqlstate, errno, message

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return self.error


def word(value: Any) -> str:
    """A value as a text: truth values as engines write them, ``true``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _of_any(quoting: Callable[[str], str]) -> Callable[[Any], str]:
    return lambda value: quoting(word(*small(value)))


FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "quantity": quantity,
        "seconds": seconds,
        "captured": captured,
        "merged": merged,
        "only": only,
        "paired": paired,
        **{name: _of_any(quoting) for name, quoting in QUOTINGS.items()},
        "json": lambda value: as_json(*small(value)),
    }
)
TESTS: Mapping[str, Callable[..., bool]] = MappingProxyType(
    {"version": version, "matching": matching, "address": address, "failed": failed}
)
