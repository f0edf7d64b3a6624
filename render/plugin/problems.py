"""``Problem``: where something is wrong in what a person wrote, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from api.meta import DNS_LABEL_PATTERN, SEMANTIC_VERSION_PATTERN


@dataclass(frozen=True)
class Problem:
    """``path`` is the field (``spec.components[0].config.maxmemory``) or file, ``message`` says what would be right."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def field_path(location: Iterable[str | int]) -> str:
    """``("spec", "components", 0, "name")`` as ``spec.components[0].name``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text or "."


def near(name: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` where something near is known, else nothing."""
    matches = difflib.get_close_matches(name, list(known), n=2, cutoff=0.7)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def listing(names: Iterable[str]) -> str:
    """Names for a sentence, sorted; ``none`` for an empty list."""
    return ", ".join(sorted(names)) or "none"


def from_pydantic(error: ValidationError) -> list[Problem]:
    """A model's complaints as Problems, one for each field, in words that say what to write."""
    problems: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        location = [part for part in detail["loc"] if not _is_union_branch(part)]
        path = field_path(location)
        problems.setdefault(path, Problem(path, _message(detail)))
    return list(problems.values())


def _is_union_branch(part: str | int) -> bool:
    """Pydantic puts the branch of a union (``str``, ``int``) into the location; a person did not write it."""
    return part in ("str", "int", "float", "bool")


_PATTERNS = {
    DNS_LABEL_PATTERN: "use lower-case letters, digits and dashes, beginning with a letter",
    SEMANTIC_VERSION_PATTERN: "write a version with three numbers, like 1.0.0",
}


def _message(detail: ErrorDetails) -> str:
    kind, text, value = detail["type"], str(detail["msg"]), detail["input"]
    shown = repr(value) if isinstance(value, str | int | float | bool) else ""
    if kind == "extra_forbidden":
        return "this field does not exist; remove it or check its spelling and indentation"
    if kind == "missing":
        return "this field is required"
    if kind == "value_error":
        return text.removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        pattern = str(detail.get("ctx", {}).get("pattern"))
        return f"{shown} is not allowed: {_PATTERNS.get(pattern, f'it has to match {pattern}')}"
    if kind == "string_type" and shown and not isinstance(value, bool):
        return f'{shown} is a number here: write "{value}"'
    if kind in ("greater_than_equal", "less_than_equal"):
        low, high = detail.get("ctx", {}).get("ge"), detail.get("ctx", {}).get("le")
        return f"{shown} is not allowed: write a number " + (
            f"of at least {low}" if low is not None else f"up to {high}"
        )
    lowered = (text[0].lower() + text[1:]).removeprefix("input should be ")
    return f"{shown} is not allowed: write {lowered}" if shown else f"write {lowered}"
