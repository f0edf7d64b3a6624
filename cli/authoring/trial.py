"""``mw plugin test``: the plugin's own tests, carried out by the agent's interpreter in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.meta import counted
from api.trial import KINDS, RecordedAnswer, TrialCase
from cli.authoring.example import example, loaded, node_files
from cli.session import CommandError
from render.lint.meaning.trials import read_trials
from render.plugin.bundle import TESTS, PluginBundle
from render.plugin.problems import in_file

_PATIENCE = 120.0
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """``wrong``: what was not as the test says; none where all was."""

    file: str
    line: int
    name: str
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class _Planned:
    file: str
    line: int
    case: TrialCase
    given: Mapping[str, Any]


def run(folder: Path) -> list[Outcome]:
    """Of all tests in the folder's ``tests``. Raises CommandError where one cannot be read or carried out."""
    bundle = loaded(folder)
    planned = [each for path in sorted((folder / TESTS).glob("*.yaml")) for each in _planned(bundle, folder, path)]
    results = _carried_out([each.given for each in planned])
    return [
        Outcome(each.file, each.line, each.case.name, tuple(_wrong(each, result)))
        for each, result in zip(planned, results, strict=True)
    ]


def lines(folder: Path, outcomes: Sequence[Outcome]) -> Iterator[str]:
    for each in outcomes:
        if each.wrong:
            yield f"{folder / each.file}:{each.line}: {each.name}: failed"
            yield from (f"  {sentence}" for sentence in each.wrong)
    failed = sum(bool(each.wrong) for each in outcomes)
    if not outcomes:
        yield f"there is no test; write one to {folder / TESTS}/NAME.yaml"
    else:
        yield f"{counted(len(outcomes), 'test')}, {failed} failed"


def _planned(bundle: PluginBundle, folder: Path, path: Path) -> Iterator[_Planned]:
    name, text = f"{TESTS}/{path.name}", path.read_text(encoding="utf-8")
    tests, problems = read_trials(bundle, name, text)
    if problems or tests is None:
        raise CommandError("\n  ".join(["tests cannot be read:", *(f"{folder}/{each}" for each in problems)]))
    replicas = {} if tests.replicas is None else {tests.component: tests.replicas}
    of = example(
        bundle,
        topology=tests.topology,
        runtime_version=tests.runtime_version,
        replicas=replicas,
        config={tests.component: tests.config},
    )
    component = next((each for each in of.components if each.name == tests.component), None)
    if component is None:
        raise CommandError(f"{folder}/{name}: topology {of.topology} has no component {tests.component}")
    node = next((each for each in component.nodes if each.id == tests.node), None)
    if node is None:
        raise CommandError(f"{folder}/{name}: {tests.component} has {len(component.nodes)} nodes, not {tests.node}")
    secrets = {each.name: f"secret-{each.name}" for each in bundle.plugin.spec.credentials}
    for number, case in enumerate(tests.tests):
        sources = node_files(of, component, node, first=case.first)
        if case.tool not in json.loads(sources["node.json"])["toolbox"]["tools"]:
            message = f"topology {of.topology} and runtime version {node.runtime_version} have no tool {case.tool!r}"
            raise CommandError(f"{folder}/{in_file(name, text, ('tests', number, 'tool'), message)}")
        given = {
            "sources": sources,
            "secrets": secrets,
            "tool": case.tool,
            "arguments": {key: _text(value) for key, value in case.arguments.items()},
            "last": {**case.last.model_dump(), "position": _written(case.last.position)},
            "first": case.first,
            "lead": case.lead,
            "answers": [_recorded(each) for each in (*case.answers, *tests.answers)],
            "own": len(case.answers),
        }
        yield _Planned(name, in_file(name, text, ("tests", number), "").line, case, given)


def _recorded(answer: RecordedAnswer) -> dict[str, Any]:
    given = answer.model_dump(by_alias=True, exclude_none=True)
    return given if any(kind in given for kind in KINDS) else {}


def _carried_out(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Raises CommandError."""
    command = [sys.executable, "-m", "trial"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(cases),
            capture_output=True,
            text=True,
            cwd=_REPOSITORY,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"the tests were not done within {_PATIENCE:g} s") from error
    if done.returncode != 0:
        raise CommandError(f"the tests could not be carried out: {done.stderr.strip()[-2000:]}")
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def _wrong(planned: _Planned, result: Mapping[str, Any]) -> Iterator[str]:
    case, failure = planned.case, str(result["failure"])
    yield from (f"no answer is recorded for {each}; add it to answers" for each in result["missing"])
    if failure and not case.fails:
        yield f"it fails: {failure}"
    if case.fails and case.fails not in failure:
        yield f"it should fail with {case.fails!r}, " + (f"and fails with {failure!r}" if failure else "and succeeds")
    for name, value in (case.result or {}).items():
        given = result["values"].get(name)
        if given != _text(value):
            yield f"result {name} should be {_text(value)!r}, and is {'not there' if given is None else repr(given)}"
    left = list(result["asked"])
    for wanted in case.asks:
        at = next((number for number, asked in enumerate(left) if _begins(asked, wanted)), None)
        if at is None:
            yield f"it should ask {_shown(wanted)}; it asked {', '.join(map(_shown, result['asked'])) or 'nothing'}"
        else:
            left = left[at + 1 :]
    for path, content in case.writes.items():
        if result["written"].get(path) != content:
            yield f"{path} should hold {content!r}, and {_held(result['written'].get(path))}"
    for number in result["unasked"]:
        recorded = next(value for kind in KINDS if (value := getattr(case.answers[number], kind)) is not None)
        yield f"nobody asked {_shown(recorded)}, for which an answer is recorded; remove it, or find out why"


def _held(content: str | None) -> str:
    return "is not there" if content is None else f"holds {content!r}"


def _begins(asked: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        begin = wanted.split()
        return bool(asked[: len(begin)] == begin if isinstance(asked, list) else asked == wanted.strip())
    words = [_text(each) for each in asked[: len(wanted)]] if isinstance(asked, list) else None
    return words == [_text(each) for each in wanted]


def _shown(words: Any) -> str:
    return words if isinstance(words, str) else " ".join(map(_text, words))


def _text(value: Any) -> str:
    """As a result is given to whoever asks the agent."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return "" if value is None else str(value)


def _written(position: int | list[int] | str) -> str:
    """As an agent's record has it."""
    return " ".join(map(str, position)) if isinstance(position, list) else str(position)
