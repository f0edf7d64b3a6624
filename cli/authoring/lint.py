"""``mw plugin lint``: what ``mw plugin install`` would refuse, a line for each mistake, as editors and CI read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from api.meta import counted
from render.lint.plugin import errors
from render.lint.plugin import lint as lint_files
from render.plugin.bundle import PluginRefused, folder_files
from render.plugin.problems import Problem


def found(folder: Path) -> list[Problem]:
    """By file and line."""
    try:
        files = folder_files(folder)
    except PluginRefused as error:
        return list(error.problems)
    return lint_files(files, folder.resolve().name)


def refused(problems: Sequence[Problem]) -> bool:
    return bool(errors(list(problems)))


def lines(folder: Path, problems: Sequence[Problem]) -> Iterator[str]:
    """With the folder before each file, so that an editor opens the place."""
    for each in problems:
        yield f"{folder / each.file if each.file else folder}{str(each).removeprefix(each.file)}"
    wrong = len(errors(list(problems)))
    warned = counted(len(problems) - wrong, "warning")
    yield f"{counted(wrong, 'error')}, {warned}: {'it would be refused' if wrong else 'it may be installed'}"


def as_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "field": problem.path,
        "level": "warning" if problem.warns else "error",
        "message": problem.message,
    }
