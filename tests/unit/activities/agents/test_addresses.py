"""A node's address is that of its own Service, whoever has taken the labels off it."""

from __future__ import annotations

import copy

import pytest
from temporalio.exceptions import ApplicationError

from activities.agents.addresses import node_addresses
from activities.app.desired import desired_for
from api.operations import OperationType
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import store

NODES = ["books-store-g-0", "books-store-g-1"]


@pytest.fixture
async def world() -> World:
    return await World(runtimeVersion="1", components=store(replicas=2)).deployed()


async def addresses(world: World) -> dict[str, str]:
    want = await desired_for(world.platform, world.target(OperationType.REPAIR))
    return await node_addresses(world.platform, want.desired)


async def test_a_service_without_labels_has_its_address_all_the_same(world: World) -> None:
    """The way back of an operation waited five minutes for an address that was there."""
    before = await addresses(world)
    service = copy.deepcopy(world.object("Service", NODES[0]))
    service["metadata"]["labels"] = {}
    world.cluster.put(service)
    assert await addresses(world) == before


async def test_what_somebody_else_has_made_of_the_name_is_no_address_of_the_node(world: World) -> None:
    service = copy.deepcopy(world.object("Service", NODES[0]))
    service["metadata"] |= {"labels": {}, "ownerReferences": []}
    world.cluster.put(service)
    with pytest.raises(ApplicationError, match=f"Service {NODES[0]} has no address yet"):
        await addresses(world)


async def test_a_headless_service_is_no_address_of_a_node(world: World) -> None:
    """Its field says "None", which is a text; files were rendered with it, and peers told of it."""
    service = copy.deepcopy(world.object("Service", NODES[0]))
    service["spec"]["clusterIP"] = "None"
    world.cluster.put(service)
    with pytest.raises(ApplicationError, match=f"Service {NODES[0]} has no address yet"):
        await addresses(world)
    found = await world.load()
    assert not any("ConfigMap" in each for each in found.drift), "nothing is rendered with what is no address"
    assert found.operation == "", "nor compared with what the engines were given"
