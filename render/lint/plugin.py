"""The lint of a plugin: one call, all that is wrong, in the order of its files.

What is found here keeps a plugin from being installed, but for warnings: an author learns of a mistake at the desk,
not on a node with a database under it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from api.plugin import references
from render.lint.meaning.commands import command_problems
from render.lint.meaning.constants import words_of
from render.lint.meaning.definition import naming_problems
from render.lint.meaning.parameters import parameter_problems
from render.lint.meaning.times import time_problems
from render.lint.meaning.tools import result_problems, tool_problems
from render.lint.names import arguments, tool_names
from render.lint.raw_parameters import any_text
from render.lint.rendered import definition_problems, rendered_problems
from render.lint.steps import Walk
from render.lint.templates import definition_problems as expressions_of_definition
from render.lint.templates import template_problems
from render.lint.tool_files import ToolFile, read_tool_file
from render.plugin.bundle import DEFINITION, PluginBundle, read_files
from render.plugin.problems import Problem, at_line

LONGEST_LINE = 120


def lint(files: Mapping[str, str], origin: str = "") -> list[Problem]:
    """All that is wrong with a plugin's files, by relative path; empty for one that may be installed."""
    read = read_files(files, origin)
    problems = [*read.problems, *_long_lines(files)]
    if read.bundle is not None:
        problems += _of_bundle(read.bundle, read.problems)
    return sorted(_once(problems), key=lambda each: (each.file, each.line, each.column))


def _once(problems: Iterable[Problem]) -> Iterable[Problem]:
    """What stands under a YAML anchor is read at each of its aliases, and is one mistake at one place."""
    return {(replace(each, path="") if each.line else each): each for each in reversed([*problems])}.values()


def errors(problems: list[Problem]) -> list[Problem]:
    return [each for each in problems if not each.warns]


def _of_bundle(bundle: PluginBundle, read: Sequence[Problem]) -> list[Problem]:
    """``read``: what is wrong with plugin.yaml and the parameters by themselves. A file in which something is wrong is
    not rendered, and what would be said of it then is said when that is mended; all others are."""
    tools = {each.name: read_tool_file(bundle.files, each.tools) for each in bundle.plugin.spec.components}
    problems = [problem for each in tools.values() for problem in each.problems]
    wrong = [*definition_problems(bundle), *naming_problems(bundle)]
    problems += wrong
    of_tools: list[Problem] = []
    templates: list[Problem] = []
    for index, component in enumerate(bundle.plugin.spec.components):
        file = tools[component.name]
        if file.files:
            parameters = bundle.parameters.get(component.name, {})
            own_texts = frozenset(name for name, each in parameters.items() if any_text(name, each))
            roles = tuple(role.name for role in component.roles)
            of_tools += Walk(
                file, tool_names(bundle, component), arguments(component), own_texts, roles, words_of(bundle, component)
            ).run()
            of_tools += [*result_problems(file), *time_problems(file), *command_problems(file)]
            of_tools += tool_problems(bundle, component, file)
            templates += parameter_problems(bundle, component, file)
        templates += template_problems(bundle, component, file)
        templates += expressions_of_definition(bundle, index, component, file)
    problems += [*of_tools, *templates]
    fits = not errors(wrong) and not any(references(bundle.plugin.spec))
    unsound = {each.file for each in errors([*read, *problems])}
    unsound |= {each.template for component in bundle.plugin.spec.components for each in component.files}.difference(
        bundle.files
    )
    if fits:
        sound = not any(file.name in unsound for each in tools.values() for file in each.files)
        sound = sound and all(each.whole for each in tools.values())
        problems += rendered_problems(bundle, tools if sound else {}, frozenset(unsound - {DEFINITION}))
    if fits and not unsound - {file.name for each in tools.values() for file in each.files}:
        problems += _unused_files(bundle, tools)
    return problems


def _unused_files(bundle: PluginBundle, tools: Mapping[str, ToolFile]) -> Iterator[Problem]:
    """A file that nothing reads is a mistake in plugin.yaml more often than litter."""
    used = {DEFINITION, *(file.name for each in tools.values() for file in each.files)}
    for component in bundle.plugin.spec.components:
        used |= {component.tools, *component.parameters, *(file.template for file in component.files)}
    used |= bundle.templates.loaded
    for path in sorted(set(bundle.files) - used):
        if not path.lower().endswith(".md"):
            yield at_line(path, 1, "is used by nothing; name it in plugin.yaml or remove it")


def _long_lines(files: Mapping[str, str]) -> Iterator[Problem]:
    for path, text in files.items():
        if path.endswith((".yaml", ".yml")):
            for number, line in enumerate(text.splitlines(), start=1):
                if len(line) > LONGEST_LINE:
                    message = (
                        f"a line of {len(line)} characters; break it, {LONGEST_LINE} is the most that one can read"
                    )
                    yield at_line(path, number, message, LONGEST_LINE + 1, warns=True)
