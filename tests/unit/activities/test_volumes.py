"""A volume has grown when its claim's status says so, not when it was asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities import volumes
from activities.node import Node
from activities.prepare import Prepare
from activities.roll import Roll
from activities.upgrade import Upgrade
from activities.volumes import has_grown, needs_start, trouble
from api.operations import OperationType
from api.steps import Applied, ErrorType, NodeStep, RollRequest
from tests.unit.activities.cluster import World
from tests.unit.render.support import store
from tests.unit.watcher.fakes import eventually

STORE = ["books-store-g-0", "books-store-g-1"]
LARGER = store(replicas=2, storage={"size": "2Gi"})


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Its volumes are to grow, and their class can."""
    monkeypatch.setattr(volumes, "_LOOK_EVERY", 0.01)
    world = await World(runtimeVersion="1", components=store(replicas=2, storage={"size": "1Gi"})).deployed()
    for name in STORE:
        world.claim(name, "1Gi")
    world.cluster.put(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "grows"},
            "allowVolumeExpansion": True,
        }
    )
    assert (await world.load()).drift == []
    world.edit(components=LARGER)
    assert (await world.load()).operation == OperationType.RESIZE
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.RESIZE))
    return world


def expanding(world: World) -> asyncio.Task[Applied]:
    return asyncio.create_task(world.do(Upgrade(world.platform).expand_volumes, world.target(OperationType.RESIZE)))


async def asked(world: World) -> None:
    await eventually(lambda: all(world.requested(name) == "2Gi" for name in STORE))


async def test_it_is_over_when_every_volume_has_the_size(world: World) -> None:
    task = expanding(world)
    await asked(world)
    world.claim(STORE[0], "2Gi", request="2Gi")
    await asyncio.sleep(0.05)
    assert not task.done()
    world.claim(STORE[1], "2Gi", request="2Gi")
    assert (await asyncio.wait_for(task, 5)).changed == 2


async def test_a_driver_that_never_does_it_ends_the_step_with_what_it_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "GROW_WITHIN", 0.05)
    condition = {"type": "ControllerResizeError", "status": "True", "message": "quota of the pool is used up"}
    for name in STORE:
        world.claim(name, "1Gi", request="2Gi", conditions=[condition])
    with pytest.raises(ApplicationError, match=r"books-store-g-0 has not grown to 2Gi in .*: quota of the") as error:
        await expanding(world)
    assert error.value.type == ErrorType.NODE_STUCK


async def test_an_interrupted_growth_is_found_again(world: World) -> None:
    """The record has the new size by then, so nothing in it says that the volumes have not."""
    for name in STORE:
        world.claim(name, "1Gi", request="2Gi")
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.change) == (
        OperationType.RESIZE,
        "volumes that have not grown yet: books-store-g-0, books-store-g-1",
    )
    for name in STORE:
        world.claim(name, "2Gi", request="2Gi")
    assert (await world.load()).operation != OperationType.RESIZE


async def test_a_kept_volume_of_a_class_that_cannot_grow_is_used_as_it_is(world: World) -> None:
    world.cluster.remove(world.cluster.get_now("StorageClass", "", "grows"))
    assert (await world.load()).operation != OperationType.RESIZE
    assert (await expanding(world)).changed == 0


PENDING = [{"type": "FileSystemResizePending", "status": "True", "message": "Waiting for user to (re-)start a pod"}]


async def test_a_file_system_that_waits_for_a_start_gets_it_by_the_roll(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "ONLINE_WITHIN", 0.05)
    world.claim(STORE[0], "2Gi", request="2Gi")
    world.claim(STORE[1], "1Gi", request="2Gi", conditions=PENDING)
    await asyncio.wait_for(expanding(world), 5)
    target = world.target(OperationType.RESIZE)
    plan = await world.do(Roll(world.platform).plan_roll, RollRequest(target))
    ((node,),) = plan.batches
    assert node.name == STORE[1]
    rolling = asyncio.create_task(
        world.do(Node(world.platform).roll_node, NodeStep(target, node.component, node.group, node.name, node.pod))
    )
    await eventually(lambda: world.pod(node.name)["metadata"]["uid"] != node.pod)
    await asyncio.sleep(0.05)
    assert not rolling.done(), "a Pod that serves may still lack the space"
    world.claim(STORE[1], "2Gi", request="2Gi")
    await asyncio.wait_for(rolling, 5)


async def test_while_the_kubelet_may_still_do_it_under_the_pod_nothing_is_restarted(world: World) -> None:
    for name in STORE:
        world.claim(name, "1Gi", request="2Gi", conditions=PENDING)
    task = expanding(world)
    await asyncio.sleep(0.1)
    assert not task.done()
    for name in STORE:
        world.claim(name, "2Gi", request="2Gi")
    await asyncio.wait_for(task, 5)
    plan = await world.do(Roll(world.platform).plan_roll, RollRequest(world.target(OperationType.RESIZE)))
    assert plan.batches == []


@pytest.mark.parametrize(
    ("status", "grown"),
    [({}, True), ({"capacity": {"storage": "1Gi"}}, False), ({"capacity": {"storage": "2048Mi"}}, True)],
)
def test_only_the_capacity_says_that_it_has_grown(status: dict[str, Any], grown: bool) -> None:
    claim = {"metadata": {"name": "x"}, "status": status}
    assert has_grown(claim, "2Gi") == grown


def test_conditions_count_while_they_are_true() -> None:
    past = {"status": {"conditions": [{**PENDING[0], "status": "False"}]}}
    assert not needs_start(past)
    assert trouble({"status": {"conditions": [{"type": "NodeResizeError", "status": "True"}]}}) == "NodeResizeError"
    assert trouble({"status": {}}) == ""
