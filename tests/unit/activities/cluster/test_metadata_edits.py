"""What the metadata notes of nodes and of the record, and what it gives back after an abort."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from activities.cluster import metadata_edits
from api.app import App
from api.operations import OperationType
from tests.unit.activities.support.ledger import UID, Ledger
from tests.unit.render.support import app, store

NODE = "books-store-g-0"


def books(*, version: str = "1", **group: Any) -> App:
    return app(runtimeVersion=version, components=store(**{"replicas": 2, **group}))


def record(ledger: Ledger) -> dict[str, Any]:
    part: dict[str, Any] = ledger.metadata["record"]
    return part


def image(part: dict[str, Any]) -> str:
    return str(part["groups"]["books-store-g"]["image"])


# basic


def test_the_time_of_the_last_change_moves_only_with_a_change() -> None:
    ledger = Ledger(books())
    basic = {**ledger.metadata["basic"], "updated": "then"}
    assert metadata_edits.basic(basic, ledger.runs(), "now") == basic
    ledger.app = books(version="2")
    later = metadata_edits.basic(basic, ledger.stage(OperationType.UPGRADE), "now")
    assert (later["runtimeVersion"], later["updated"], later["created"]) == ("2", "now", basic["created"])


def test_a_new_app_of_the_name_has_nothing_of_the_former_one() -> None:
    ledger = Ledger(books())
    former = {**ledger.metadata["basic"], "uid": "another", "deployed": "hash"}
    assert "deployed" not in metadata_edits.basic(former, ledger.runs(), "now")
    strange = {**record(ledger), "uid": "another", "previous": {"groups": {}, "runtimeVersion": "0"}}
    assert "previous" not in metadata_edits.record(strange, ledger.runs(), OperationType.DEPLOY)


# nodes


def test_a_node_keeps_its_version_when_an_operation_begins() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2", replicas=3)
    ledger.prepare(OperationType.UPGRADE)
    assert {node["name"]: node["version"] for node in ledger.metadata["nodes"]["normal"]}[NODE] == "1"
    ledger.roll(NODE, "2")
    ledger.note_normal(ledger.stage(OperationType.UPGRADE))
    versions = {node["name"]: node["version"] for node in ledger.metadata["nodes"]["normal"]}
    assert (versions[NODE], versions["books-store-g-1"]) == ("2", "1")


def test_what_a_node_runs_is_not_what_the_spec_asks_for() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    noted = metadata_edits.adding(ledger.metadata["nodes"], ledger.whole())
    assert {node["version"] for node in noted["normal"]} == {"1"}


def test_nodes_noted_by_a_platform_without_versions_get_theirs() -> None:
    ledger = Ledger(books())
    old = copy.deepcopy(ledger.metadata["nodes"])
    for node in old["normal"]:
        del node["version"]
    assert {node["version"] for node in metadata_edits.adding(old, ledger.runs())["normal"]} == {"1"}


def test_a_node_is_in_one_list_at_a_time() -> None:
    ledger = Ledger(books())
    ledger.app = books(replicas=3)
    ledger.prepare(OperationType.SCALE)
    assert ledger.nodes("adding") == ["books-store-g-2"]
    ledger.note_normal(ledger.stage(OperationType.SCALE))
    assert (ledger.nodes("adding"), "books-store-g-2" in ledger.nodes("normal")) == ([], True)
    ledger.begin_removal("books-store-g-2")
    ledger.begin_removal("books-store-g-2")  # the step is repeated
    assert (ledger.nodes("deleting"), "books-store-g-2" in ledger.nodes("normal")) == (["books-store-g-2"], False)
    ledger.end_removal("books-store-g-2")
    assert ledger.nodes("deleting") == []


def test_one_component_becoming_ready_says_nothing_of_the_others() -> None:
    ledger = Ledger(books(), runs=False)
    want = ledger.prepare(OperationType.DEPLOY)
    ready = metadata_edits.normal(ledger.metadata["nodes"], want.component("store"))
    assert [node["name"] for node in ready["normal"]] == ["books-store-g-0", "books-store-g-1"]
    assert {node["component"] for node in ready["adding"]} == {"watch"}


def test_spoiled_metadata_is_written_anew() -> None:
    ledger = Ledger(books())
    broken: list[Any] = [None, "text", 5, []]
    for spoiled in broken:
        want = ledger.runs()
        assert [node["name"] for node in metadata_edits.adding(spoiled, want)["adding"]] == [
            node.name for node in want.nodes
        ]
        assert metadata_edits.record(spoiled, want, OperationType.REPAIR)["uid"] == UID
        assert metadata_edits.basic(spoiled, want, "now")["pluginVersion"] == "1.0.0"
        assert metadata_edits.restored(spoiled) == metadata_edits.settled(spoiled) == spoiled


# record


def test_what_to_go_back_to_is_noted_once_and_given_back() -> None:
    ledger = Ledger(books())
    before = copy.deepcopy(record(ledger))
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    assert (image(record(ledger)), image(record(ledger)["previous"])) == ("shelf:2", "shelf:1")
    ledger.prepare(OperationType.UPGRADE)  # a worker died, the operation began again
    assert image(record(ledger)["previous"]) == "shelf:1"
    restored = metadata_edits.restored(record(ledger))
    assert (restored["groups"], restored["runtimeVersion"]) == (before["groups"], "1")
    assert "previous" not in restored


def test_a_change_of_mind_during_a_resize_still_goes_back_to_what_ran_before() -> None:
    ledger = Ledger(books())
    before = record(ledger)["groups"]
    for disk in ("fast", "slow"):
        ledger.app = books(nodeSelector={"disk": disk})
        ledger.prepare(OperationType.RESIZE)
    assert metadata_edits.restored(record(ledger))["groups"] == before


def test_the_way_back_is_open_until_the_primary_runs_the_new_version() -> None:
    ledger = Ledger(books())
    assert ledger.deployed.base_version == "1"
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    assert (ledger.deployed.runtime_version, ledger.deployed.base_version) == ("2", "1")
    ledger.metadata["record"] = metadata_edits.final(record(ledger), "1")
    assert ledger.deployed.base_version == "1", "the role went to a node that was not upgraded yet"
    ledger.metadata["record"] = metadata_edits.final(record(ledger), "2")
    assert ledger.deployed.base_version == "2"
    ledger.prepare(OperationType.UPGRADE)  # it begins again, and is still final
    assert ledger.deployed.base_version == "2"
    ledger.metadata["record"] = metadata_edits.reopened(record(ledger))
    assert ledger.deployed.base_version == "1", "the role did not go there after all"


def test_an_upgrade_that_overtakes_one_without_a_way_back_goes_back_to_where_that_had_come() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    ledger.metadata["record"] = metadata_edits.final(record(ledger), "2")
    of_second = record(ledger)["groups"]
    ledger.app = books(version="3")
    ledger.prepare(OperationType.UPGRADE)
    assert (ledger.deployed.runtime_version, ledger.deployed.base_version) == ("3", "2")
    restored = metadata_edits.restored(record(ledger))
    assert (restored["groups"], restored["runtimeVersion"]) == (of_second, "2")


def test_an_engine_that_a_repair_started_has_had_the_volume_too() -> None:
    ledger = Ledger(books())
    component = ledger.runs().component("store")
    first = component.nodes[0].name
    part = metadata_edits.normal(None, component)
    assert metadata_edits.DATA not in metadata_edits.entries(part)[first]
    entry = metadata_edits.entries(metadata_edits.normal(part, component, {first: "2"}))[first]
    assert (entry["version"], metadata_edits.had(entry, "2")) == ("2", "2")
    rolled = metadata_edits.entries(metadata_edits.rolled(part, first, "2"))[first]
    assert metadata_edits.had(rolled, "2") == "", "its Pod may not have started"


@pytest.mark.parametrize("part", [None, "text", {}, {"groups": {}}])
def test_without_an_unfinished_upgrade_there_is_no_way_back(part: Any) -> None:
    assert metadata_edits.way_back(part) == ""
    assert metadata_edits.final(part, "9") == part
    assert metadata_edits.reopened(part) == part


def test_once_completed_there_is_nothing_to_go_back_to() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    ledger.carry_out(OperationType.UPGRADE)
    assert "previous" not in record(ledger)
    assert metadata_edits.restored(record(ledger)) == record(ledger)


def test_a_scale_is_nothing_to_go_back_from() -> None:
    ledger = Ledger(books())
    ledger.app = books(replicas=3)
    ledger.prepare(OperationType.SCALE)
    assert "previous" not in record(ledger)


def test_of_a_size_that_was_asked_for_only_what_has_grown_stays() -> None:
    ledger = Ledger(books(storage={"size": "1Gi"}))
    former = record(ledger)["groups"]
    ledger.app = books(storage={"size": "2Gi"})
    ledger.prepare(OperationType.RESIZE)
    group = "books-store-g"
    assert metadata_edits.restored(record(ledger))["groups"] == former
    assert metadata_edits.restored(record(ledger), {group})["groups"][group]["storage"]["size"] == "2Gi"


def test_a_repair_in_mid_upgrade_keeps_what_to_go_back_to() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    ledger.prepare(OperationType.UPGRADE)
    noted = record(ledger)["previous"]
    ledger.carry_out(OperationType.REPAIR)
    assert record(ledger)["previous"] == noted


def test_parameters_of_one_component_become_the_record_alone() -> None:
    ledger = Ledger(books())
    before = record(ledger)
    ledger.app = app(runtimeVersion="1", components=[{**store(replicas=2)[0], "config": {"threads": 4}}])
    want = ledger.stage(OperationType.RECONFIGURE)
    after = metadata_edits.reconfigured(before, want, want.component("store"))
    assert after["components"]["store"]["config"]["threads"] == 4
    assert after["components"]["watch"] == before["components"]["watch"]
    assert after["groups"] == before["groups"]


def test_the_first_primary_is_noted_only_when_it_was_chosen() -> None:
    ledger = Ledger(books(), runs=False)
    assert (
        "bootstrapNode" not in metadata_edits.record(None, ledger.whole(), OperationType.DEPLOY)["components"]["store"]
    )
    ledger.carry_out(OperationType.DEPLOY)
    part = metadata_edits.record(record(ledger), ledger.runs(), OperationType.REPAIR)
    assert part["components"]["store"]["bootstrapNode"] == NODE
