"""Several changes of a running App at once: one operation after another, each leaving all else as it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.app import App
from api.group import AgentBundle
from api.operations import OperationType
from render.desired.spec_parts import pod_facts
from tests.unit.activities.support.ledger import NEWER, Ledger
from tests.unit.render.support import app

ORDER = ["UpgradePlugin", "Scale", "Upgrade", "Resize", "Reconfigure"]


def books(
    *,
    plugin: str = "1.0.0",
    version: str | None = "1",
    config: dict[str, Any] | None = None,
    **group: Any,
) -> App:
    """An App with one group of the component ``store``; keywords are the group's fields."""
    written = {"name": "g", "replicas": 2, **group}
    if written["replicas"] is None:
        del written["replicas"]
    return app(
        plugin={"name": "shelf", "version": plugin},
        runtimeVersion=version,
        components=[{"name": "store", "config": config or {}, "groups": [written]}],
    )


EVERYTHING = books(
    plugin=NEWER, version="2", config={"cache-size": "128mb", "threads": 4}, replicas=3, nodeSelector={"disk": "fast"}
)


def test_all_at_once_is_carried_out_part_by_part() -> None:
    ledger = Ledger(books())
    assert ledger.pending() == []
    ledger.app = EVERYTHING
    assert [part.operation for part in ledger.pending()] == ORDER
    for operation in ORDER:
        assert ledger.pending()[0].operation == operation
        ledger.carry_out(OperationType(operation))
    assert ledger.pending() == []
    runs = ledger.runs()
    store = runs.component("store")
    assert (runs.bundle.version, runs.runtime_version) == (NEWER, "2")
    assert [node.name for node in store.nodes] == ["books-store-g-0", "books-store-g-1", "books-store-g-2"]
    assert store.group("g").spec.node_selector == {"disk": "fast"}
    assert store.config["cache-size"] == "128mb"


def test_each_part_says_what_differs() -> None:
    ledger = Ledger(books())
    ledger.app = EVERYTHING
    assert {str(part.operation): part.sentence for part in ledger.pending()} == {
        "UpgradePlugin": "plugin 1.0.0 → 1.1.0",
        "Scale": "books-store-g 2 → 3 nodes",
        "Upgrade": "1 → 2",
        "Resize": "books-store-g: nodeSelector",
        "Reconfigure": "store: cache-size, threads",
    }


@pytest.mark.parametrize("operation", [*ORDER, "Repair", "Restart", "Switchover"])
def test_an_operation_leaves_all_other_parts_as_they_run(operation: str) -> None:
    """A Repair, a Restart or a Switchover beside a newer spec carries out none of it."""
    ledger = Ledger(books())
    before = ledger.runs()
    ledger.app = EVERYTHING
    now = ledger.stage(OperationType(operation), extend=operation == "Scale")
    store, was = now.component("store"), before.component("store")
    group, former = store.group("g"), was.group("g")
    assert (now.bundle.version != before.bundle.version) == (operation == "UpgradePlugin")
    assert (group.nodes != former.nodes) == (operation == "Scale")
    assert (group.spec.image != former.spec.image) == (operation == "Upgrade")
    assert (group.spec.node_selector != former.spec.node_selector) == (operation == "Resize")
    assert (store.config != was.config) == (operation == "Reconfigure")
    assert now.component("watch").nodes == before.component("watch").nodes


def test_a_first_deploy_is_of_the_whole_spec() -> None:
    ledger = Ledger(EVERYTHING, runs=False)
    assert ledger.stage(OperationType.DEPLOY) == ledger.whole()
    assert ledger.live.deployed is None


def test_a_parameter_that_the_newer_plugin_has_no_more_is_left_out() -> None:
    """Else a Repair would write a line into the engine's file that the plugin does not vouch for."""
    ledger = Ledger(books(config={"threads": 4}))
    known = ledger.state.components["store"]
    former = known.model_copy(update={"config": {**known.config, "bygone": 1}})
    ledger.state = replace(ledger.state, components={**ledger.state.components, "store": former})
    assert "bygone" not in ledger.runs().component("store").config


def test_in_mid_upgrade_a_nodes_files_are_of_the_version_that_it_runs() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    ledger.roll("books-store-g-1", "2")
    for operation in (OperationType.UPGRADE, OperationType.REPAIR):
        nodes = ledger.stage(operation).component("store").nodes
        assert [node.runtime_version for node in nodes] == ["1", "2"]
    assert ledger.deployed.versions["books-store-g-0"] == "1"
    assert ledger.pending() == []  # the record is new already; which nodes are not of it is for ``planRoll`` to say


def test_nodes_that_come_in_mid_upgrade_are_of_the_newer_version() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    ledger.app = books(version="2", replicas=3)
    assert [part.operation for part in ledger.pending()] == ["Scale"]
    nodes = ledger.prepare(OperationType.SCALE).component("store").nodes
    assert [node.runtime_version for node in nodes] == ["1", "1", "2"]


# Numbers of nodes


def test_kubectl_scale_counts_where_the_app_is_silent() -> None:
    ledger = Ledger(books(replicas=None))
    ledger.groups["books-store-g"]["spec"]["replicas"] = 4
    (part,) = ledger.pending()
    assert (part.operation, part.sentence) == ("Scale", "books-store-g 2 → 4 nodes")
    assert len(ledger.runs().component("store").nodes) == 2  # until the Scale has brought them
    ledger.carry_out(OperationType.SCALE)
    assert len(ledger.runs().component("store").nodes) == 4
    assert ledger.pending() == []


def test_kubectl_scale_in_the_middle_of_a_scale_is_for_the_next_one() -> None:
    ledger = Ledger(books(replicas=None))
    ledger.groups["books-store-g"]["spec"]["replicas"] = 3
    ledger.prepare(OperationType.SCALE)
    ledger.groups["books-store-g"]["spec"]["replicas"] = 5
    assert len(ledger.stage(OperationType.SCALE).component("store").nodes) == 3
    assert [part.operation for part in ledger.pending()] == ["Scale"]


def test_kubectl_scale_counts_for_nothing_where_the_app_says_a_number() -> None:
    ledger = Ledger(books(replicas=2))
    ledger.groups["books-store-g"]["spec"]["replicas"] = 4
    assert ledger.pending() == []
    assert ledger.runs().component("store").group("g").spec.replicas == 2


def test_one_chosen_node_is_removed_by_reserving_its_ordinal() -> None:
    ledger = Ledger(books(replicas=3))
    ledger.app = books(replicas=2, reserveOrdinals=[1])
    assert [part.operation for part in ledger.pending()] == ["Scale"]
    ledger.carry_out(OperationType.SCALE)
    assert [node.name for node in ledger.runs().component("store").nodes] == ["books-store-g-0", "books-store-g-2"]
    assert ledger.pending() == []


def test_an_ordinal_reserved_without_a_smaller_number_replaces_the_node() -> None:
    ledger = Ledger(books(replicas=2))
    ledger.app = books(replicas=2, reserveOrdinals=[0])
    (part,) = ledger.pending()
    assert (part.operation, part.sentence) == ("Scale", "books-store-g ordinals 0, 1 → 1, 2 nodes")
    present = [node.ordinal for node in ledger.stage(OperationType.SCALE, extend=True).component("store").nodes]
    assert present == [0, 1, 2], "the new node comes before the old one goes"


def test_an_interrupted_removal_is_found_again() -> None:
    ledger = Ledger(books(replicas=3))
    ledger.app = books(replicas=2)
    ledger.prepare(OperationType.SCALE)
    ledger.begin_removal("books-store-g-2")
    (part,) = ledger.pending()
    assert (part.operation, part.sentence) == ("Scale", "still to be removed: books-store-g-2")
    assert [node.ordinal for node in ledger.runs().component("store").nodes] == [0, 1], "a Repair brings nothing back"
    ledger.carry_out(OperationType.SCALE)
    assert ledger.pending() == []
    assert ledger.nodes("deleting") == []


def test_a_node_that_was_leaving_and_is_wanted_again_is_added() -> None:
    ledger = Ledger(books(replicas=3))
    ledger.app = books(replicas=2)
    ledger.prepare(OperationType.SCALE)
    ledger.begin_removal("books-store-g-2")
    ledger.app = books(replicas=3)
    (part,) = ledger.pending()
    assert (part.operation, part.sentence) == ("Scale", "books-store-g 2 → 3 nodes")
    ledger.prepare(OperationType.SCALE)
    assert (ledger.nodes("adding"), ledger.nodes("deleting")) == (["books-store-g-2"], [])


def test_nodes_on_their_way_in_are_removed_where_they_are_wanted_no_more() -> None:
    ledger = Ledger(books(replicas=2))
    ledger.app = books(replicas=4)
    ledger.prepare(OperationType.SCALE)
    assert ledger.nodes("adding") == ["books-store-g-2", "books-store-g-3"]
    ledger.app = books(replicas=2)
    assert [part.operation for part in ledger.pending()] == ["Scale"]
    ledger.carry_out(OperationType.SCALE)
    assert len(ledger.runs().component("store").nodes) == 2
    assert ledger.pending() == []


def test_an_interrupted_scale_out_is_found_again() -> None:
    ledger = Ledger(books(replicas=2))
    ledger.app = books(replicas=3)
    ledger.prepare(OperationType.SCALE)
    ledger.app = books(replicas=3, config={"threads": 4})  # what interrupts it
    assert [part.operation for part in ledger.pending()] == ["Scale", "Reconfigure"]


# What no operation is needed for


def test_a_larger_volume_is_a_resize_that_rolls_no_node() -> None:
    ledger = Ledger(books(storage={"size": "1Gi"}))
    before = ledger.runs().component("store").group("g").spec
    ledger.app = books(storage={"size": "2Gi"})
    (part,) = ledger.pending()
    assert (part.operation, part.sentence) == ("Resize", "books-store-g: storage")
    ledger.carry_out(OperationType.RESIZE)
    now = ledger.runs().component("store").group("g").spec
    assert now.storage != before.storage
    assert pod_facts(now) == pod_facts(before)


@pytest.mark.parametrize(
    "change",
    [
        {"nodeSelector": {"disk": "fast"}},
        {"resources": {"limits": {"memory": "1Gi"}}},
        {"tolerations": [{"key": "dedicated", "operator": "Exists"}]},
        {"affinity": {"podAntiAffinity": {}}},
        {"topologySpreadConstraints": [{"maxSkew": 1}]},
    ],
)
def test_whatever_a_pod_is_made_of_is_a_resize_that_rolls_its_nodes(change: dict[str, Any]) -> None:
    ledger = Ledger(books())
    before = ledger.runs().component("store").group("g").spec
    ledger.app = books(**change)
    (part,) = ledger.pending()
    assert (part.operation, part.sentence) == ("Resize", f"books-store-g: {next(iter(change))}")
    ledger.carry_out(OperationType.RESIZE)
    assert pod_facts(ledger.runs().component("store").group("g").spec) != pod_facts(before)


def test_a_newer_agent_image_rolls_no_node() -> None:
    spec = Ledger(books()).runs().component("store").group("g").spec
    assert pod_facts(spec.model_copy(update={"agent": AgentBundle(image="agent:2")})) == pod_facts(spec)


def test_how_a_group_is_rolled_may_change_without_any_operation() -> None:
    ledger = Ledger(books())
    ledger.app = books(rollingUpdate={"maxUnavailable": 2})
    assert ledger.pending() == []
    assert ledger.runs().component("store").group("g").spec.rolling_update.max_unavailable == 2


# Whatever is changed

specs = st.builds(
    books,
    plugin=st.sampled_from(["1.0.0", NEWER]),
    version=st.sampled_from(["1", "2"]),
    config=st.dictionaries(st.sampled_from(["threads"]), st.integers(1, 4)),
    replicas=st.none() | st.integers(2, 4),
    reserveOrdinals=st.lists(st.integers(0, 4), max_size=3),
    nodeSelector=st.dictionaries(st.just("disk"), st.sampled_from(["fast", "slow"])),
    resources=st.none() | st.just({"limits": {"memory": "1Gi"}}),
    storage=st.none() | st.sampled_from([{"size": "1Gi"}, {"size": "2Gi"}]),
)


@settings(max_examples=50, deadline=None)
@given(specs, specs)
def test_part_by_part_every_change_comes_to_an_end(before: App, after: App) -> None:
    ledger = Ledger(before)
    assert ledger.pending() == []
    ledger.app = after
    done = ledger.settle()
    assert done == [operation for operation in ORDER if operation in done], "each part once, and in order"
    runs, whole = ledger.runs(), ledger.whole()
    assert (runs.bundle.version, runs.runtime_version) == (after.spec.plugin.version, after.spec.runtime_version)
    assert runs.components == whole.components


@settings(max_examples=50, deadline=None)
@given(specs, specs, specs, st.integers(0, 4))
def test_a_change_of_mind_in_the_middle_comes_to_an_end_too(first: App, second: App, third: App, steps: int) -> None:
    ledger = Ledger(first)
    ledger.app = second
    for part in ledger.pending()[:steps]:
        ledger.carry_out(part.operation)
    if ledger.pending():
        ledger.prepare(ledger.pending()[0].operation)  # and then it is interrupted
    ledger.app = third
    ledger.settle()
    ordinals = {
        group.resource_name: tuple(group.spec.ordinals)
        for component in ledger.whole().components
        for group in component.groups
    }
    assert ledger.deployed.ordinals == ordinals
    assert ledger.nodes("deleting") == []
