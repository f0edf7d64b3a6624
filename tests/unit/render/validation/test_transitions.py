"""A change that cannot be carried out is refused by field, with what would do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from api.app import App
from api.group import AgentBundle
from render.desired.app import desired
from render.desired.spec_parts import Deployed
from render.plugin.bundle import PluginBundle
from render.validation.transitions import group_path, transition_problems
from tests.unit.render.support import DEFINITION, PARAMETERS, app, records, shelf, store, wanted

THREE = '  - {version: "2", images: {shelf: "shelf:2"}}\n  - {version: "3", images: {shelf: "shelf:3"}%s}\n'
INSTALLED = {"1.0.0": ["1", "2"], "1.1.0": ["2"], "1.10.0": ["1", "2"], "1.9.0": ["1"]}


def plugin(*, version: str = "1.0.0", third: str | None = None, watch: str = "") -> PluginBundle:
    """``third``: what else is said of a version 3 that the plugin has then. ``watch``: more on that component."""
    text = DEFINITION.replace("name: shelf, version: 1.0.0", f"name: shelf, version: {version}")
    if third is not None:
        text = text.replace('  - {version: "2", images: {shelf: "shelf:2"}}\n', THREE % third)
    return shelf(plugin_yaml=text.replace("  - name: watch\n", f"  - name: watch\n{watch}"))


def books(*, version: str = "1", plugin_version: str = "1.0.0", **group: Any) -> App:
    return app(
        plugin={"name": "shelf", "version": plugin_version},
        runtimeVersion=version,
        components=store(**{"replicas": 2, **group}),
    )


def deployed(of: App) -> Deployed:
    runs = desired(of, shelf(), agent=AgentBundle(image="agent:1"))
    return Deployed(
        plugin_version="1.0.0",
        runtime_version=runs.runtime_version,
        base_version=runs.runtime_version,
        recorded=records(runs),
        ordinals={group.resource_name: tuple(group.spec.ordinals) for c in runs.components for group in c.groups},
    )


def refused(
    before: App | Deployed,
    after: App,
    bundle: PluginBundle | None = None,
    expandable: set[str] | None = None,
) -> dict[str, str]:
    """Path -> message."""
    runs = before if isinstance(before, Deployed) else deployed(before)
    want = desired(after, bundle or shelf(), agent=AgentBundle(image="agent:1"), recorded=runs.recorded)
    found = transition_problems(after, want, runs, installed=INSTALLED, expandable=expandable)
    return {problem.path: problem.message for problem in found}


# Versions of the engine


def test_to_a_higher_version_nothing_stands_in_the_way() -> None:
    assert refused(books(version="1"), books(version="2")) == {}
    assert refused(books(version="1"), books(version="1")) == {}


def test_back_to_a_lower_version_is_refused_with_the_one_to_keep() -> None:
    assert refused(books(version="2"), books(version="1")) == {
        "spec.runtimeVersion": "cannot go back from 2 to 1: the older version may not read the newer one's data; keep 2"
    }


def test_back_is_possible_where_the_plugin_says_so() -> None:
    bundle = shelf(plugin_yaml=DEFINITION.replace('"shelf:1"}}', '"shelf:1"}, upgradesFrom: ["2"]}'))
    assert refused(books(version="2"), books(version="1"), bundle) == {}


def test_a_version_that_must_not_be_left_out_is_named() -> None:
    bundle = plugin(third=', upgradesFrom: ["2"]')
    assert refused(books(version="1"), books(version="3"), bundle) == {
        "spec.runtimeVersion": "cannot go from 1 to 3 at once; upgrade to 2 first"
    }
    assert refused(books(version="2"), books(version="3"), bundle) == {}
    assert refused(books(version="1"), books(version="3"), plugin(third="")) == {}


def test_of_the_versions_on_the_way_only_those_that_lead_forward_are_named() -> None:
    bundle = plugin(third=', upgradesFrom: ["1"]')
    assert refused(books(version="2"), books(version="3"), bundle) == {
        "spec.runtimeVersion": "cannot go from 2 to 3 at once; keep 2"
    }


def test_versions_are_numbers_not_texts() -> None:
    bundle = shelf(
        plugin_yaml=DEFINITION.replace('version: "2"', 'version: "10"').replace('Version: "2"', 'Version: "10"')
    )
    assert refused(books(version="1"), books(version="10"), bundle) == {}


def test_a_change_of_mind_in_mid_upgrade_is_no_downgrade() -> None:
    before = deployed(books(version="1"))
    rolling = Deployed(
        before.plugin_version,
        runtime_version="2",
        base_version="1",
        recorded=records(wanted(books(version="2"))),
        ordinals=before.ordinals,
    )
    assert refused(rolling, books(version="1")) == {}
    assert refused(rolling, books(version="2")) == {}


# Versions of the plugin


def test_a_plugin_that_does_not_know_the_running_engine_is_refused_with_those_that_do() -> None:
    bundle = shelf(
        plugin_yaml=DEFINITION.replace("version: 1.0.0}", "version: 1.1.0}").replace(
            '  - {version: "1", images: {shelf: "shelf:1"}}\n', ""
        )
    )
    message = refused(books(version="1"), books(version="2", plugin_version="1.1.0"), bundle)["spec.plugin.version"]
    assert message == (
        "shelf 1.1.0 does not support the running version 1; installed versions that do: 1.0.0, 1.9.0, 1.10.0"
    )


def test_a_plugin_and_a_version_that_only_it_knows_may_change_at_once() -> None:
    bundle = plugin(version="1.1.0", third="")
    assert refused(books(version="1"), books(version="3", plugin_version="1.1.0"), bundle) == {}


def test_back_to_an_older_plugin_is_the_same() -> None:
    assert refused(books(version="1"), books(version="1", plugin_version="0.9.0"), plugin(version="0.9.0")) == {}


# Numbers of nodes


def scaled(bundle: PluginBundle, replicas: int) -> dict[str, str]:
    after = app(
        runtimeVersion="1", components=[{"name": "watch", "groups": [{"name": "default", "replicas": replicas}]}]
    )
    return refused(app(runtimeVersion="1"), after, bundle)


def test_members_that_are_decided_at_the_first_deploy_are_kept() -> None:
    fixed = plugin(watch="    scaling: fixed\n")
    assert scaled(fixed, 5) == {
        "spec.components[0].groups[0].replicas": "the members of watch are decided at the first deploy; keep 3 nodes"
    }
    assert scaled(fixed, 3) == {}
    assert scaled(shelf(), 5) == {}


def test_nor_is_one_of_them_replaced() -> None:
    group = {"name": "default", "replicas": 3, "reserveOrdinals": [1]}
    after = app(runtimeVersion="1", components=[{"name": "watch", "groups": [group]}])
    assert "decided at the first deploy" in str(
        refused(app(runtimeVersion="1"), after, plugin(watch="    scaling: fixed\n"))
    )


# Volumes


def test_a_volume_that_cannot_grow_is_refused_with_both_ways_out() -> None:
    before = books(storage={"size": "1Gi", "storageClassName": "slow"})
    after = books(storage={"size": "2Gi", "storageClassName": "slow"})
    assert refused(before, after, expandable=set()) == {
        "spec.components[0].groups[0].storage.size": (
            "volumes of StorageClass slow cannot grow (allowVolumeExpansion is not true); keep 1Gi, "
            "or make a new App and move the data"
        )
    }
    assert refused(before, after, expandable={"books-store-g"}) == {}


def test_the_default_class_is_named_as_such() -> None:
    found = refused(books(storage={"size": "1Gi"}), books(storage={"size": "2Gi"}), expandable=set())
    assert "the cluster's default" in found["spec.components[0].groups[0].storage.size"]


def test_a_volume_that_keeps_its_size_needs_no_class_that_grows() -> None:
    before, after = books(storage={"size": "1Gi"}), books(storage={"size": "1024Mi"})
    assert refused(before, after, expandable=set()) == {}
    assert refused(before, after) == {}


# All together


def test_everything_that_is_wrong_is_told_at_once() -> None:
    before = books(version="2", storage={"size": "1Gi"})
    after = books(version="1", storage={"size": "2Gi"})
    assert set(refused(before, after, expandable=set())) == {
        "spec.runtimeVersion",
        "spec.components[0].groups[0].storage.size",
    }


def test_a_group_is_named_where_a_person_wrote_it_or_would_write_it() -> None:
    of = app(components=[{"name": "watch"}, {"name": "store", "groups": [{"name": "a"}, {"name": "b"}]}])
    assert group_path(of, "store", "b") == "spec.components[1].groups[1]"
    assert group_path(of, "watch", "default") == "spec.components[0].groups[default]"
    assert group_path(app(), "store", "default") == "spec.components[store].groups[default]"


# Parameters that go with the number of nodes and their size

COPIES = (
    'copies: {schema: {type: integer}, default: 0, checks: [{that: "value < component.nodes | length", '
    'message: "{{ value }} copies of {{ component.nodes | length }} nodes"}]}\n'
)


def test_a_parameter_that_runs_and_does_not_go_with_fewer_nodes_is_changed_first() -> None:
    """Nodes go before parameters change: in between a primary would refuse every write."""
    bundle = shelf(parameters_yaml=PARAMETERS + COPIES)

    def of(replicas: int, copies: int) -> App:
        components = [{**store(replicas=replicas)[0], "config": {"copies": copies}}]
        return app(runtimeVersion="1", components=components)

    before = desired(of(3, 2), bundle, agent=AgentBundle(image="agent:1"))
    runs = replace(
        deployed(of(3, 0)),
        recorded=records(before),
        ordinals={group.resource_name: tuple(group.spec.ordinals) for c in before.components for group in c.groups},
    )
    assert refused(runs, of(2, 1), bundle) == {
        "spec.components[0].config.copies": "runs with a value that does not go with the other changes, which come "
        "first: 2 copies of 2 nodes. Change copies alone, then the rest"
    }
    assert refused(runs, of(3, 1), bundle) == {}
    assert refused(runs, of(4, 3), bundle) == {}
