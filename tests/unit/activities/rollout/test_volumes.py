"""A volume has grown when its claim's status says so, not when it was asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.reconcile.prepare import Prepare
from activities.rollout import volumes
from activities.rollout.expand_and_roll_back import Upgrade
from activities.rollout.plan_roll import Roll
from activities.rollout.roll_node import Node
from activities.rollout.volumes import trouble
from api.operations import OperationType
from api.steps import Applied, ErrorType, NodeStep, RollRequest
from clients.errors import InvalidError
from render.check.growth import has_grown
from render.manifests.volumes import needs_start
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import store
from tests.unit.watcher.support.fakes import eventually

STORE = ["books-store-g-0", "books-store-g-1"]
LARGER = store(replicas=2, storage={"size": "2Gi"})
PENDING = [{"type": "FileSystemResizePending", "status": "True", "message": "Waiting for user to (re-)start a pod"}]


@pytest.fixture
async def world(virtual_time: None) -> World:
    """Its volumes are to grow, and their class can."""
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
    await asyncio.sleep(volumes.GROW_WITHIN / 2)
    assert not task.done()
    world.claim(STORE[1], "2Gi", request="2Gi")
    assert (await asyncio.wait_for(task, 5)).changed == 2


async def test_a_driver_that_never_does_it_ends_the_step_with_what_it_says(world: World) -> None:
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


# A size that turns out too large, or was never meant


def of_size(size: str) -> list[dict[str, Any]]:
    return store(replicas=2, storage={"size": size})


async def refusal(world: World, size: str) -> str:
    world.edit(components=of_size(size))
    return (await world.load()).refusal


async def test_a_size_that_no_volume_has_got_can_be_corrected(world: World) -> None:
    for name in STORE:
        world.claim(name, "1Gi", request="2Gi")
    assert await refusal(world, "1536Mi") == ""
    assert (await world.load()).operation == OperationType.RESIZE
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.RESIZE))
    task = expanding(world)
    await eventually(lambda: all(world.requested(name) == "1536Mi" for name in STORE))
    for name in STORE:
        world.claim(name, "1536Mi", request="1536Mi")
    assert (await asyncio.wait_for(task, 5)).changed == 2
    assert (await world.load()).operation == ""


async def test_nothing_is_waited_for_after_going_back_to_what_the_volumes_have(world: World) -> None:
    """Kubernetes takes no request back to what a volume has, so the claims go on asking."""
    for name in STORE:
        world.claim(name, "1Gi", request="2Gi")
    assert await refusal(world, "1Gi") == ""
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.RESIZE))
    assert (await asyncio.wait_for(expanding(world), 5)).changed == 0
    assert (await world.load()).operation == ""


@pytest.mark.parametrize("conditions", [[], PENDING])
async def test_what_one_volume_has_got_cannot_be_taken_back(world: World, conditions: list[dict[str, str]]) -> None:
    """Nor what it has but for the file system on it."""
    world.claim(STORE[0], "1Gi", request="2Gi")
    world.claim(STORE[1], "1Gi" if conditions else "2Gi", request="2Gi", conditions=conditions)
    assert "a volume cannot shrink; it has 2Gi" in await refusal(world, "1536Mi")


async def test_a_request_that_may_not_be_lowered_ends_the_step_with_what_to_do(world: World) -> None:
    for name in STORE:
        world.claim(name, "1Gi", request="2Gi")
    assert await refusal(world, "1536Mi") == ""
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.RESIZE))

    def refused(verb: str, name: str) -> InvalidError | None:
        less = InvalidError("patching", 422, "Invalid", "field can not be less than previous value")
        return less if verb == "patch" and name in STORE else None

    world.cluster.fail = refused
    with pytest.raises(ApplicationError, match=r"asks for 2Gi and cannot ask for 1536Mi: field can not be") as error:
        await expanding(world)
    assert error.value.non_retryable


async def aborted(world: World) -> str:
    """The recorded size afterwards."""
    await world.do(Upgrade(world.platform).roll_back, world.target(OperationType.RESIZE))
    storage = world.group_spec().storage
    assert storage is not None
    return storage.size


async def test_an_abort_puts_the_size_back_unless_a_volume_has_got_it(world: World) -> None:
    for name in STORE:
        world.claim(name, "1Gi", request="2Gi")
    assert await aborted(world) == "1Gi"
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.RESIZE))
    world.claim(STORE[0], "2Gi", request="2Gi")
    assert await aborted(world) == "2Gi"


async def test_a_repair_in_between_leaves_the_way_back(world: World) -> None:
    for name in STORE:
        world.claim(name, "1Gi", request="2Gi")
    await world.carry_out(OperationType.REPAIR)
    assert await aborted(world) == "1Gi"


async def test_a_volume_that_does_not_grow_does_not_keep_its_node_from_being_rolled(world: World) -> None:
    for name in STORE:
        world.claim(name, "1Gi", request="2Gi")
    world.edit(components=store(replicas=2, storage={"size": "2Gi"}, resources={"limits": {"memory": "1Gi"}}))
    target = world.target(OperationType.RESIZE)
    await world.do(Prepare(world.platform).prepare, target)
    plan = await world.do(Roll(world.platform).plan_roll, RollRequest(target))
    node = plan.batches[0][0]
    step = NodeStep(target, node.component, node.group, node.name, node.pod)
    await asyncio.wait_for(world.do(Node(world.platform).roll_node, step), 5)


async def test_a_file_system_that_waits_for_a_start_gets_it_by_the_roll(world: World) -> None:
    world.claim(STORE[0], "2Gi", request="2Gi")
    world.claim(STORE[1], "1Gi", request="2Gi", conditions=PENDING)
    await asyncio.wait_for(expanding(world), volumes.ONLINE_WITHIN + 5)
    target = world.target(OperationType.RESIZE)
    plan = await world.do(Roll(world.platform).plan_roll, RollRequest(target))
    ((node,),) = plan.batches
    assert node.name == STORE[1]
    rolling = asyncio.create_task(
        world.do(Node(world.platform).roll_node, NodeStep(target, node.component, node.group, node.name, node.pod))
    )
    await eventually(lambda: world.pod(node.name)["metadata"]["uid"] != node.pod)
    await asyncio.sleep(volumes.GROW_WITHIN / 2)
    assert not rolling.done(), "a Pod that serves may still lack the space"
    world.claim(STORE[1], "2Gi", request="2Gi")
    await asyncio.wait_for(rolling, 5)


async def test_while_the_kubelet_may_still_do_it_under_the_pod_nothing_is_restarted(world: World) -> None:
    for name in STORE:
        world.claim(name, "1Gi", request="2Gi", conditions=PENDING)
    task = expanding(world)
    await asyncio.sleep(0.9 * volumes.ONLINE_WITHIN)
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
