"""Everything a person can get wrong in an App is named by its path, with what would be right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.app import App
from api.plugin import Parameter
from render.plugin.parameters import parameter_problems
from render.validation.app import validate
from tests.unit.render.support import app, problems, records, shelf, store, wanted

WATCH = {"name": "watch", "groups": [{"name": "w", "replicas": 3}]}


def test_a_good_app_has_no_problems() -> None:
    assert problems() == {}
    assert problems(components=[*store(replicas=2, storage={"size": "2Gi"}), WATCH], topology="cluster") == {}


def test_an_unknown_plugin_is_answered_with_those_installed() -> None:
    wrong = App.model_validate({**app().model_dump(), "spec": {"plugin": {"name": "shelv", "version": "1.0.0"}}})
    (problem,) = validate(wrong, None, {"shelf": ["1.0.0"], "redis": ["1.0.0"]})
    assert problem.path == "spec.plugin.name"
    assert problem.message == "plugin 'shelv' is not installed; did you mean shelf?; installed: redis, shelf"


def test_an_unknown_version_is_answered_with_those_installed_in_order() -> None:
    (problem,) = validate(app(), None, {"shelf": ["1.10.0", "1.9.0"]})
    assert problem.path == "spec.plugin.version"
    assert problem.message.endswith("installed: 1.9.0, 1.10.0")


def parameter(name: str, value: Any) -> tuple[dict[str, Any], str]:
    return {"components": [{"name": "store", "config": {name: value}}]}, f"spec.components[0].config.{name}"


CASES: list[tuple[dict[str, Any], str, str]] = [
    (
        {"components": store(rollingUpdate={"minReadySeconds": 600})},
        "spec.components[0].groups[0].rollingUpdate.minReadySeconds",
        "599",
    ),
    ({"runtimeVersion": "9"}, "spec.runtimeVersion", "does not support '9'; it supports 1, 2, 3"),
    ({"topology": "ring"}, "spec.topology", "has no topology 'ring'; it has cluster, single"),
    ({"components": [{"name": "stor"}]}, "spec.components[0].name", "did you mean store?; it has store, watch"),
    (*parameter("cache-sise", "1mb"), "did you mean cache-size"),
    (*parameter("colour", "red"), "it has cache-size, heap, journal"),
    (*parameter("threads", "many"), '"many" is not allowed; write a whole number from 1 to 16'),
    (*parameter("threads", 17), "17 is not allowed; write a whole number from 1 to 16"),
    (*parameter("threads", True), "write a whole number from 1 to 16"),
    (*parameter("cache-size", "256"), "write a text like 256mb"),
    # What `cache-size: |` in YAML makes of it; a pattern's $ lets it through.
    (*parameter("cache-size", "256mb\n"), 'control character; write "256mb", on one line'),
    (*parameter("sync", "often"), 'write one of "always", "never"'),
    (*parameter("journal", "maybe"), "write true or false"),
    (*parameter("page-size", 1), "a whole number of at least 512"),
    ({"runtimeVersion": 7.0}, "spec.runtimeVersion", '7.0 is a number here: write "7.0"'),
    ({"components": store(replicas=0)}, "spec.components[0].groups[0].replicas", "write a number of at least 1"),
    ({"components": store(replicas=-2)}, "spec.components[0].groups[0].replicas", "write a number of at least 1"),
    ({"components": store(replicas=1)}, "spec.components[0].groups[0].replicas", "needs at least 2 of store"),
    (
        {"topology": "single", "components": store(replicas=2)},
        "spec.components[0].groups[0].replicas",
        "needs exactly 1 of store",
    ),
    ({"components": store(storage={"size": "1Gib"})}, "spec.components[0].groups[0].storage.size", "64Mi or 1Gi"),
    (
        {"components": store(resources={"limits": {"memory": "lots"}})},
        "spec.components[0].groups[0].resources.limits.memory",
        "'lots' is not a quantity",
    ),
    (
        {"components": store(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}})},
        "spec.components[0].groups[0].resources.requests.cpu",
        "2 is above the limit 500m",
    ),
    (
        {"components": [{"name": "watch", "groups": [{"name": "w", "storage": {"size": "1Gi"}}]}]},
        "spec.components[0].groups[0].storage",
        "keeps nothing on a volume",
    ),
    ({"components": [*store(), *store()]}, "spec.components[1].name", "already at spec.components[0]"),
    (
        {"components": [{"name": "store", "groups": [{"name": "a"}, {"name": "a"}]}]},
        "spec.components[0].groups[1].name",
        "already at spec.components[0].groups[0]",
    ),
    ({"components": [{"name": "Store"}]}, "spec.components[0].name", "use lower-case letters, digits and dashes"),
    ({"component": []}, "spec.component", "this field does not exist"),
    ({"deletionPolicy": "Keep"}, "spec.deletionPolicy", "'Retain' or 'Delete'"),
    ({"plugin": {"name": "shelf"}}, "spec.plugin.version", "this field is required"),
    ({"plugin": {"name": "shelf", "version": "latest"}}, "spec.plugin.version", "like 1.0.0"),
]


@pytest.mark.parametrize(("spec", "path", "text"), CASES, ids=[f"{path}:{text[:24]}" for _, path, text in CASES])
def test_each_mistake_is_named_with_its_remedy(spec: dict[str, Any], path: str, text: str) -> None:
    found = problems(**spec)
    assert path in found, found
    assert text in found[path]


@pytest.mark.parametrize(
    "text", ["red\n", "\nred", "light\nred", "light\r\nred", "light\tred", "light\0red", "light\u2028red"]
)
def test_a_text_that_is_not_one_line_is_refused_even_by_a_schema_that_takes_any(text: str) -> None:
    """It would end the line of a file, or of a command to the engine, in its middle."""
    colour = {"colour": Parameter.model_validate({"schema": {"type": "string"}})}
    (problem,) = parameter_problems("spec.components[0].config", "store", {"colour": text}, colour)
    assert problem.path == "spec.components[0].config.colour"
    better = " ".join(text.replace("\0", " ").split())
    assert problem.message.startswith(json.dumps(text))
    assert f'has a line break, a tab or another control character; write "{better}", on one line' in problem.message
    assert parameter_problems("", "store", {"colour": better}, colour) == []


def test_replica_bounds_count_all_groups_together() -> None:
    groups = [{"name": "a", "replicas": 1}, {"name": "b", "replicas": 1}]
    assert problems(components=[{"name": "store", "groups": groups}]) == {}


def test_a_number_scaled_below_the_bound_is_said_to_come_from_the_group() -> None:
    recorded = records(wanted(app(components=store())))
    small = recorded.groups["books-store-g"].model_copy(update={"replicas": 1})
    found = problems(
        recorded=type(recorded)(recorded.components, {**recorded.groups, "books-store-g": small}), components=store()
    )
    assert "correct it with kubectl scale" in found["spec.components[0].groups"]


def test_a_derived_name_that_is_too_long_says_which_and_by_how_much() -> None:
    found = problems(name="b" * 45, components=[{"name": "store", "groups": [{"name": "a-long-name", "replicas": 12}]}])
    message = found["spec.components[0].groups[0].name"]
    assert f"{'b' * 45}-store-a-long-name-10" in message
    assert "66 characters; Kubernetes allows 63: save 3" in message


def test_an_app_name_that_no_service_may_have_is_refused() -> None:
    assert "beginning with a letter" in problems(name="my.books")["metadata.name"]


def test_names_that_meet_inside_the_app_are_refused() -> None:
    """``store``/``x-y`` is fine alone; a component's Service and a role's Service of the same name are not."""
    definition = (
        shelf()
        .files["plugin.yaml"]
        .replace("name: watch", "name: store-primary")
        .replace("after: [store]", "after: [store]")
    )
    (problem,) = validate(app(), shelf(plugin_yaml=definition), {})
    assert "would both have the Service 'books-store-primary'" in problem.message


def test_a_broken_template_names_plugin_file_line_and_variable() -> None:
    broken = shelf(shelf_conf_j2="fine\nport {{ prot }}\n")
    (problem,) = validate(app(), broken, {})
    assert problem.path == "spec.plugin"
    assert "plugin shelf 1.0.0, shelf.conf.j2, line 2: 'prot' is undefined" in problem.message


def test_what_cannot_change_after_creation() -> None:
    components = [{"name": "store", "groups": [{"name": "g", "storage": {"size": "2Gi", "storageClassName": "fast"}}]}]
    recorded = records(wanted(app(components=components)))
    assert problems(recorded=recorded, components=components) == {}
    assert "from 'cluster' to 'single'" in problems(recorded=recorded, topology="single")["spec.topology"]
    renamed = [{"name": "store", "groups": [{"name": "h"}]}]
    assert "they are g" in problems(recorded=recorded, components=renamed)["spec.components[0].groups"]
    at = "spec.components[0].groups[0].storage"
    slow = store(storage={"size": "2Gi", "storageClassName": "slow"})
    assert "it is fast" in problems(recorded=recorded, components=slow)[f"{at}.storageClassName"]
    less = store(storage={"size": "1Gi", "storageClassName": "fast"})
    assert "cannot shrink; it has 2Gi" in problems(recorded=recorded, components=less)[f"{at}.size"]
    paged = [{**components[0], "config": {"page-size": 8192}}]
    assert "it is 4096" in problems(recorded=recorded, components=paged)["spec.components[0].config.page-size"]
