"""A look at an App as a whole: what the planner is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from activities.look.load import INVALID_SPEC, UNSUPPORTED_CHANGE
from activities.reconcile.prepare import Prepare
from api.names import FINALIZER
from api.operations import OperationType
from tests.unit.activities.support.cluster import NAME, World
from tests.unit.render.support import DEFINITION, shelf, store

NEWER = shelf(plugin_yaml=DEFINITION.replace("name: shelf, version: 1.0.0", "name: shelf, version: 1.1.0"))


@pytest.fixture
async def world() -> World:
    return await World(shelf(), NEWER, runtimeVersion="1", components=store(replicas=3)).deployed()


async def test_an_app_that_is_not_there(world: World) -> None:
    world.cluster.remove(world.object("App", NAME))
    assert not (await world.load()).exists


@pytest.mark.parametrize(("finalizers", "exists"), [([FINALIZER], True), ([], False)])
async def test_one_that_is_deleted_is_ours_while_it_has_our_finalizer(
    world: World, finalizers: list[str], exists: bool
) -> None:
    live = world.object("App", NAME)
    metadata = {**live["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}
    world.cluster.put({**live, "metadata": metadata})
    snapshot = await world.load()
    assert (snapshot.exists, snapshot.deleting) == (exists, exists)


async def test_a_first_deploy_has_nothing_to_compare_with() -> None:
    snapshot = await World(runtimeVersion="1").load()
    assert (snapshot.deployed_hash, snapshot.operation, snapshot.drift, snapshot.refusal) == ("", "", [], "")
    assert snapshot.plugin == "shelf 1.0.0"


@pytest.mark.parametrize(
    ("spec", "operation", "change"),
    [
        ({"plugin": {"name": "shelf", "version": "1.1.0"}}, "UpgradePlugin", "plugin 1.0.0 → 1.1.0"),
        ({"components": store(replicas=5)}, "Scale", "books-store-g 3 → 5 nodes"),
        ({"runtimeVersion": "2"}, "Upgrade", "1 → 2"),
        ({"components": store(replicas=3, nodeSelector={"disk": "fast"})}, "Resize", "books-store-g: nodeSelector"),
        (
            {"components": [{**store(replicas=3)[0], "config": {"threads": 9}}]},
            "Reconfigure",
            "store: threads",
        ),
        (
            {"runtimeVersion": "2", "components": store(replicas=2), "plugin": {"name": "shelf", "version": "1.1.0"}},
            "UpgradePlugin",
            "plugin 1.0.0 → 1.1.0",
        ),
    ],
)
async def test_a_changed_spec_is_the_operation_that_comes_first(
    world: World, spec: dict[str, Any], operation: str, change: str
) -> None:
    world.edit(**spec)
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.change, snapshot.drift) == (operation, change, [])
    assert snapshot.deployed_hash != snapshot.spec_hash


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"plugin": {"name": "shelf", "version": "2.0.0"}}, "version 2.0.0 of plugin shelf is not installed"),
        ({"runtimeVersion": "9"}, "does not support '9'"),
        ({"topology": "single", "components": store(replicas=1)}, "from 'cluster' to 'single'"),
        ({"components": store(replicas=3, storage={"size": "2Gi"})}, "cannot grow"),
        ({"components": "none"}, "spec.components"),
    ],
)
async def test_what_cannot_be_carried_out_is_refused_and_changes_nothing(
    world: World, spec: dict[str, Any], said: str
) -> None:
    world.edit(**spec)
    before = dict(world.cluster.objects)
    snapshot = await world.load()
    assert snapshot.refusal_reason == INVALID_SPEC
    assert said in snapshot.refusal
    assert world.cluster.objects == before


async def test_during_the_first_deploy_ready_nodes_are_not_taken_away() -> None:
    world = World(runtimeVersion="1", components=store(replicas=3))
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.DEPLOY))
    for node in world.nodes("adding"):
        world.note(node, state="normal")
    world.edit(components=store(replicas=2))
    snapshot = await world.load()
    assert snapshot.refusal_reason == UNSUPPORTED_CHANGE
    assert "books-store-g-2 is ready and may hold data" in snapshot.refusal


@pytest.mark.parametrize("kind", ["Deployment", "Service", "ConfigMap", "PersistentVolumeClaim"])
async def test_a_deleted_object_is_drift(world: World, kind: str) -> None:
    world.cluster.remove(world.object(kind, "books-store-g-1"))
    assert f"{kind} books-store-g-1 is missing" in (await world.load()).drift


async def test_a_finalizer_that_somebody_has_taken_off_is_put_back(world: World) -> None:
    """As by ``mw uninstall --apps keep``: a later deletion would go past the platform, and keep every volume."""
    live = world.object("App", NAME)
    world.cluster.put({**live, "metadata": {**live["metadata"], "finalizers": ["another/one"]}})
    assert (await world.load()).drift == [f"the finalizer {FINALIZER} of the App is missing"]
    await world.carry_out(OperationType.REPAIR)
    assert world.object("App", NAME)["metadata"]["finalizers"] == ["another/one", FINALIZER]
    assert (await world.load()).drift == []


async def test_without_a_look_for_drift_none_is_told(world: World) -> None:
    world.cluster.remove(world.object("Service", "books-store-g-1"))
    assert (await world.load(drift=False)).drift == []


async def test_nodes_that_an_interrupted_upgrade_has_left_are_an_upgrade(world: World) -> None:
    world.edit(runtimeVersion="2")
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))
    snapshot = await world.load()
    assert snapshot.operation == OperationType.UPGRADE
    assert snapshot.change.startswith("not rolled yet: books-store-g-0, books-store-g-1")


async def test_an_app_is_looked_at_also_when_its_plugin_version_was_uninstalled(world: World) -> None:
    """Nothing says then how its objects should be, so nothing of it is drift."""
    world.edit(plugin={"name": "shelf", "version": "1.1.0"})
    for name in ("plugin-shelf-1.0.0", "plugin-shelf-1.0.0-templates"):
        world.cluster.remove(world.cluster.get_now("ConfigMap", "middleware-system", name))
    world.platform.plugins._bundles.clear()
    snapshot = await world.load()
    assert (snapshot.drift, snapshot.operation) == ([], OperationType.UPGRADE_PLUGIN)
