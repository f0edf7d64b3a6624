"""A volume claim that somebody deletes while an operation rolls its node: a Repair goes first, without a person."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from temporalio.exceptions import ApplicationError

from activities.app.wait_ready import STUCK_AFTER, NodeWaiter
from activities.reconcile.apply_group import ApplyGroup
from activities.reconcile.prepare import Prepare
from api.operations import OperationState, OperationType
from api.steps import ErrorType, GroupStep
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import store
from workflows.entity.planner import Memory, plan
from workflows.entity.preemption import room_for
from workflows.entity.state import EntityState

PRIMARY, REPLICA, _ = NODES = tuple(f"books-store-g-{n}" for n in range(3))


@pytest.fixture
async def world(virtual_time: None) -> World:
    """An Upgrade is at work."""
    found = await World(runtimeVersion="1", components=store(replicas=3, storage={"size": "1Gi"})).deployed()
    found.roles(store_0="primary")
    found.edit(runtimeVersion="2")
    await found.do(Prepare(found.platform).prepare, found.target(OperationType.UPGRADE))
    return found


def lost(world: World, node: str) -> None:
    """Its claim, of which the scheduler says what it says of every claim that is not there."""
    world.lose("PersistentVolumeClaim", node)
    pod = world.pod(node)
    message = f'persistentvolumeclaim "{node}" not found'
    conditions = [{"type": "Ready", "status": "False"}]
    conditions.append({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message})
    world.cluster.put({**pod, "status": {"phase": "Pending", "conditions": conditions}})


async def test_whoever_waits_for_the_node_names_its_claim_and_ends(world: World) -> None:
    lost(world, REPLICA)
    waiter = NodeWaiter(world.platform, world.target("Upgrade"), "wait", [REPLICA])

    async def until(_: None) -> None:
        await waiter.until(lambda state: state.ready, stuck_after=STUCK_AFTER)

    said = f'{REPLICA}: cannot be scheduled: persistentvolumeclaim "{REPLICA}" not found'
    with pytest.raises(ApplicationError, match=said) as raised:
        await world.do(until, None)
    assert raised.value.type == ErrorType.NODE_STUCK


@pytest.mark.parametrize("waiting", ["", OperationState.STOPPED])
async def test_a_repair_goes_first_and_makes_the_claim_anew(world: World, waiting: str) -> None:
    """Also before the wait has ended, when it is missed at two looks."""
    before = world.object("Deployment", REPLICA)["spec"]
    lost(world, REPLICA)
    snapshot, now = await world.load(), datetime.now(UTC)
    missing = f"PersistentVolumeClaim {REPLICA} is missing"
    assert missing in snapshot.missing
    why, found = room_for(snapshot, OperationType.UPGRADE, frozenset(), EntityState(), waiting, now)
    if not waiting:
        assert why == ""
        why, _ = room_for(snapshot, OperationType.UPGRADE, found, EntityState(), waiting, now)
    assert why == f"{missing}: a Repair goes first"
    decision = plan(snapshot, Memory(halfway=OperationType.UPGRADE))
    assert decision.operation == OperationType.REPAIR
    assert decision.reason.startswith(missing)
    await world.carry_out(OperationType.REPAIR)
    assert REPLICA in world.names("PersistentVolumeClaim")
    assert world.object("Deployment", REPLICA)["spec"] == before
    snapshot = await world.load()
    assert (snapshot.drift, snapshot.operation) == ([], OperationType.UPGRADE), "which then goes on"


async def test_a_primarys_claim_is_made_anew_aloud_and_it_does_not_begin_with_nothing(world: World) -> None:
    """The others would follow it, and lose what they have."""
    lost(world, PRIMARY)
    decision = plan(await world.load(), Memory(halfway=OperationType.UPGRADE))
    assert decision.operation == OperationType.REPAIR
    assert decision.reason.startswith(f"PersistentVolumeClaim {PRIMARY} is missing")
    target = world.target(OperationType.REPAIR)
    await world.do(Prepare(world.platform).prepare, target)
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(target, "store", "g"))
    assert PRIMARY in world.names("PersistentVolumeClaim")
    files = "".join(text for node in NODES for text in world.object("ConfigMap", node)["data"].values())
    assert set(re.findall(r"first ([a-z0-9-]+)", files)) == {"-"}, "no node is told to be first primary"
    assert {"lead", "permit"}.isdisjoint(call for _, call, _ in world.agents.calls)
