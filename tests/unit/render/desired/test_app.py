"""What should run: order, names, ids, configuration; and what a record keeps from changing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from render.desired.app import RecordedState
from tests.unit.render.support import DEFINITION, FILES, app, records, shelf, store, wanted


def test_components_come_in_start_order() -> None:
    assert [c.name for c in wanted().components] == ["store", "watch"]


def test_a_circle_in_the_order_is_an_error() -> None:
    text = FILES["plugin.yaml"].replace(
        "- name: store\n      replicas: 2", "- name: store\n      after: [watch]\n      replicas: 2"
    )
    with pytest.raises(ValueError, match="wait for each other"):
        wanted(bundle=shelf(plugin_yaml=text))


def test_what_the_app_leaves_out_comes_from_the_topology() -> None:
    component = wanted().component("store")
    (group,) = component.groups
    assert (group.name, group.spec.replicas) == ("default", 2)
    assert group.spec.storage is not None
    assert group.spec.storage.size == "1Gi"
    assert wanted().runtime_version == "2"
    assert component.config["threads"] == 2


def test_nodes_are_named_and_numbered_by_group_and_ordinal() -> None:
    groups = [{"name": "z", "replicas": 2}, {"name": "a", "replicas": 1}]
    nodes = wanted(app(components=[{"name": "store", "groups": groups}])).component("store").nodes
    assert {n.name: n.id for n in nodes} == {"books-store-z-0": 2, "books-store-z-1": 4, "books-store-a-0": 1}
    assert (
        wanted(app(components=[{"name": "store", "groups": groups}])).component("store").bootstrap_node == nodes[0].name
    )


def test_only_writable_roles_have_services() -> None:
    assert wanted().component("store").role_services == {"primary": "books-store-primary"}


def test_a_scaled_group_keeps_its_number_where_the_app_is_silent() -> None:
    recorded = records(wanted(app(components=store())))
    scaled = recorded.groups["books-store-g"].model_copy(update={"replicas": 5})
    after = RecordedState(recorded.components, {**recorded.groups, "books-store-g": scaled})
    assert len(wanted(app(components=store()), recorded=after).component("store").nodes) == 5
    assert len(wanted(app(components=store(replicas=3)), recorded=after).component("store").nodes) == 3


def test_a_plugin_or_platform_upgrade_changes_no_pod() -> None:
    recorded = records(wanted())
    changed = FILES["plugin.yaml"].replace('"shelf:2"', '"shelf:2-rebuilt"').replace("user: 1234", "user: 4321")
    changed = changed.replace("timeout: 30", "timeout: 99")
    after = wanted(recorded=recorded, bundle=shelf(plugin_yaml=changed)).component("store").groups[0].spec
    assert after == recorded.groups["books-store-default"]


def test_a_new_runtime_version_takes_everything_anew() -> None:
    recorded = records(wanted(app(runtimeVersion="1")))
    spec = wanted(app(runtimeVersion="2"), recorded=recorded).component("store").groups[0].spec
    assert (spec.image, spec.runtime_version) == ("shelf:2", "2")


def test_the_recorded_bootstrap_node_is_kept() -> None:
    recorded = records(wanted())
    chosen = recorded.components["store"].model_copy(update={"bootstrap_node": "books-store-default-1"})
    after = replace(recorded, components={**recorded.components, "store": chosen})
    assert wanted(recorded=after).component("store").bootstrap_node == "books-store-default-1"


def test_an_app_that_names_no_version_keeps_what_runs_under_a_plugin_with_another_default() -> None:
    silent = wanted(app())
    assert silent.runtime_version == "2"
    newer = shelf(plugin_yaml=DEFINITION.replace('defaultRuntimeVersion: "2"', 'defaultRuntimeVersion: "1"'))
    assert wanted(app(), bundle=newer).runtime_version == "1"
    assert wanted(app(), bundle=newer, recorded=records(silent)).runtime_version == "2"
