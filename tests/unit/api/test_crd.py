"""The generated CRDs: up to date, structural, and with what ``kubectl`` users see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from api import crd
from api.app import GroupTemplate

KINDS = ("App", "Component", "Group")
ROOT = Path(__file__).resolve().parents[3]


def walk(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema inside a schema."""
    yield schema
    for child in schema.get("properties", {}).values():
        yield from walk(child)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from walk(schema[key])


def schema_of(kind: str, *, rules: bool) -> dict[str, Any]:
    version = crd.definition(kind, rules=rules)["spec"]["versions"][0]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def test_files_in_the_repository_are_up_to_date() -> None:
    assert crd.main(["--check", "--output", str(ROOT / "deploy/crds")]) == 0


def test_check_names_a_file_that_is_out_of_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crd.main(["--output", str(tmp_path)]) == 0
    stale = tmp_path / "v1" / "apps.middleware.io.yaml"
    stale.write_text("old")
    assert crd.main(["--check", "--output", str(tmp_path)]) == 1
    assert str(stale) in capsys.readouterr().err
    assert stale.read_text() == "old"


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_hold_nothing_that_the_api_server_refuses(kind: str) -> None:
    for part in walk(schema_of(kind, rules=True)):
        assert not {"$ref", "anyOf", "oneOf", "allOf", "const", "title", "$defs"} & set(part)
        typed = "type" in part or "x-kubernetes-int-or-string" in part or "x-kubernetes-preserve-unknown-fields" in part
        assert typed, part


@pytest.mark.parametrize("kind", KINDS)
def test_variant_for_old_api_servers_has_no_rules(kind: str) -> None:
    assert all("x-kubernetes-validations" not in part for part in walk(schema_of(kind, rules=False)))


def test_kubectl_explain_has_a_word_on_every_field_of_an_apps_spec() -> None:
    for part in walk(schema_of("App", rules=False)["properties"]["spec"]):
        for name, field in part.get("properties", {}).items():
            assert field.get("description"), name


def test_rules_are_sentences() -> None:
    rules = [r for part in walk(schema_of("App", rules=True)) for r in part.get("x-kubernetes-validations", [])]
    assert len(rules) >= 5
    for rule in rules:
        assert rule["message"].endswith(".")
        assert "quantity(" not in rule["rule"], "came in 1.29; the variant is for 1.25"


def test_a_plugin_version_that_is_none_is_answered_with_what_to_write() -> None:
    version = schema_of("App", rules=True)["properties"]["spec"]["properties"]["plugin"]["properties"]["version"]
    (rule,) = version["x-kubernetes-validations"]
    assert "three numbers, like 1.0.0" in rule["message"]
    assert version["pattern"] in rule["rule"]


def test_duplicate_components_and_groups_are_refused_by_list_type() -> None:
    components = schema_of("App", rules=False)["properties"]["spec"]["properties"]["components"]
    groups = components["items"]["properties"]["groups"]
    for part in (components, groups):
        assert part["x-kubernetes-list-type"] == "map"
        assert part["x-kubernetes-list-map-keys"] == ["name"]


def test_an_app_may_reserve_ordinals_and_the_group_keeps_them() -> None:
    """Not bounded, a list would make the estimated cost of the rules too high, and the API server refuse the CRD."""
    components = schema_of("App", rules=True)["properties"]["spec"]["properties"]["components"]
    reserved = components["items"]["properties"]["groups"]["items"]["properties"]["reserveOrdinals"]
    assert reserved["maxItems"] == 99
    assert (reserved["items"]["minimum"], reserved["items"]["maximum"]) == (0, 998)
    recorded = schema_of("Group", rules=True)["properties"]["spec"]["properties"]["reserveOrdinals"]
    assert recorded["type"] == "array"
    assert "x-kubernetes-list-type" not in recorded, "replaced as a whole: what the App names no more is gone"


@pytest.mark.parametrize("value", [[-1], [999], list(range(100))])
def test_ordinals_that_no_node_could_have_are_refused(value: list[int]) -> None:
    with pytest.raises(ValidationError, match="reserveOrdinals"):
        GroupTemplate.model_validate({"name": "g", "reserveOrdinals": value})


def test_group_has_the_scale_subresource() -> None:
    subresources = crd.definition("Group", rules=True)["spec"]["versions"][0]["subresources"]
    assert subresources["scale"]["specReplicasPath"] == ".spec.replicas"
    assert "scale" not in crd.definition("App", rules=True)["spec"]["versions"][0]["subresources"]


@pytest.mark.parametrize("kind", KINDS)
def test_columns_point_at_fields_that_exist(kind: str) -> None:
    definition = crd.definition(kind, rules=True)
    schema = schema_of(kind, rules=True)
    for column in definition["spec"]["versions"][0]["additionalPrinterColumns"]:
        if column["jsonPath"].startswith(".metadata"):
            continue
        part = schema
        for name in column["jsonPath"].strip(".").split("."):
            part = part["properties"][name]
    assert definition["spec"]["names"]["categories"] == ["middleware"]
