"""What the record says after an abort, and when there is no way back any more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.reconcile.prepare import Prepare
from activities.rollout.expand_and_roll_back import Upgrade
from activities.rollout.plan_roll import Roll
from api.operations import OperationType, Scope
from api.steps import RolledBack, RollPlan, RollRequest
from render.plugin.bundle import PluginBundle
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import DEFINITION, shelf, store
from workflows.entity.planner import Memory, plan

NODES = ["books-store-g-0", "books-store-g-1"]


@pytest.fixture
async def world() -> World:
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    world.roles(store_0="primary")
    return world


async def begun(world: World, operation: OperationType, **spec: Any) -> None:
    world.edit(**spec)
    assert (await world.load()).operation == operation
    await world.do(Prepare(world.platform).prepare, world.target(operation))


async def back(world: World, operation: OperationType) -> RolledBack:
    found: RolledBack = await world.do(Upgrade(world.platform).roll_back, world.target(operation))
    return found


async def rolls(world: World, operation: OperationType, stage: str = "", scope: Scope | None = None) -> list[list[str]]:
    request = RollRequest(world.target(operation, stage=stage), scope or Scope())
    found: RollPlan = await world.do(Roll(world.platform).plan_roll, request)
    return [[node.name for node in batch] for batch in found.batches]


async def test_an_upgrade_rolls_every_node_the_writable_one_last(world: World) -> None:
    await begun(world, OperationType.UPGRADE, runtimeVersion="2")
    batches = await rolls(world, OperationType.UPGRADE)
    watch = [[f"books-watch-default-{n}"] for n in range(3)]
    assert batches == [[NODES[1]], [NODES[0]], *watch]


async def test_a_resize_of_one_component_leaves_the_others(world: World) -> None:
    larger = store(replicas=2, resources={"limits": {"memory": "1Gi"}})
    await begun(world, OperationType.RESIZE, components=larger)
    assert await rolls(world, OperationType.RESIZE) == [[NODES[1]], [NODES[0]]]


async def test_a_restart_is_of_all_nodes_whatever_they_are_made_of(world: World) -> None:
    assert len(await rolls(world, OperationType.RESTART)) == 5
    assert await rolls(world, OperationType.UPGRADE) == []


async def test_a_restart_of_one_node_is_of_that_one_or_says_why_not(world: World) -> None:
    """ "0 nodes restarted" was believed."""
    assert await rolls(world, OperationType.RESTART, scope=Scope(node=NODES[1])) == [[NODES[1]]]
    with pytest.raises(ApplicationError, match=f"there is no store-g-1; there are {NODES[0]}, {NODES[1]}, books-watch"):
        await rolls(world, OperationType.RESTART, scope=Scope(node="store-g-1"))


@pytest.mark.parametrize(
    ("state", "said"),
    [("deleting", "is leaving: a Scale has begun to remove it"), ("adding", "is still joining: a Scale has begun to")],
)
async def test_a_node_that_comes_or_goes_is_not_said_to_be_unknown(world: World, state: str, said: str) -> None:
    world.note(NODES[1], state=state)
    with pytest.raises(ApplicationError, match=f"node: {NODES[1]} {said}.*; there are {NODES[0]}, books-watch"):
        await rolls(world, OperationType.RESTART, scope=Scope(node=NODES[1]))


async def test_after_an_abort_the_former_record_counts_and_nothing_is_left_to_roll(world: World) -> None:
    before = world.group_spec()
    await begun(world, OperationType.UPGRADE, runtimeVersion="2")
    assert not (await back(world, OperationType.UPGRADE)).too_late
    assert world.group_spec() == before
    assert (world.state.runtime_version, world.state.rolled_from) == ("1", "")
    assert await rolls(world, OperationType.UPGRADE, OperationType.REPAIR) == []
    # Asked once more, as after a lost answer, it finds nothing to put back.
    assert not (await back(world, OperationType.UPGRADE)).too_late
    assert world.group_spec() == before


async def test_once_the_primary_runs_the_new_version_there_is_only_forward(world: World) -> None:
    await begun(world, OperationType.UPGRADE, runtimeVersion="2")
    pod = world.pod(NODES[1])
    labels = {**pod["metadata"]["labels"], "middleware.io/role": "primary", "middleware.io/runtime-version": "2"}
    world.cluster.put({**pod, "metadata": {**pod["metadata"], "labels": labels}})
    assert (await back(world, OperationType.UPGRADE)).too_late
    assert world.state.runtime_version == "2"


async def test_a_failover_in_mid_way_back_may_make_it_too_late(world: World) -> None:
    await begun(world, OperationType.UPGRADE, runtimeVersion="2")
    assert not (await back(world, OperationType.UPGRADE)).too_late
    pod = world.pod(NODES[1])
    labels = {**pod["metadata"]["labels"], "middleware.io/role": "primary", "middleware.io/runtime-version": "2"}
    world.cluster.put({**pod, "metadata": {**pod["metadata"], "labels": labels}})
    assert (await back(world, OperationType.UPGRADE)).too_late


async def test_a_plugin_that_was_interrupted_goes_on_as_itself_and_is_forgotten_when_it_is_done() -> None:
    """It went on as a Deploy, unpaused, and an abort months later went back to the version before."""

    def version(number: str) -> PluginBundle:
        return shelf(plugin_yaml=DEFINITION.replace("name: shelf, version: 1.0.0", f"name: shelf, version: {number}"))

    world = await World(shelf(), version("1.1.0"), runtimeVersion="1", components=store(replicas=2)).deployed()
    world.edit(plugin={"name": "shelf", "version": "1.1.0"})
    target = world.target(OperationType.UPGRADE_PLUGIN)
    await world.do(Prepare(world.platform).prepare, target)
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.change) == (OperationType.UPGRADE_PLUGIN, "plugin 1.0.0 → 1.1.0")
    half = Memory(halfway=OperationType.UPGRADE_PLUGIN)
    files = replace(snapshot, drift=["ConfigMap x was changed: data"])
    assert plan(files, half).operation == OperationType.UPGRADE_PLUGIN
    gone = replace(snapshot, drift=["Service x is gone"], missing=["Service x is gone"])
    assert plan(gone, half).operation == OperationType.REPAIR
    await world.carry_out(OperationType.UPGRADE_PLUGIN)
    assert world.recorded.previous_plugin == ""
    snapshot = await world.load(drift=False)
    assert (snapshot.operation, snapshot.deployed_hash) == ("", snapshot.spec_hash)


async def test_another_plugin_version_goes_back_to_the_former(world: World) -> None:
    world.record(pluginVersion="1.1.0", previousPlugin="1.0.0")
    await back(world, OperationType.UPGRADE_PLUGIN)
    assert world.recorded.plugin_version == "1.0.0"
