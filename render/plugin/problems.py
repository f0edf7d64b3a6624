"""``Problem``: where something is wrong in what a person wrote, and what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.meta import DNS_LABEL_PATTERN, SEMANTIC_VERSION_PATTERN
from render.plugin.yaml_text import marks, without


@dataclass(frozen=True)
class Problem:
    """``path`` is the field (``spec.components[0].config.maxmemory``), ``message`` says what would be right. What is
    wrong in a plugin also has its ``file``, and ``line`` and ``column`` where they are known."""

    path: str
    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    warns: bool = False
    """It keeps nothing from being installed."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        said = [place, self.path, "warning" if self.warns else "", self.message]
        return ": ".join(part for part in said if part)


def in_file(
    file: str, text: str | None, at: Iterable[str | int] | str, message: str, *, word: str = "", warns: bool = False
) -> Problem:
    """At the field ``at`` of a plugin's YAML file (its keys, or as ``field_path`` writes them); at ``word`` in its
    value where that is given."""
    path = _keys(at) if isinstance(at, str) else tuple(at)
    known = marks(text or "")
    place = known.within(path, word) if word else known.place(path)
    return Problem(field_path(path) if path else "", message, file, place.line, place.column, warns)


def at_line(file: str, line: int, message: str, column: int = 0, *, warns: bool = False) -> Problem:
    return Problem("", message, file, line, column, warns)


def field_path(location: Iterable[str | int]) -> str:
    """``("spec", "components", 0, "name")`` as ``spec.components[0].name``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text or "."


def _keys(path: str) -> tuple[str | int, ...]:
    return tuple(int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", path))


def near(name: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` where something near is known, else nothing."""
    matches = difflib.get_close_matches(name, list(known), n=2, cutoff=0.7)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def listing(names: Iterable[str]) -> str:
    """Names for a sentence, sorted; ``none`` for an empty list."""
    return ", ".join(sorted(names)) or "none"


def from_pydantic(error: ValidationError, file: str = "", text: str = "", within: Iterable[str] = ()) -> list[Problem]:
    """A model's complaints as Problems, one for each field, in words that say what to write. ``within``: where in the
    file the model stands."""
    problems: dict[tuple[str | int, ...], Problem] = {}
    for location, message in complaints(error):
        path = (*within, *location)
        problem = in_file(file, text, path, message) if file else Problem(field_path(path), message)
        problems.setdefault(path, problem)
    return list(problems.values())


def complaints(error: ValidationError) -> list[tuple[tuple[str | int, ...], str]]:
    """Where, and what to write instead."""
    return [
        (tuple(part for part in detail["loc"] if not _is_union_branch(part)), _message(detail))
        for detail in error.errors(include_url=False)
    ]


Read = TypeVar("Read", bound=BaseModel)


def read_model(
    model: type[Read], document: object, file: str, text: str, within: Iterable[str] = (), *, context: str | None = None
) -> tuple[Read | None, list[Problem]]:
    """The model, and all that is wrong with it. Where something is, the model is what the rest gives without it, so
    that one mistake does not hide the others; None where nothing can be made of it."""
    base, problems, left = tuple(within), dict[Problem, None](), document
    for _ in range(_ROUNDS):
        try:
            return model.model_validate(left, context=context), list(problems)
        except ValidationError as error:
            if left is document:
                problems = dict.fromkeys(from_pydantic(error, file, text, base))
            before = left
            for detail in error.errors(include_url=False):
                path = [part for part in detail["loc"] if not _is_union_branch(part)]
                left = without(left, path[:-1] if detail["type"] == "missing" else path)
            if left is None or left == before:
                break
    return None, list(problems)


_ROUNDS = 20


def _is_union_branch(part: str | int) -> bool:
    """Pydantic puts the branch of a union (``str``, ``int``) into the location, and ``[key]`` for the name of an entry;
    a person did not write it."""
    return part in ("str", "int", "float", "bool", "[key]")


_PATTERNS = {
    DNS_LABEL_PATTERN: "use lower-case letters, digits and dashes, beginning with a letter",
    SEMANTIC_VERSION_PATTERN: "write a version with three numbers, like 1.0.0",
}


def _message(detail: ErrorDetails) -> str:
    kind, text, value = detail["type"], str(detail["msg"]), detail["input"]
    shown = repr(value) if isinstance(value, str | int | float | bool) else ""
    if kind == "extra_forbidden":
        return "this field does not exist; remove it or check its spelling and indentation"
    if kind == "model_type":
        return "a mapping of fields belongs here; check its indentation"
    if kind == "missing":
        return "this field is required"
    if kind == "value_error":
        return text.removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        pattern = str(detail.get("ctx", {}).get("pattern"))
        return f"{shown} is not allowed: {_PATTERNS.get(pattern, f'it has to match {pattern}')}"
    if kind == "string_type" and shown and not isinstance(value, bool):
        return f'{shown} is a number here: write "{value}"'
    if kind == "string_type" and isinstance(value, bool):
        return f'{shown} is a switch here: write "{str(value).lower()}" for the text'
    if kind == "string_type" and isinstance(value, list | dict):
        return f'a text belongs here; of an expression write it in quotes: "{value}"'
    if kind in ("greater_than_equal", "less_than_equal"):
        low, high = detail.get("ctx", {}).get("ge"), detail.get("ctx", {}).get("le")
        return f"{shown} is not allowed: write a number " + (
            f"of at least {low}" if low is not None else f"up to {high}"
        )
    lowered = (text[0].lower() + text[1:]).removeprefix("input should be ")
    return f"{shown} is not allowed: write {lowered}" if shown else f"write {lowered}"
