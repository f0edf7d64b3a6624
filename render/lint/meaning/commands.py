"""Words of commands and programs: nothing takes them apart, and no shell reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from api.tools import Step
from render.lint.tool_files import ToolFile
from render.plugin.problems import Problem

_SHELL = frozenset({"|", "||", "&&", ">", ">>", "<", "2>&1", "2>"})
_SIGNS = frozenset({"|", ">", "<"})
"""Which may also be the value of an option: ``-F |``."""
_Path = tuple[str | int, ...]


def command_problems(file: ToolFile) -> Iterator[Problem]:
    for section, named in (("tools", file.box.tools), ("sequences", file.box.sequences)):
        for name, each in named.items():
            yield from _steps(file, each.steps, (section, name, "steps"))


def _steps(file: ToolFile, steps: Iterable[Step], at: _Path) -> Iterator[Problem]:
    for number, step in enumerate(steps):
        here = (*at, number)
        for field, inner in (("steps", step.steps or []), ("else", step.else_), ("onFailure", step.on_failure)):
            yield from _steps(file, inner, (*here, field))
        for position, command in enumerate(_commands(step)):
            word = str(command[0])
            if " " in word.strip() and "{{" not in word:
                apart = ", ".join(word.split())
                where = (*here, "resp", position) if isinstance((step.resp or [""])[0], list) else (*here, "resp")
                yield file.problem(where, f"{word!r} is sent as one word; write [{apart}, …]")
        if step.run is None:
            continue
        argv = [str(word) for word in step.run.argv]
        if " " in argv[0].strip() and "{{" not in argv[0]:
            message = f"{argv[0]!r} is taken for the name of a program; write [{', '.join(argv[0].split())}, …]"
            yield file.problem((*here, "run", "argv"), message)
        for before, word in pairwise(argv):
            if word in _SHELL and not (word in _SIGNS and before.startswith("-")):
                message = f"{word!r} is for a shell, and none reads it: the program gets it as a word"
                yield file.problem((*here, "run", "argv"), f"{message}; take its output apart by captured or parse")


def _commands(step: Step) -> list[list[object]]:
    if step.resp is None:
        return []
    return [list(each) for each in step.resp] if isinstance(step.resp[0], list) else [list(step.resp)]
