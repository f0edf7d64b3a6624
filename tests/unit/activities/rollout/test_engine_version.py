"""A component with a version of its own: what its engine is asked for as it is rolled."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError

from activities.rollout.roll_node import Node
from api.operations import OperationType
from api.steps import NodeStep
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import DEFINITION, shelf, store

OWN = DEFINITION.replace('images: {shelf: "shelf:1"}', 'images: {shelf: "shelf:1"}, components: {store: "9.4"}')
NODE = "books-store-g-1"


@pytest.fixture
async def world(virtual_time: None) -> World:
    world = await World(shelf(plugin_yaml=OWN), runtimeVersion="1", components=store(replicas=2)).deployed()
    world.roles(store_0="primary")
    return world


async def roll(world: World) -> None:
    pod = world.pod(NODE)["metadata"]["uid"]
    step = NodeStep(world.target(OperationType.RESTART), "store", "g", NODE, pod)
    await world.do(Node(world.platform).roll_node, step)


async def test_an_engine_of_its_components_version_is_the_right_one(world: World) -> None:
    world.agents.tools["getVersion"] = {"version": "9.4.1"}
    await roll(world)
    assert f"NodeRolled: {NODE} serves again, version 9.4" in world.events()


async def test_one_of_the_apps_version_is_not(world: World) -> None:
    world.agents.tools["getVersion"] = {"version": "1.0"}
    with pytest.raises(ApplicationError, match=r"runs version 1\.0; its image should hold 9\.4"):
        await roll(world)
