"""Metadata that somebody damaged is mended from what runs, and where that is not certain nothing is done."""

from __future__ import annotations

import json
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.cluster import metadata_edits
from activities.cluster.metadata import update_metadata
from activities.reconcile.prepare import Prepare
from activities.reconcile.repair_metadata import METADATA_DAMAGED
from api.names import metadata_name
from api.operations import OperationType
from tests.unit.activities.support.cluster import NAME, NAMESPACE, World
from tests.unit.render.support import store

STORE = ["books-store-g-0", "books-store-g-1"]
WATCH = [f"books-watch-default-{n}" for n in range(3)]


@pytest.fixture
async def world() -> World:
    return await World(runtimeVersion="1", components=store(replicas=2)).deployed()


async def test_a_deployed_app_is_as_wanted(world: World) -> None:
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.drift, snapshot.operation) == ("", [], "")
    assert world.nodes() == [*STORE, *WATCH]


@pytest.mark.parametrize(
    "spoiled",
    [
        "{not json",
        "[]",
        '"text"',
        "null",
        "{}",
        '{"normal": "all"}',
        '{"normal": [5]}',
        '{"normal": [{"name": "books-store-g-0"}]}',
        '{"normal": [{"name": "other", "component": "store", "group": "g"}]}',
        '{"normal": [{"name": "books-store-g-x", "component": "store", "group": "g"}]}',
        '{"normal": [{"name": "books-store-g-0", "component": "store", "group": "g", "version": 7}]}',
    ],
)
async def test_damaged_node_lists_are_written_from_the_deployments(world: World, spoiled: str) -> None:
    before = world.part("nodes")
    world.spoil("nodes", spoiled)
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.drift, snapshot.operation) == ("", [], "")
    assert world.part("nodes") == before
    assert any(event.startswith("MetadataMended: ConfigMap books-metadata: its part nodes") for event in world.events())


async def test_what_can_be_read_of_the_node_lists_stays(world: World) -> None:
    part = world.part("nodes")
    part["normal"][0] |= {"unverified": "true"}
    part["normal"][1] = {"name": 7}
    part["deleting"] = [part["normal"].pop(2)]
    world.spoil("nodes", json.dumps(part))
    await world.load()
    mended = world.part("nodes")
    assert [node["name"] for node in mended["normal"]] == [*STORE, *WATCH[1:]]
    assert mended["normal"][0]["unverified"] == "true"
    assert [node["name"] for node in mended["deleting"]] == WATCH[:1]


async def test_a_lost_node_list_is_no_word_on_how_many_there_are_to_be(world: World) -> None:
    """With the lists lost a newer number is still a Scale: nothing comes or goes by a Repair."""
    world.spoil("nodes", None)
    world.edit(components=store(replicas=4))
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.drift) == (OperationType.SCALE, [])
    assert snapshot.change == "books-store-g 2 → 4 nodes"


def recorded(world: World) -> Any:
    """The record, but for the first primary: that stands in the Components as well, and counts there."""
    part = world.part("record")
    for component in part["components"].values():
        component.pop("bootstrapNode", None)
    return part


def spoil_group(world: World, **spec: Any) -> None:
    live = world.object("Group", "books-store-g")
    world.cluster.put({**live, "spec": {**live["spec"], **spec}})


@pytest.mark.parametrize("spoiled", ["{", "[]", "null", '{"uid": "uid-1", "groups": {"books-store-g": {"image": 5}}}'])
async def test_a_damaged_record_is_written_from_the_resources_where_they_are_what_runs(
    world: World, spoiled: str
) -> None:
    before = recorded(world)
    world.spoil("record", spoiled)
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.drift, snapshot.operation) == ("", [], "")
    assert recorded(world) == before


async def test_what_a_newer_platform_has_written_is_no_damage(world: World) -> None:
    """After a rollback of the platform: what it does not know is left out, and nothing is taken for an edit."""
    part = world.part("record")
    part["groups"]["books-store-g"]["later"] = {"new": True}
    part["later"] = 1
    nodes = world.part("nodes")
    world.write("record", part)
    world.write("nodes", {**nodes, "later": [], "normal": [{**node, "later": [1]} for node in nodes["normal"]]})
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.drift, snapshot.operation) == ("", [], "")
    assert (world.part("record"), world.nodes()) == (part, [*STORE, *WATCH])


async def test_a_damaged_record_beside_an_edited_group_waits_for_a_person(world: World) -> None:
    record = world.part("record")
    spoil_group(world, image="evil:1")
    world.spoil("record", "{")
    before = dict(world.cluster.objects)
    snapshot = await world.load()
    assert snapshot.refusal_reason == METADATA_DAMAGED
    assert snapshot.refusal == (
        "ConfigMap books-metadata: its part record is no JSON object; books-store-g-0, books-store-g-1 are not made of "
        "what their Groups say; put the part back, or remove it once the Components and Groups say what is true. "
        "Nothing is changed until then"
    )
    assert world.cluster.objects == before
    # One word of a person, and it goes on: the part is put back, and the edit of the Group is drift as ever.
    world.spoil("record", json.dumps(record))
    snapshot = await world.load()
    assert snapshot.refusal == ""
    assert snapshot.drift == ["Group books-store-g was changed: spec.image"]


async def test_so_does_one_beside_edited_parameters(world: World) -> None:
    live = world.object("Component", "books-store")
    world.cluster.put({**live, "spec": {**live["spec"], "config": {**live["spec"]["config"], "threads": 9}}})
    world.spoil("record", "{")
    refusal = (await world.load()).refusal
    assert "books-store-g-0, books-store-g-1 run with other parameters than their Components say" in refusal


async def test_without_the_part_the_resources_are_a_persons_word(world: World) -> None:
    spoil_group(world, nodeSelector={"disk": "fast"})
    world.spoil("record", None)
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.operation) == ("", OperationType.RESIZE)


async def test_a_way_back_that_cannot_be_read_is_told(world: World) -> None:
    """In mid-upgrade: an abort would find nothing to go back to, and call it done."""
    world.edit(runtimeVersion="2")
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))
    record = world.part("record")
    assert record["previous"]["runtimeVersion"] == "1"
    world.spoil("record", json.dumps({**record, "previous": 5}))
    refusal = (await world.load()).refusal
    assert "says unreadable things of what was before (previous)" in refusal
    assert "books-store-g-0" in refusal


async def test_metadata_that_were_deleted_are_made_again(world: World) -> None:
    basic, nodes, record = world.part("basic"), world.part("nodes"), recorded(world)
    world.cluster.remove(world.object("ConfigMap", metadata_name(NAME)))
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.drift, snapshot.operation) == ("", [], "")
    assert snapshot.deployed_hash == snapshot.spec_hash
    assert {**world.part("basic"), "created": basic["created"], "updated": basic["updated"]} == basic
    assert (world.part("nodes"), recorded(world)) == (nodes, record)


@pytest.mark.parametrize("spoiled", ["{", "null", '{"uid": "another"}', '{"uid": "uid-1"}', None])
async def test_a_running_app_is_never_taken_for_a_new_one(world: World, spoiled: str | None) -> None:
    """A first Deploy starts all engines at once, and lets a node begin as primary with an empty volume."""
    world.spoil("basic", spoiled)
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.operation) == ("", "")
    assert snapshot.deployed_hash == snapshot.spec_hash


async def test_where_a_newer_spec_waits_nobody_knows_what_runs(world: World) -> None:
    world.edit(plugin={"name": "shelf", "version": "1.0.0"}, runtimeVersion="2")
    world.spoil("basic", "{")
    snapshot = await world.load()
    assert snapshot.refusal_reason == METADATA_DAMAGED
    assert "so write what runs into that part, like {" in snapshot.refusal
    example = json.loads(snapshot.refusal[snapshot.refusal.index("{") : snapshot.refusal.rindex("}") + 1])
    assert (example["runtimeVersion"], example["pluginVersion"]) == ("1", "1.0.0")
    world.spoil("basic", json.dumps(example))
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.operation) == ("", OperationType.UPGRADE)


async def test_a_first_deploy_goes_on_with_damaged_metadata() -> None:
    world = World(runtimeVersion="1", components=store(replicas=2))
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.DEPLOY))
    for part in ("basic", "nodes", "record"):
        world.spoil(part, "{")
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.deployed_hash) == ("", "")
    await world.carry_out(OperationType.DEPLOY)
    assert world.nodes() == [*STORE, *WATCH]


@pytest.mark.parametrize("part", ["basic", "nodes", "record"])
async def test_a_step_that_meets_the_damage_ends_its_operation(world: World, part: str) -> None:
    target = world.target(OperationType.REPAIR)
    world.spoil(part, "{")
    before = dict(world.cluster.objects)
    with pytest.raises(ApplicationError, match=f"its part {part} is no JSON object; planned anew") as error:
        await world.do(Prepare(world.platform).prepare, target)
    assert error.value.type == "SpecChanged"
    assert world.cluster.objects == before


async def test_nor_does_one_that_has_begun_write_over_it(world: World) -> None:
    """A roll takes minutes; what could not be read would be gone from the lists for good."""
    world.spoil("nodes", '{"normal": [5]}')
    with pytest.raises(ApplicationError, match="its part nodes has unreadable entries: normal; planned anew"):
        await update_metadata(
            world.platform, NAMESPACE, NAME, {"nodes": lambda before: metadata_edits.gone(before, {"x"})}
        )
    await world.load()
    assert world.nodes() == [*STORE, *WATCH]
