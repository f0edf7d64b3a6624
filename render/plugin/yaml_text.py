"""Reading a plugin's YAML, and where in its text each value stands.

By libyaml where PyYAML has it: ten times as fast, and each rendering of a node reads its tools. Scalars are those of
YAML 1.2: ``yes``, ``no``, ``on``, ``0640``, ``1:30`` and dates are texts. PyYAML's own 1.1 would make ``true``, 416,
90 and a date of them, without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST = 100_000
"""Values of a file of which the place is kept: aliases of aliases could make any number of them."""
_PLAIN: tuple[tuple[str, str, str], ...] = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+[.][0-9]*|[.][0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("merge", r"<<", "<"),
)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for kind, pattern, first in _PLAIN:
        for sign in [*first, *([""] if kind == "null" else [])]:
            found.setdefault(sign, []).append((f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$")))
    return found


class _Loader(_FAST):  # type: ignore[misc]
    yaml_implicit_resolvers = _resolvers()


class _Composer(yaml.SafeLoader):
    """In Python: its marks count characters of the text that it was given."""

    yaml_implicit_resolvers = _resolvers()


def load_yaml(text: str) -> Any:
    """Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader


@dataclass(frozen=True)
class Place:
    """Counted from 1, as editors do; 0: not known."""

    line: int = 0
    column: int = 0


@dataclass
class Marks:
    """Where the values of one file stand."""

    text: str
    _keys: dict[tuple[str, ...], Place] = field(default_factory=dict)
    _nodes: dict[tuple[str, ...], yaml.Node] = field(default_factory=dict)
    duplicates: list[tuple[tuple[str, ...], Place]] = field(default_factory=list)
    """Keys that stand twice in one mapping; the later would win without a word."""

    def place(self, path: Sequence[str | int]) -> Place:
        """Of the key, or of the entry of a list; of what it should be in where it is not there itself."""
        keys = tuple(map(str, path))
        while keys not in self._keys and keys:
            keys = keys[:-1]
        return self._keys.get(keys, Place(1, 1))

    def within(self, path: Sequence[str | int], word: str, number: int = 0) -> Place:
        """Of ``word`` in the text that stands there, the first one after ``number`` others."""
        node = self._nodes.get(tuple(map(str, path)))
        if node is None:
            return self.place(path)
        start, end = node.start_mark.index, node.end_mark.index
        found = list(words_in(self.text[start:end], word))
        at = start + found[min(number, len(found) - 1)] if found else start
        return Place(self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at))


def words_in(text: str, word: str) -> Iterator[int]:
    """Where ``word`` begins in the text, and not where it is a part of another."""
    edges = [r"(?<![\w])" if word[:1].isalnum() else "", r"(?![\w])" if word[-1:].isalnum() else ""]
    yield from (found.start() for found in re.finditer(edges[0] + re.escape(word) + edges[1], text))


@lru_cache(maxsize=64)
def marks(text: str) -> Marks:
    """Of a file that may be no YAML: then without any place."""
    made = Marks(text)
    for composer in (_Composer, _Loader):  # libyaml takes what the other refuses, such as ``[/jsz?a=b]``
        try:
            root = yaml.compose(text, Loader=composer)
        except yaml.YAMLError:
            continue
        if root is not None:
            _walk(made, root, (), 0)
        break
    return made


def _walk(made: Marks, node: yaml.Node, path: tuple[str, ...], depth: int) -> None:
    if len(made._nodes) > _MOST or depth > 60:
        return
    made._nodes.setdefault(path, node)
    made._keys.setdefault(path, _place(node.start_mark))
    if isinstance(node, yaml.SequenceNode):
        for number, each in enumerate(node.value):
            _walk(made, each, (*path, str(number)), depth + 1)
    if isinstance(node, yaml.MappingNode):
        own: set[str] = set()
        for key, value in node.value:
            if key.tag.endswith(":merge"):
                continue
            inner = (*path, str(key.value))
            if key.value in own:
                made.duplicates.append((inner, _place(key.start_mark)))
            own.add(key.value)
            made._keys.setdefault(inner, _place(key.start_mark))
            _walk(made, value, inner, depth + 1)
        for key, value in node.value:
            if key.tag.endswith(":merge"):
                for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    _walk(made, each, path, depth + 1)


def _place(mark: yaml.Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def without(document: Any, path: Sequence[str | int]) -> Any:
    """A copy without the value at ``path``; instead of an entry of a list without the list, so that all else keeps its
    place."""
    keys = tuple(path)
    while keys and isinstance(keys[-1], int):
        keys = keys[:-1]
    return _without(document, keys) if keys else None


def _without(document: Any, path: tuple[str | int, ...]) -> Any:
    first, rest = path[0], path[1:]
    if isinstance(document, list) and isinstance(first, int) and rest:
        return [_without(value, rest) if number == first else value for number, value in enumerate(document)]
    if not isinstance(document, Mapping) or first not in document:
        return document
    if not rest:
        return {key: value for key, value in document.items() if key != first}
    return {key: _without(value, rest) if key == first else value for key, value in document.items()}


def line_of(text: str, start: str) -> int:
    """Number of the first line that starts so, 0 for none."""
    return next((number for number, line in enumerate(text.splitlines(), start=1) if line.startswith(start)), 0)
