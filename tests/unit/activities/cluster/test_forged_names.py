"""A tenant who may write the App's metadata ConfigMap, or labels, gets nothing of anybody else's removed by it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.app.desired import desired_for
from activities.app.secrets import ensure_credentials
from activities.reconcile.delete import Delete
from activities.reconcile.remove_node import RemoveNode
from activities.reconcile.scale import Scale
from api.operations import OperationType
from api.steps import NodeStep, ScalePlan
from tests.unit.activities.support.cluster import NAME, NAMESPACE, World
from tests.unit.render.support import store

NODES = [f"books-store-g-{n}" for n in range(3)]
UP = "../../victim/persistentvolumeclaims"


@pytest.fixture
async def world() -> World:
    return await World(runtimeVersion="1", components=store(replicas=2)).deployed()


@pytest.mark.parametrize("state", ["normal", "deleting"])
async def test_a_name_in_the_metadata_config_map_is_nobody_to_remove(world: World, state: str) -> None:
    before = world.state
    live = world.object("ConfigMap", "books-metadata")
    forged = {"name": f"{UP}/books-store-g-0", "component": "store", "group": "g"}
    world.cluster.put({**live, "data": {"nodes": json.dumps({state: [forged]}), "basic": "{}"}})
    plan: ScalePlan = await world.do(Scale(world.platform).plan_scale, world.target(OperationType.SCALE))
    assert (plan.adding, plan.removing) == ([], [])
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.refusal, snapshot.drift) == ("", "", [])
    assert world.state == before


@pytest.mark.parametrize(
    "name", [f"{UP}/books-store-g-0", "other-store-g-0", "books-store-g-0", "books-watch-default-0"]
)
async def test_a_step_by_hand_with_another_name_removes_nothing(world: World, name: str) -> None:
    """Of a node that is not on its way out, or of no node at all."""
    deployments, claims = world.names("Deployment"), world.names("PersistentVolumeClaim")
    step = NodeStep(world.target(OperationType.SCALE), "store", "g", name)
    leaving = RemoveNode(world.platform)
    for each in (leaving.leave_node, leaving.remove_node, leaving.forget_node, leaving.discard_node):
        with pytest.raises(ApplicationError):
            await world.do(each, step)
    assert (world.names("Deployment"), world.names("PersistentVolumeClaim")) == (deployments, claims)


def begin_deletion(world: World) -> None:
    app = world.object("App", NAME)
    app["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    world.cluster.put(app)


def relabelled(world: World, kind: str, name: str, **labels: str) -> None:
    """Somebody else's object, with the labels of this App."""
    metadata: dict[str, Any] = {"name": name, "namespace": NAMESPACE, "labels": labels, "uid": f"uid-{name}"}
    world.cluster.put({"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": {}, "data": {}})


async def test_a_volume_of_somebody_else_that_only_has_the_label_survives_the_app(world: World) -> None:
    world.edit(deletionPolicy="Delete")
    label = {"middleware.io/app": NAME, "middleware.io/component": "store"}
    relabelled(world, "PersistentVolumeClaim", "payroll", **label)
    begin_deletion(world)
    await world.do(Delete(world.platform).delete_leftovers, world.target(OperationType.DELETE))
    assert world.names("PersistentVolumeClaim") == ["payroll"]
    assert any("payroll" in said for said in world.events())


async def test_passwords_that_another_app_uses_survive_this_one(world: World) -> None:
    world.edit(deletionPolicy="Delete")
    kept = world.object("Secret", "books-credentials")
    kept["metadata"]["annotations"] = {"middleware.io/app-uid": "uid-2"}
    world.cluster.put(kept)
    begin_deletion(world)
    await world.do(Delete(world.platform).delete_leftovers, world.target(OperationType.DELETE))
    assert world.names("Secret") == ["books-credentials"]


async def test_passwords_kept_from_an_earlier_app_are_this_ones_from_its_first_deploy_on() -> None:
    world = World(runtimeVersion="1", components=store(replicas=2))
    kept = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "books-credentials", "namespace": NAMESPACE, "labels": {"middleware.io/app": NAME}},
        "data": {},
    }
    world.cluster.put(kept)
    want = await desired_for(world.platform, world.target(OperationType.DEPLOY))
    await ensure_credentials(world.platform, world.target(OperationType.DEPLOY), want.desired)
    assert world.object("Secret", "books-credentials")["metadata"]["annotations"]["middleware.io/app-uid"] == "uid-1"
