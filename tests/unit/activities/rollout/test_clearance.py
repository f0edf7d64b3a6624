"""No node is stopped by plan before its plugin agrees; the next is stopped when the component has recovered."""

from __future__ import annotations

import asyncio

import pytest

from activities.config.configure import Configure
from activities.reconcile.prepare import Prepare
from activities.reconcile.remove_node import RemoveNode
from activities.reconcile.scale import Scale
from activities.rollout.clearance import AfterRoll
from activities.rollout.plan_roll import Roll
from activities.rollout.roll_node import Node
from api.operations import OperationType
from api.reconfigure import ConfigureStep
from api.steps import ComponentStep, NodeStep, RollPlan, RollRequest
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import shelf, store, with_tools

NODES = [f"books-store-g-{n}" for n in range(5)]
TOOLS = """
safeToStop: {steps: [{set: {a: b}}]}
beforeStop: {steps: [{set: {a: b}}]}
settled: {steps: [{set: {a: b}}]}
afterRoll: {steps: [{set: {a: b}}]}
"""
BEFORE, AFTER = ["safeToStop", "beforeStop", "safeToStop"], ["settled"]


@pytest.fixture
async def world(virtual_time: None) -> World:
    return await running(2)


async def running(replicas: int, **group: object) -> World:
    bundle = shelf(tools_yaml=with_tools(TOOLS))
    made = await World(bundle, runtimeVersion="1", components=store(replicas=replicas, **group)).deployed()
    made.roles(store_0="primary")
    made.agents.tools |= {"safeToStop": {}, "beforeStop": {}, "settled": {}, "afterRoll": {}}
    return made


def asked(world: World, node: str) -> list[str]:
    return [call for each, call, _ in world.agents.calls if each == node and call in {*BEFORE, *AFTER}]


def uid(world: World, node: str) -> str:
    return str(world.pod(node)["metadata"]["uid"])


async def restart(world: World, node: str) -> None:
    step = NodeStep(world.target(OperationType.RESTART), "store", "g", node, uid(world, node))
    await world.do(Node(world.platform).roll_node, step)


async def test_a_node_is_asked_before_its_stop_and_after_its_start(world: World) -> None:
    await restart(world, NODES[1])
    assert asked(world, NODES[1]) == [*BEFORE, *AFTER]


async def test_while_a_node_may_not_stop_it_runs_and_the_status_says_why(world: World) -> None:
    world.agents.answers[NODES[1], "safeToStop"] = "2 partitions have no other replica in sync"
    before = uid(world, NODES[1])
    rolling = asyncio.create_task(restart(world, NODES[1]))
    await asyncio.sleep(3600)
    assert (rolling.done(), uid(world, NODES[1])) == (False, before)
    assert world.object("App", "books")["status"]["progress"]["message"] == (
        f"waiting: {NODES[1]}: 2 partitions have no other replica in sync"
    )
    assert len([event for event in world.events() if "2 partitions" in event]) == 1
    world.agents.answers.pop((NODES[1], "safeToStop"))
    await asyncio.wait_for(rolling, 30)
    assert uid(world, NODES[1]) != before


async def test_a_node_that_cannot_give_away_what_it_leads_is_not_stopped(world: World) -> None:
    world.agents.answers[NODES[1], "beforeStop"] = "no other node takes the leadership"
    before = uid(world, NODES[1])
    rolling = asyncio.create_task(restart(world, NODES[1]))
    await asyncio.sleep(60)
    assert (rolling.done(), uid(world, NODES[1])) == (False, before)
    rolling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rolling


async def test_the_step_ends_when_the_component_has_recovered(world: World) -> None:
    world.agents.answers[NODES[1], "settled"] = "it copies what it has missed"
    rolling = asyncio.create_task(restart(world, NODES[1]))
    await asyncio.sleep(3600)
    assert not rolling.done()
    assert "it copies what it has missed" in world.object("App", "books")["status"]["progress"]["message"]
    world.agents.answers.pop((NODES[1], "settled"))
    await asyncio.wait_for(rolling, 30)


async def test_a_repeat_of_the_step_does_not_ask_the_pod_that_has_come(world: World) -> None:
    before = uid(world, NODES[1])
    await restart(world, NODES[1])
    world.agents.calls.clear()
    step = NodeStep(world.target(OperationType.RESTART), "store", "g", NODES[1], before)
    await world.do(Node(world.platform).roll_node, step)
    assert asked(world, NODES[1]) == AFTER


async def test_a_node_that_does_not_serve_is_stopped_unasked(world: World) -> None:
    """It has nothing to give away, and its roll may be the remedy."""
    world.agents.answers[NODES[1], "safeToStop"] = "nobody is in sync"
    pod = world.pod(NODES[1])
    pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    world.cluster.put(pod)
    await asyncio.wait_for(restart(world, NODES[1]), 60)
    assert asked(world, NODES[1]) == AFTER, "its new Pod"


async def test_a_moment_without_readiness_is_no_leave_to_stop(world: World) -> None:
    """It misses a probe just when it is busy copying."""
    world.agents.answers[NODES[1], "safeToStop"] = "it copies"
    before = uid(world, NODES[1])
    rolling = asyncio.create_task(restart(world, NODES[1]))
    await asyncio.sleep(10)
    pod = world.pod(NODES[1])
    for status in ("False", "True"):
        pod["status"]["conditions"] = [{"type": "Ready", "status": status}]
        world.cluster.put(pod)
        await asyncio.sleep(20)
    assert (rolling.done(), uid(world, NODES[1])) == (False, before)
    world.agents.answers.pop((NODES[1], "safeToStop"))
    await asyncio.wait_for(rolling, 30)


async def test_a_pod_that_has_come_since_the_plan_is_asked_too(world: World) -> None:
    """Plans are hours old where waits have no end, and an eviction may have come between."""
    world.edit(components=store(replicas=2, resources={"limits": {"memory": "1Gi"}}))
    target = world.target(OperationType.RESIZE)
    await world.do(Prepare(world.platform).prepare, target)
    step = NodeStep(target, "store", "g", NODES[1], "the Pod of an hour ago")
    await world.do(Node(world.platform).roll_node, step)
    assert asked(world, NODES[1]) == [*BEFORE, *AFTER]


async def test_a_repeat_after_the_restart_asks_for_no_other_stop(world: World) -> None:
    """What a node has given away for a stop only a start takes back."""
    world.edit(components=[{**store(replicas=2)[0], "config": {"threads": 8}}])
    target = world.target(OperationType.RECONFIGURE, reason="asked")
    await world.do(Configure(world.platform).plan_config, target)
    step = ConfigureStep(NodeStep(target, "store", "g", NODES[1]), False)
    world.agents.answers[NODES[1], "settled"] = "it copies what it has missed"
    first = asyncio.create_task(world.do(Configure(world.platform).configure_node, step))
    await asyncio.sleep(60)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.agents.answers.pop((NODES[1], "settled"))
    world.agents.calls.clear()
    await world.do(Configure(world.platform).configure_node, step)
    assert asked(world, NODES[1]) == AFTER


async def test_nodes_that_are_asked_one_by_one_are_never_stopped_together(virtual_time: None) -> None:
    world = await running(5, rollingUpdate={"maxUnavailable": 2})
    plan: RollPlan = await world.do(Roll(world.platform).plan_roll, RollRequest(world.target(OperationType.RESTART)))
    assert [len(batch) for batch in plan.batches if batch[0].component == "store"] == [1] * 5
    assert plan.after == ["store"]


async def test_without_such_tools_several_may_go_at_once(virtual_time: None) -> None:
    made = World(runtimeVersion="1", components=store(replicas=5, rollingUpdate={"maxUnavailable": 2}))
    world = await made.deployed()
    world.roles(store_0="primary")
    plan: RollPlan = await world.do(Roll(world.platform).plan_roll, RollRequest(world.target(OperationType.RESTART)))
    assert max(len(batch) for batch in plan.batches if batch[0].component == "store") == 2
    assert plan.after == []


async def test_after_the_last_node_one_of_those_that_serve_is_told(world: World) -> None:
    pod = world.pod(NODES[0])
    pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    world.cluster.put(pod)
    await world.do(AfterRoll(world.platform).after_roll, ComponentStep(world.target(OperationType.RESTART), "store"))
    assert world.agents.called("afterRoll") == [NODES[1]]


async def test_a_restart_for_parameters_asks_as_well(world: World) -> None:
    world.edit(components=[{**store(replicas=2)[0], "config": {"threads": 8}}])
    target = world.target(OperationType.RECONFIGURE, reason="asked")
    plans = await world.do(Configure(world.platform).plan_config, target)
    assert [plan.after for plan in plans.components] == [True]
    world.agents.calls.clear()
    step = NodeStep(target, "store", "g", NODES[1])
    await world.do(Configure(world.platform).configure_node, ConfigureStep(step, False))
    calls = [call for _, call, _ in world.agents.calls if call in {*BEFORE, *AFTER, "restart"}]
    assert calls == [*BEFORE, "restart", *AFTER]


async def test_a_node_that_leaves_is_asked_before_it_is_stopped(virtual_time: None) -> None:
    world = await running(3)
    world.edit(components=store(replicas=2))
    target = world.target(OperationType.SCALE)
    await world.do(Scale(world.platform).plan_scale, target)
    await world.do(RemoveNode(world.platform).remove_node, NodeStep(target, "store", "g", NODES[2]))
    assert asked(world, NODES[2]) == BEFORE
