"""``mw plugin lint``: what ``mw plugin install`` would refuse, a line for each mistake, as editors and CI read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from api.meta import counted
from render.lint.meaning.trials import trial_problems
from render.lint.plugin import errors
from render.lint.plugin import lint as lint_files
from render.plugin.bundle import TESTS, PluginBundle, PluginRefused, folder_files, read_files
from render.plugin.problems import Problem, at_line


def found(folder: Path) -> list[Problem]:
    """By file and line."""
    try:
        files = folder_files(folder)
    except PluginRefused as error:
        return list(error.problems)
    problems = lint_files(files, folder.resolve().name)
    bundle = read_files(files, folder.resolve().name).bundle
    if bundle is not None:
        for path in sorted((folder / TESTS).glob("*.yaml")):
            problems += _of_tests(bundle, path)
    return problems


def _of_tests(bundle: PluginBundle, path: Path) -> list[Problem]:
    """They are not installed, so only whoever lints or runs them hears of it."""
    name = f"{TESTS}/{path.name}"
    try:
        return trial_problems(bundle, name, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return [at_line(name, 0, "is not UTF-8 text")]


def refused(problems: Sequence[Problem]) -> bool:
    return bool(errors(list(problems)))


def lines(folder: Path, problems: Sequence[Problem]) -> Iterator[str]:
    """With the folder before each file, so that an editor opens the place."""
    for each in problems:
        yield f"{folder / each.file if each.file else folder}{str(each).removeprefix(each.file)}"
    wrong = len(errors(list(problems)))
    warned = counted(len(problems) - wrong, "warning")
    in_tests = sum(each.file.startswith(f"{TESTS}/") for each in errors(list(problems)))
    verdict = "it would be refused" if wrong > in_tests else "it may be installed"
    yield f"{counted(wrong, 'error')}, {warned}: {verdict}{', but its tests cannot be run' if in_tests else ''}"


def as_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "field": problem.path,
        "level": "warning" if problem.warns else "error",
        "message": problem.message,
    }
