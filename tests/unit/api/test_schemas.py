"""The JSON Schemas by which editors help an author: as the models are, and named in every file that is shipped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from api import schemas
from api.generated import write_generated
from render.plugin.yaml_text import load_yaml

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
FILES = sorted(path for path in PLUGINS.glob("*/**/*.yaml"))
_HEAD = re.compile(r"# yaml-language-server: [$]schema=(\S+)\n")


METADATA = {"name": "ledge", "version": "1.0.0"}
EXTENSION = {"apiVersion": "plugin.middleware.io/v1alpha1", "metadata": METADATA, "extends": "redis"}


def schema(name: str) -> jsonschema.Draft7Validator:
    made = json.loads(schemas.generated()[f"{name}.json"])
    jsonschema.Draft7Validator.check_schema(made)
    return jsonschema.Draft7Validator(made)


def test_what_is_shipped_is_what_the_models_say() -> None:
    folder = PLUGINS / "schema"
    assert write_generated("api.schemas", schemas.generated(), folder, ["--check", "--output", str(folder)]) == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_every_file_names_its_schema_and_follows_it(path: Path) -> None:
    head = _HEAD.match(path.read_text())
    assert head is not None
    named = (path.parent / head[1]).resolve()
    assert named == PLUGINS / "schema" / named.name
    assert [error.message for error in schema(named.stem).iter_errors(load_yaml(path.read_text()))] == []


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("tools", {"tools": {"ready": {"steps": [{"fail": "no", "call": "a"}]}}}),
        ("tools", {"tools": {"ready": {"steps": [{"name": "nothing"}]}}}),
        ("tools", {"tools": {"ready": {"steps": [{"fail": "no", "wenn": "x"}]}}}),
        ("tools", {"connections": {"my-own": {"tcp": "a:1"}}}),
        ("tools", {"tools": {"ready": {"steps": [{"tcp": {}, "as": ["a b"]}]}}}),
        ("parameters", {"size": {"schema": {}, "apply": "sometimes"}}),
        ("plugin", {"apiVersion": "plugin.middleware.io/v1alpha1", "spec": {}}),
        ("plugin", {"apiVersion": "plugin.middleware.io/v1alpha1", "metadata": METADATA, "extends": "../redis"}),
        ("plugin", {**EXTENSION, "spec": {"components": [{"tools": "tools.yaml"}]}}),
        ("plugin", {**EXTENSION, "spec": {"components": [{"name": "x", "tool": "tools.yaml"}]}}),
    ],
)
def test_a_mistake_is_seen_in_the_editor(name: str, written: dict[str, Any]) -> None:
    assert list(schema(name).iter_errors(written))


def test_a_field_is_explained_in_the_editor() -> None:
    step = json.loads(schemas.generated()["tools.json"])["definitions"]["Step"]["properties"]
    assert "repeated until it succeeds" in step["until"]["description"]
