"""Times of steps that contradict each other: what would be tried once only, or be cut off by the tool itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from api.tools import Step
from render.lint.tool_files import ToolFile
from render.plugin.problems import Problem

_Path = tuple[str | int, ...]


def time_problems(file: ToolFile) -> Iterator[Problem]:
    for name, tool in file.box.tools.items():
        yield from _steps(file, tool.steps, ("tools", name, "steps"), tool.timeout)
    for name, sequence in file.box.sequences.items():
        yield from _steps(file, sequence.steps, ("sequences", name, "steps"), None)


def _steps(file: ToolFile, steps: Iterable[Step], at: _Path, longest: float | None) -> Iterator[Problem]:
    for number, step in enumerate(steps):
        here = (*at, number)
        yield from _step(file, step, here, longest)
        for field, inner in (("steps", step.steps or []), ("else", step.else_), ("onFailure", step.on_failure)):
            yield from _steps(file, inner, (*here, field), longest)


def _step(file: ToolFile, step: Step, at: _Path, longest: float | None) -> Iterator[Problem]:
    """``longest``: of the tool, where it is known."""
    given = step.model_fields_set
    if step.until is None:
        for field in ("every", "within"):
            if field in given:
                yield file.problem((*at, field), "is for until, which this step does not have; remove it")
        return
    if step.every >= step.within:
        message = f"{step.every:g} s are not less than within, {step.within:g} s: it would be tried once"
        yield file.problem((*at, "every" if "every" in given else "within"), f"{message}; write less")
    elif longest is not None and step.every >= longest:
        message = f"{step.every:g} s are not less than the tool's timeout, {longest:g} s: it would be tried once"
        yield file.problem((*at, "every" if "every" in given else "until"), f"{message}; write less")
    if longest is None:
        return
    for field, seconds in (("within", step.within), ("timeout", step.timeout)):
        if field in given and seconds > longest:
            message = f"{seconds:g} s are more than the tool's timeout, {longest:g} s, which ends first"
            yield file.problem((*at, field), f"{message}; give the tool more, or the step less", warns=True)
