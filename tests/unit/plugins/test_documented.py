"""What the docs say of plugins is as the files are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from api.generated import write_generated
from api.tools import Toolbox
from cli.authoring import reference
from language.filters import FILTERS, TESTS
from render.plugin.yaml_text import load_yaml
from tests.unit.plugins.support import PLUGINS

DOCS = PLUGINS.parent / "docs"
_STEP = re.compile(r"- `(?P<number>[0-9.]+)` (?:\*(?P<name>[^*]+)\*: )?(?P<sentence>[A-Z].*)")


def numbered(steps: Sequence[Mapping[str, Any]], within: str = "") -> Iterator[tuple[str, str]]:
    for number, step in enumerate(steps, start=1):
        yield f"{within}{number}", step.get("name", "")
        yield from numbered(step.get("steps", ()), f"{within}{number}.")


def test_the_walk_through_redis_names_each_step_of_the_file() -> None:
    written = load_yaml((PLUGINS / "redis" / "tools" / "server.yaml").read_text())
    walk: dict[str, list[tuple[str, str]]] = {}
    heading = ""
    for line in (DOCS / "redis-plugin.md").read_text().partition("## Behaviour to know")[0].splitlines():
        if line.startswith("### "):
            heading = line.removeprefix("### ")
            walk[heading] = []
        elif line.startswith("- "):
            step = _STEP.fullmatch(line)
            assert step is not None, line
            assert step["sentence"].endswith((".", "?")), line
            walk[heading].append((step["number"], step["name"] or ""))
    assert {"getRole", "failover", "preStart"} <= set(walk)
    for name, steps in walk.items():
        there = written["tools"].get(name) or written["sequences"][name]
        assert steps == list(numbered(there["steps"])), name
    called = {step["call"] for name in walk for step in flat(written, name) if "call" in step}
    assert called <= set(walk), "a sequence that these tools call is walked through as well"


def flat(written: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    def within(steps: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        for step in steps:
            yield step
            yield from within(step.get("steps", ()))

    there = written["tools"].get(name) or written["sequences"][name]
    yield from within(there["steps"])


def test_the_reference_is_what_the_models_say() -> None:
    arguments = ["--check", "--output", str(DOCS)]
    assert write_generated("cli.authoring.reference", {reference.PAGE: reference.page()}, DOCS, arguments) == 0


@pytest.mark.parametrize("name", sorted({*FILTERS, *TESTS}))
def test_each_filter_and_test_is_explained(name: str) -> None:
    row = next(line for line in reference.page().splitlines() if line.startswith(f"| `{name}` |"))
    assert len(row.removeprefix(f"| `{name}` |").strip(" |")) > 10


def test_the_guides_example_of_tools_is_a_tool_file() -> None:
    text = Path(DOCS / "plugin-format.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    examples = [block for block in blocks if block.startswith("connections:")]
    assert len(examples) == 2
    assert all(Toolbox.model_validate(load_yaml(block)).tools["getRole"] for block in examples)
    (long,) = [block for block in blocks if "stalls:" in block]
    assert Toolbox.model_validate({"tools": load_yaml(long)}).tools["leave"].poll
    assert all(load_yaml(block) for block in blocks), "all of them are YAML"
    assert "${" not in text
