"""A node's Service that somebody deletes, or makes anew, has its address again; or its engine learns of the new one."""

from __future__ import annotations

from typing import Any

import pytest

from api.effective import noted
from api.names import ANNOTATION_ADDRESS
from api.operations import OperationType
from clients.errors import InvalidError
from tests.unit.activities.support.cluster import NAMESPACE, World
from tests.unit.render.support import store

NODE, PEER = "books-store-g-0", "books-store-g-1"


async def deployed() -> World:
    return await World(runtimeVersion="1", components=store(replicas=2)).deployed()


def address(world: World, node: str = NODE) -> str:
    return str(world.object("Service", node)["spec"]["clusterIP"])


def recorded(world: World, node: str = NODE) -> str:
    return str(world.object("Deployment", node)["metadata"]["annotations"][ANNOTATION_ADDRESS])


async def test_the_address_that_an_engine_announces_is_recorded() -> None:
    world = await deployed()
    assert recorded(world) == address(world)
    assert recorded(world, PEER) == address(world, PEER)
    assert (await world.load()).drift == []


async def test_a_deleted_service_of_a_node_comes_back_with_the_same_address() -> None:
    world = await deployed()
    before = address(world)
    world.cluster.remove(world.object("Service", NODE))
    assert (await world.load()).drift == [f"Service {NODE} is missing"]
    await world.carry_out(OperationType.REPAIR)
    assert address(world) == before
    assert (await world.load()).drift == []


@pytest.mark.parametrize("other", ["198.18.77.7", "None"])
async def test_a_service_that_somebody_made_anew_is_given_the_address_of_the_former_one(other: str) -> None:
    world = await deployed()
    before, live = address(world), world.object("Service", NODE)
    world.cluster.remove(live)
    metadata, spec = {**live["metadata"], "uid": "x"}, {**live["spec"], "clusterIP": other}
    world.cluster.put({**live, "metadata": metadata, "spec": spec})
    has = "none" if other == "None" else other
    assert (await world.load()).drift[0] == f"Service {NODE} has the address {has}, and its engine announces {before}"
    await world.carry_out(OperationType.REPAIR)
    assert address(world) == before
    assert (await world.load()).drift == []


async def test_an_address_that_somebody_else_has_by_now_costs_a_planned_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await deployed()
    before = address(world)
    world.cluster.remove(world.object("Service", NODE))
    apply = world.cluster.apply

    async def taken(manifest: dict[str, Any], **more: Any) -> dict[str, Any]:
        if manifest["kind"] == "Service" and manifest["spec"].get("clusterIP") == before:
            raise InvalidError("applying", 422, "Invalid", f"{before} is already allocated")
        return await apply(manifest, **more)

    monkeypatch.setattr(world.cluster, "apply", taken)
    await world.carry_out(OperationType.REPAIR)
    assert address(world) != before
    assert recorded(world) == before, "what the engine announces until it is restarted"
    said = next(event for event in world.events() if event.startswith("AddressChanged"))
    assert f"cannot have its address {before} again" in said
    snapshot = await world.load()
    assert snapshot.drift == [], "a Repair could not do more"
    assert (snapshot.operation, NODE in snapshot.change) == ("Reconfigure", True)
    assert PEER not in snapshot.change


async def test_a_service_of_a_stranger_is_not_taken_over_for_its_name() -> None:
    world = await deployed()
    live = world.object("Service", NODE)
    world.cluster.remove(live)
    stranger = {"name": NODE, "namespace": NAMESPACE, "uid": "x"}
    world.cluster.put({**live, "metadata": stranger, "spec": {**live["spec"], "clusterIP": "198.18.77.7"}})
    with pytest.raises(Exception, match="belongs to nobody whom the platform knows"):
        await world.carry_out(OperationType.REPAIR)
    assert address(world) == "198.18.77.7"
    assert noted(world.object("ConfigMap", NODE)) is not None
