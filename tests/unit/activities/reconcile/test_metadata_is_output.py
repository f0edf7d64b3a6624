"""Whoever edits or removes the metadata ConfigMap changes nothing: not what runs, not what an operation goes on with,
not what an abort goes back to."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from activities.reconcile.prepare import Prepare
from activities.rollout.expand_and_roll_back import Upgrade
from activities.rollout.plan_roll import Roll
from api.operations import OperationType
from api.steps import RollPlan, RollRequest
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import store

METADATA = "books-metadata"


def removed(world: World) -> None:
    world.cluster.remove(world.object("ConfigMap", METADATA))


def spoiled(world: World) -> None:
    live = world.object("ConfigMap", METADATA)
    world.cluster.put({**live, "data": dict.fromkeys(("basic", "nodes", "record", "config", "roles"), "{")})


def forged(world: World) -> None:
    live = world.object("ConfigMap", METADATA)
    basic = {"uid": "uid-1", "plugin": "shelf", "pluginVersion": "9.9.9", "runtimeVersion": "2", "deployed": "x"}
    nodes = {"normal": [], "adding": [], "deleting": [{"name": "books-store-g-0", "component": "store", "group": "g"}]}
    world.cluster.put({**live, "data": {"basic": json.dumps(basic), "nodes": json.dumps(nodes), "record": "{}"}})


ACCIDENTS = [removed, spoiled, forged]


@pytest.fixture
async def world() -> World:
    return await World(runtimeVersion="1", components=store(replicas=2)).deployed()


async def upgrading(world: World) -> None:
    world.edit(runtimeVersion="2")
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))


@pytest.mark.parametrize("accident", ACCIDENTS)
async def test_an_app_at_rest_stays_at_rest(world: World, accident: Callable[[World], None]) -> None:
    before = world.state
    accident(world)
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.refusal, snapshot.drift) == ("", "", [])
    assert snapshot.deployed_hash == snapshot.spec_hash
    assert world.state == before


@pytest.mark.parametrize("accident", ACCIDENTS)
async def test_in_mid_upgrade_the_upgrade_goes_on(world: World, accident: Callable[[World], None]) -> None:
    """It ended ``Refused`` for ever, and asked a person to write JSON."""
    await upgrading(world)
    accident(world)
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.refusal) == (OperationType.UPGRADE, "")
    plan: RollPlan = await world.do(Roll(world.platform).plan_roll, RollRequest(world.target(OperationType.UPGRADE)))
    assert len(plan.batches) == 5


@pytest.mark.parametrize("accident", ACCIDENTS)
async def test_and_an_abort_goes_back_to_what_ran(world: World, accident: Callable[[World], None]) -> None:
    await upgrading(world)
    accident(world)
    target = world.target(OperationType.UPGRADE)
    await world.do(Upgrade(world.platform).roll_back, target)
    plan: RollPlan = await world.do(
        Roll(world.platform).plan_roll, RollRequest(world.target(OperationType.UPGRADE, stage=OperationType.REPAIR))
    )
    assert plan.batches == [], "every node is made of what counts again"
    assert world.state.runtime_version == "1"


@pytest.mark.parametrize("accident", ACCIDENTS)
async def test_a_hand_edited_group_is_put_back_all_the_same(world: World, accident: Callable[[World], None]) -> None:
    """Without the ConfigMap the edit was taken for what runs."""
    await upgrading(world)
    group = world.object("Group", "books-store-g")
    world.cluster.put({**group, "spec": {**group["spec"], "image": "evil:1", "runtimeVersion": "8.0"}})
    accident(world)
    snapshot = await world.load()
    assert snapshot.refusal == ""
    assert any(said.startswith("Group books-store-g was changed") for said in snapshot.drift)
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.REPAIR))
    spec = world.object("Group", "books-store-g")["spec"]
    assert (spec["image"], spec["runtimeVersion"]) == ("shelf:2", "2")
