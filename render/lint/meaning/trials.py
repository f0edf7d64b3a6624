"""Mistakes in a plugin's own tests, ``tests/*.yaml``: found where they stand, before any is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from api.plugin import ComponentDefinition
from api.trial import TrialFile
from render.lint.tool_files import ToolFile, read_tool_file
from render.plugin.bundle import DEFINITION, PluginBundle, parsed_yaml
from render.plugin.problems import Problem, in_file, listing, near, read_model


def read_trials(bundle: PluginBundle, file: str, text: str) -> tuple[TrialFile | None, list[Problem]]:
    """The file's tests, and all that is wrong with it; None where nothing can be made of them."""
    document, problems = parsed_yaml(file, text)
    if document is None and problems:
        return None, problems
    tests, wrong = read_model(TrialFile, document, file, text)
    problems += wrong
    if tests is not None:
        problems += [in_file(file, text, at, message) for at, message in _unknown(bundle, tests)]
    return tests, list(dict.fromkeys(problems))


def trial_problems(bundle: PluginBundle, file: str, text: str) -> list[Problem]:
    """All that is wrong with the file; also results that no tool gives, of which a run tells by each test."""
    tests, problems = read_trials(bundle, file, text)
    component = next((each for each in bundle.plugin.spec.components if tests and each.name == tests.component), None)
    if tests is None or component is None:
        return problems
    tools = read_tool_file(bundle.files, component.tools)
    for number, case in enumerate(tests.tests):
        said = _results(tools, ("tests", number, "result"), case.tool, case.result or {})
        problems += [in_file(file, text, at, message) for at, message in said]
    return problems


_Said = Iterator[tuple[tuple[str | int, ...], str]]


def _unknown(bundle: PluginBundle, tests: TrialFile) -> _Said:
    """What the tests name and the plugin does not have."""
    spec = bundle.plugin.spec
    components = {each.name: each for each in spec.components}
    topologies = {each.name: each for each in spec.topologies}
    versions = [each.version for each in spec.runtime_versions]
    yield from _missing(("topology",), "topology", tests.topology, topologies)
    yield from _missing(("runtimeVersion",), "runtime version", tests.runtime_version, versions)
    yield from _missing(("component",), "component", tests.component, components)
    component = components.get(tests.component)
    if component is None:
        return
    topology = topologies.get(tests.topology or next((each.name for each in spec.topologies if each.default), ""))
    if topology is not None:
        part = next((each for each in topology.components if each.name == tests.component), None)
        if part is None:
            yield ("component",), f"topology {topology.name} has no component {tests.component}"
        elif tests.node > (tests.replicas or part.replicas):
            count = tests.replicas or part.replicas
            yield ("node",), f"{tests.component} has {count} nodes here, not {tests.node}; write replicas too"
    for name in tests.config:
        yield from _missing(("config", name), "parameter", name, bundle.parameters.get(component.name, {}))
    yield from _of_cases(bundle, component, tests)


def _of_cases(bundle: PluginBundle, component: ComponentDefinition, tests: TrialFile) -> _Said:
    tools = read_tool_file(bundle.files, component.tools)
    for number, case in enumerate(tests.tests):
        yield from _missing(("tests", number, "tool"), "tool", case.tool, tools.names("tools"))


def _results(tools: ToolFile, at: tuple[str | int, ...], name: str, wanted: Mapping[str, object]) -> _Said:
    tool = tools.box.tools.get(name)
    if tool is None or not (tool.result is None or isinstance(tool.result, Mapping)):
        return
    given = [str(each) for each in tool.result or ()]
    for each in wanted:
        yield from _missing((*at, each), f"result of {name}", each, given)


def _missing(at: tuple[str | int, ...], what: str, name: str | None, there: Iterable[str]) -> _Said:
    known = list(there)
    if name is not None and name not in known:
        hint = near(name, known) or f"; there are {listing(known)}"
        where = DEFINITION if what in ("topology", "runtime version", "component") else "the plugin"
        yield at, f"{where} has no {what} {name!r}{hint}"
