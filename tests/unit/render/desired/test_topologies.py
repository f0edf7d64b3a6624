"""What a component is in one topology and not in another; ids of one space; versions of a component's own engine."""

from __future__ import annotations

from typing import Any

import pytest

from render.check.successor import check_successor
from render.manifests.node import stand_in_addresses, template_context
from render.manifests.objects import component_service, node_deployment
from render.plugin.bundle import PluginBundle
from render.plugin.problems import Problem
from render.validation.app import parse_app, validate
from tests.unit.render.support import DEFINITION, app, found_by_lint, manifest, shelf, store, wanted

SINGLE = "- {name: store, replicas: 1, maximum: 1, storage: {size: 1Gi}}"


def other(fields: str) -> str:
    """The definition, with the store of the topology ``single`` so."""
    return DEFINITION.replace(SINGLE, f"- {{name: store, {fields}}}")


def refused(bundle: PluginBundle, **spec: Any) -> list[Problem]:
    parsed, found = parse_app(manifest(**spec))
    return found if parsed is None else validate(parsed, bundle, {})


def test_a_component_has_other_ports_scaling_and_defaults_in_one_topology() -> None:
    fields = "scaling: fixed, ports: [{name: shelf, port: 7100}, {name: peer, port: 7101}], defaults: {threads: 8}"
    bundle = shelf(plugin_yaml=other(fields))
    single = wanted(app(topology="single"), bundle=bundle).component("store")
    cluster = wanted(app(), bundle=bundle).component("store")
    assert [port.port for port in single.definition.ports] == [7100, 7101]
    assert [port.port for port in single.groups[0].spec.ports] == [7100, 7101]
    assert [port.port for port in cluster.definition.ports] == [7000]
    assert (single.definition.scaling, cluster.definition.scaling) == ("fixed", "dynamic")
    assert (single.config["threads"], cluster.config["threads"]) == (8, 2)


def test_a_default_of_a_topology_stands_in_the_place_of_an_expression() -> None:
    bundle = shelf(plugin_yaml=other("defaults: {heap: 1000}"))
    assert wanted(app(topology="single"), bundle=bundle).component("store").config["heap"] == 1000
    assert "heap" not in wanted(app(), bundle=bundle).component("store").config


def test_what_the_app_says_goes_before_a_topologys_default() -> None:
    bundle = shelf(plugin_yaml=other("defaults: {threads: 8}"))
    said = app(topology="single", components=[{"name": "store", "config": {"threads": 3}}])
    assert wanted(said, bundle=bundle).component("store").config["threads"] == 3


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("defaults: {thraeds: 8}", "components[0].defaults.thraeds: component store has no parameter 'thraeds'; did"),
        ("defaults: {threads: 99}", "components[0].defaults.threads: 99 is not allowed; write a whole number from 1"),
        ("ports: [{name: a, port: 1}, {name: a, port: 2}]", "two have the name a; give each its own"),
        ("ports: [{name: a, port: 50052}]", "components[0].ports[0].port: 50052 is the agents' own"),
        ("replicas: 2, odd: true", "components[0].replicas: 2 is even, and odd: true stands beside it"),
    ],
)
def test_a_mistake_in_it_is_told_at_its_field(fields: str, said: str) -> None:
    found = found_by_lint(plugin_yaml=other(fields))
    assert "spec.topologies[1]." in found
    assert said in found


def test_an_even_number_is_refused_where_a_majority_gains_nothing_by_it() -> None:
    bundle = shelf(plugin_yaml=other("odd: true"))
    (problem,) = refused(bundle, topology="single", components=store(replicas=4))
    assert problem.path == "spec.components[0].groups[0].replicas"
    assert "topology single needs an odd number of store, all groups together; there are 4" in problem.message
    assert refused(bundle, topology="single", components=store(replicas=5)) == []


WATCH = "- name: watch\n    image"
SHARED = DEFINITION.replace(WATCH, "- name: watch\n    idBase: 40\n    image")


def test_components_of_one_space_have_ids_of_their_own() -> None:
    of = wanted(bundle=shelf(plugin_yaml=SHARED))
    assert [node.id for node in of.component("store").nodes] == [1, 2]
    assert [node.id for node in of.component("watch").nodes] == [41, 42, 43]


def test_an_app_in_which_two_would_have_one_id_is_refused() -> None:
    bundle = shelf(plugin_yaml=SHARED)
    assert refused(bundle, components=store(replicas=40)) == []
    (problem,) = refused(bundle, components=store(replicas=41))
    assert problem.path == "spec.components[0].groups[0].replicas"
    assert "books-store-g-40 would have the id 41, which is that of books-watch-default-0" in problem.message


def test_a_newer_plugin_that_gives_running_nodes_other_ids_is_refused() -> None:
    newer = shelf(plugin_yaml=SHARED.replace("version: 1.0.0", "version: 1.0.1"))
    (problem,) = check_successor(shelf(), newer)
    assert problem.path == "spec.components[1].idBase"
    assert "shelf 1.0.0 has idBase 0" in problem.message


OWN = DEFINITION.replace('images: {shelf: "shelf:2"}', 'images: {shelf: "shelf:2"}, components: {watch: "1.4"}')


def test_a_component_may_have_a_version_of_its_own_beside_that_of_the_app() -> None:
    of = wanted(app(runtimeVersion="2"), bundle=shelf(plugin_yaml=OWN))
    told = {
        each.name: (each.groups[0].spec.engine_version, each.groups[0].spec.runtime_version) for each in of.components
    }
    assert told == {"store": ("2", "2"), "watch": ("1.4", "2")}


def test_templates_and_tools_see_the_versions_of_all_components() -> None:
    of = wanted(app(runtimeVersion="2"), bundle=shelf(plugin_yaml=OWN))
    watch = of.component("watch")
    seen = template_context(of, watch, watch.nodes[0], addresses=stand_in_addresses(of), bootstrap=None)
    assert (seen["component"]["version"], seen["components"]["store"]["version"]) == ("1.4", "2")
    assert seen["runtimeVersion"] == "2"


def test_pods_are_labelled_with_the_version_of_their_own_engine_and_with_the_apps() -> None:
    of = wanted(app(runtimeVersion="2"), bundle=shelf(plugin_yaml=OWN))
    watch = of.component("watch")
    deployment = node_deployment(of, watch, watch.groups[0], watch.nodes[0])
    for metadata in (deployment["metadata"], deployment["spec"]["template"]["metadata"]):
        assert metadata["labels"]["app.kubernetes.io/version"] == "1.4"
        assert metadata["labels"]["middleware.io/runtime-version"] == "2"
    assert component_service(of, watch)["metadata"]["labels"]["app.kubernetes.io/version"] == "1.4"


def test_a_version_of_a_component_that_is_none_is_told_of() -> None:
    assert "components names wacth, which spec.components does not define" in found_by_lint(
        plugin_yaml=OWN.replace("{watch: ", "{wacth: ")
    )
