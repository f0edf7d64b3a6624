"""A StorageClass that does not exist is refused before anything is made, and what never was a volume is not kept."""

from __future__ import annotations

from typing import Any

import pytest

from activities.reconcile.delete import Delete
from api.app import DeletionPolicy
from api.names import FINALIZER
from tests.unit.activities.support.cluster import NAME, World
from tests.unit.render.support import store

FIELD = "spec.components[0].groups[0].storage.storageClassName"
CLAIMS = ["books-store-g-0", "books-store-g-1"]


def of_class(name: str) -> list[dict[str, Any]]:
    return store(replicas=2, storage={"size": "1Gi", "storageClassName": name})


def with_class(world: World, name: str) -> World:
    world.cluster.put({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}})
    return world


async def test_an_unknown_class_is_refused_with_those_there_are_and_can_be_corrected() -> None:
    world = with_class(with_class(World(components=of_class("lokal")), "local"), "slow")
    snapshot = await world.load()
    assert snapshot.refusal_reason == "InvalidSpec"
    assert snapshot.refusal == (
        f"{FIELD}: there is no StorageClass 'lokal'; did you mean local?; the cluster has local, slow; "
        "write one that exists, or make this one"
    )
    world.edit(components=of_class("local"))
    assert (await world.load()).refusal == ""


async def test_a_cluster_without_any_says_so() -> None:
    assert (await World(components=of_class("nope")).load()).refusal.endswith(
        "the cluster has none; write one that exists, or make this one"
    )


async def test_a_class_that_goes_later_is_no_reason_to_refuse_what_runs() -> None:
    world = with_class(World(components=of_class("local")), "local")
    await world.deployed()
    world.cluster.remove(world.cluster.get_now("StorageClass", "", "local"))
    assert (await world.load()).refusal == ""


@pytest.mark.parametrize(
    ("policy", "kept"), [(DeletionPolicy.RETAIN, ["books-store-g-1"]), (DeletionPolicy.DELETE, [])]
)
async def test_a_claim_that_never_had_a_volume_is_not_kept(policy: str, kept: list[str]) -> None:
    world = await World(deletionPolicy=str(policy), components=store(replicas=2, storage={"size": "1Gi"})).deployed()
    for name, spec, phase in ((CLAIMS[0], {}, "Pending"), (CLAIMS[1], {"volumeName": "pv-1"}, "Bound")):
        claim = world.object("PersistentVolumeClaim", name)
        world.cluster.put({**claim, "spec": {**claim["spec"], **spec}, "status": {"phase": phase}})
    app = world.object("App", NAME)
    metadata = {**app["metadata"], "finalizers": [FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    world.cluster.put({**app, "metadata": metadata})
    await world.do(Delete(world.platform).delete_leftovers, world.target("Delete"))
    assert world.names("PersistentVolumeClaim") == kept
