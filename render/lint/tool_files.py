"""A component's tool file and those that it extends, as one; and where each part of it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from api.tools import Toolbox
from render.manifests.node import extended
from render.plugin.bundle import parsed_yaml
from render.plugin.problems import Problem, at_line, in_file, near, read_model

SECTIONS = ("connections", "vars", "sequences", "tools")


@dataclass(frozen=True)
class _File:
    name: str
    text: str
    document: Mapping[str, Any]
    box: Toolbox


@dataclass
class ToolFile:
    """``box``: without what is wrong in the files; ``names`` also has that, so that nobody hears of it twice."""

    name: str
    box: Toolbox = field(default_factory=Toolbox)
    files: list[_File] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    whole: bool = True
    """Nothing is wrong with the files themselves."""

    def names(self, section: str) -> set[str]:
        return {str(name) for each in self.files for name in (each.document.get(section) or ())}

    def problem(self, at: Iterable[str | int], message: str, *, word: str = "", warns: bool = False) -> Problem:
        """At a field, in the file in which it stands."""
        path = tuple(at)
        section, name = (str(path[0]), str(path[1])) if len(path) > 1 else ("", "")
        file = next((each for each in self.files if name in (each.document.get(section) or ())), self.files[0])
        return in_file(file.name, file.text, path, message, word=word, warns=warns)


def read_tool_file(files: Mapping[str, str], name: str) -> ToolFile:
    made, current, below = ToolFile(name), name, []
    while current in files:
        document, problems = parsed_yaml(current, files[current])
        if document is not None and not isinstance(document, dict):
            problems.append(at_line(current, 1, "a mapping belongs here: connections, vars, sequences, tools"))
            document = None
        known = dict(document or {})
        box, wrong = read_model(Toolbox, known, current, files[current])
        made.problems += [*problems, *wrong]
        made.files.append(_File(current, files[current], _mappings(known), box or Toolbox()))
        below.append(made.files[-1].box)
        base = made.files[-1].box.extends
        if base is None:
            break
        if base in [each.name for each in made.files]:
            circle = " -> ".join([*(each.name for each in made.files), base])
            made.problems.append(in_file(current, files[current], "extends", f"goes round in a circle: {circle}"))
            break
        if base not in files:
            others = [each for each in files if each != current and each.endswith((".yaml", ".yml"))]
            message = f"file {base!r} is not in the plugin{near(base, others)}"
            made.problems.append(in_file(current, files[current], "extends", message))
        current = base
    made.whole = not made.problems
    for each in reversed(below):
        made.box = extended(each, made.box)
    return made


def _mappings(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: value for name, value in document.items() if name in SECTIONS and isinstance(value, dict)}
