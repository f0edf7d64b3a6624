"""What cannot be meant, and what contradicts itself, is refused with the figures before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest

from api.app import App
from api.group import AgentBundle
from render.desired.app import desired
from render.manifests.node import node_config, stand_in_addresses, template_context
from render.plugin.bundle import PluginBundle, load_folder
from render.plugin.byte_sizes import in_bytes
from render.validation.app import validate
from tests.unit.plugins.support import PLUGINS
from tests.unit.render.support import DEFINITION, PARAMETERS, found_by_lint, problems, shelf, store

GROUP = "spec.components[0].groups[0]"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("limits.memory", "512m", "512m is 0.512 bytes; did you mean 512Mi?"),
        ("requests.memory", "512m", "did you mean 512Mi?"),
        ("limits.memory", "512", "512 is 512 bytes; did you mean 512Mi?"),
        ("limits.memory", "4k", "4k is 4000 bytes; did you mean 4Mi?"),
        ("limits.ephemeral-storage", "1m", "did you mean 1Mi?"),
        ("limits.memory", "0", "a limit of 0"),
        ("limits.cpu", "500Mi", "500Mi is 524288000 cores; did you mean 500m?"),
        ("requests.cpu", "500Mi", "did you mean 500m?"),
        ("requests.cpu", "2k", "2k is 2000 cores; did you mean 2m?"),
        ("limits.cpu", "0", "a limit of 0"),
        ("limits.memory", "4Ei", "more than any machine has"),
    ],
)
def test_an_amount_that_cannot_be_meant_is_refused(field: str, value: str, said: str) -> None:
    kind, name = field.split(".", 1)
    found = problems(components=store(replicas=2, resources={kind: {name: value}}))
    assert said in found[f"{GROUP}.resources.{field}"]


@pytest.mark.parametrize("amounts", [{"cpu": "0"}, {"cpu": "500m", "memory": "64Mi"}, {"cpu": 2, "memory": "1.5Gi"}])
def test_what_can_be_meant_is_taken(amounts: dict[str, Any]) -> None:
    assert problems(components=store(replicas=2, resources={"requests": amounts})) == {}


def test_a_request_above_the_limit_is_refused_with_both() -> None:
    amounts = {"requests": {"memory": "1Gi"}, "limits": {"memory": "512Mi"}}
    found = problems(components=store(replicas=2, resources=amounts))
    assert found == {
        f"{GROUP}.resources.requests.memory": "1Gi is above the limit 512Mi; lower it or raise limits.memory"
    }


@pytest.mark.parametrize(
    ("size", "meant"), [("10m", "did you mean 10Mi?"), ("500", "did you mean 500Mi?"), ("0", "1Gi")]
)
def test_a_volume_of_nothing_is_refused(size: str, meant: str) -> None:
    assert meant in problems(components=store(replicas=2, storage={"size": size}))[f"{GROUP}.storage.size"]


def test_a_plugin_with_such_an_amount_is_not_installed() -> None:
    found = found_by_lint(plugin_yaml=DEFINITION.replace("memory: 256Mi", "memory: 256m"))
    assert "did you mean 256Mi?" in found
    assert "plugin.yaml:19:66: spec.topologies[0].components[1].resources.limits.memory: " in found


# What a plugin declares of its parameters


def redis() -> PluginBundle:
    return load_folder(PLUGINS / "redis")


def redis_problems(
    config: dict[str, Any], *, nodes: int = 2, bundle: PluginBundle | None = None, **resources: Any
) -> dict[str, str]:
    group: dict[str, Any] = {"name": "g", "replicas": nodes}
    group |= {"resources": resources} if resources else {}
    bundle = bundle or redis()
    spec = {
        "plugin": {"name": "redis", "version": bundle.version},
        "topology": "replication",
        "components": [{"name": "redis-server", "config": config, "groups": [group]}],
    }
    app = App.model_validate({"metadata": {"name": "orders", "namespace": "shop", "uid": "u"}, "spec": spec})
    return {each.path: each.message for each in validate(app, bundle, {})}


@pytest.mark.parametrize("folder", ["redis", "redis-1.1"])
def test_more_data_than_the_memory_limit_is_refused_with_both_figures(folder: str) -> None:
    bundle = load_folder(PLUGINS / folder)
    found = redis_problems({"maxmemory": "2gb"}, bundle=bundle, limits={"memory": "256Mi"})
    message = found["spec.components[0].config.maxmemory"]
    assert message.startswith("2gb of data leave nothing of the memory limit, which is 256Mi")
    assert "write at most 144mb" in message
    assert redis_problems({"maxmemory": "144mb"}, bundle=bundle, limits={"memory": "256Mi"}) == {}
    assert redis_problems({"maxmemory": "2gb"}, bundle=bundle, requests={"memory": "256Mi"}) == {}


def test_more_replicas_to_write_than_there_are_is_refused_with_both_figures() -> None:
    path = "spec.components[0].config.min-replicas-to-write"
    assert redis_problems({"min-replicas-to-write": 2}, nodes=3) == {}
    message = redis_problems({"min-replicas-to-write": 2}, nodes=2)[path]
    assert message.startswith("2 replicas are more than the 1 that 2 nodes have")


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"limits": {"memory": "512Mi"}}, 336 * 2**20),
        ({"limits": {"memory": "512Mi"}, "requests": {"memory": "64Mi"}}, 336 * 2**20),
        ({"requests": {"memory": "64Mi"}}, 48 * 2**20),
        ({"requests": {"cpu": "50m"}}, 336 * 2**20),
    ],
)
def test_the_default_of_the_data_size_is_of_the_limit_else_the_request_else_the_plugins(
    resources: dict[str, Any], expected: int
) -> None:
    group = {"name": "g", "replicas": 2, "resources": resources}
    spec = {
        "plugin": {"name": "redis", "version": "1.0.0"},
        "topology": "replication",
        "components": [{"name": "redis-server", "groups": [group]}],
    }
    app = App.model_validate({"metadata": {"name": "orders", "namespace": "shop", "uid": "u"}, "spec": spec})
    wanted = desired(app, redis(), agent=AgentBundle(image=""))
    component = wanted.component("redis-server")
    addresses = stand_in_addresses(wanted)
    context = template_context(wanted, component, component.nodes[0], addresses=addresses, bootstrap=None)
    assert node_config(wanted, component, context)["maxmemory"] == expected


CHECKED = PARAMETERS + (
    'slots: {schema: {type: integer}, default: 1, checks: [{that: "value <= config.threads * 2", '
    'message: "{{ value }} slots are above {{ config.threads * 2 }}"}]}\n'
)


def test_a_plugins_own_check_is_told_in_its_own_words() -> None:
    bundle = shelf(parameters_yaml=CHECKED)
    spec = {"plugin": {"name": "shelf", "version": "1.0.0"}, "components": [{"name": "store", "config": {"slots": 9}}]}
    app = App.model_validate({"metadata": {"name": "books", "namespace": "library", "uid": "u"}, "spec": spec})
    (problem,) = validate(app, bundle, {})
    assert (problem.path, problem.message) == ("spec.components[0].config.slots", "9 slots are above 4")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CHECKED.replace("default: 1", "default: 8"), "the default fails: 8 slots are above 4"),
        (
            CHECKED.replace('config.threads * 2"', 'config.thread * 2"'),
            "parameters.yaml:11:79: slots.checks[0].that: config has no 'thread'; did you mean threads?",
        ),
    ],
)
def test_a_check_that_cannot_hold_or_be_read_keeps_the_plugin_from_being_installed(text: str, said: str) -> None:
    assert said in found_by_lint(parameters_yaml=text)


@pytest.mark.parametrize(
    ("text", "letter", "expected"),
    [
        ("64", 1024, 64),
        ("64k", 1000, 64_000),
        ("64kb", 1000, 65_536),
        ("1G", 1024, 2**30),
        ("2Mi", 1000, 2**21),
        ("3b", 1, 3),
    ],
)
def test_amounts_of_bytes_are_read_as_the_engine_reads_them(text: str, letter: int, expected: int) -> None:
    assert in_bytes(text, letter) == expected


@pytest.mark.parametrize("text", ["1.5gb", "much", "64 kilo", ""])
def test_what_is_no_whole_amount_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no amount of bytes"):
        in_bytes(text)
