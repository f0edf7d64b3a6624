"""A StorageClass that does not exist is refused before anything is made, what never was a volume is not kept, and a
claim that nobody can provision is corrected in the App."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.app.retained_volumes import of_this_app
from activities.reconcile.apply_group import ApplyGroup
from activities.reconcile.delete import Delete
from activities.reconcile.prepare import Prepare
from activities.rollout.expand_and_roll_back import Upgrade
from api.app import DeletionPolicy
from api.names import FINALIZER
from api.operations import OperationType
from api.steps import GroupStep
from clients.errors import ConflictError
from clients.resources import STORAGE_CLASS
from tests.unit.activities.support.agents import UID
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


# Claims that never had a volume, and a spec that is corrected


def of(name: str, size: str = "1Gi", **group: Any) -> list[dict[str, Any]]:
    return store(replicas=2, storage={"size": size, "storageClassName": name}, **group)


async def begun(*bound: str, size: str = "1Gi") -> World:
    """The first Deploy waits for volumes of a class that gives none, but to the nodes that are ``bound``."""
    world = with_class(with_class(World(components=of("slow", size)), "slow"), "local")
    await applied(world)
    for name in CLAIMS:
        provisioned(world, name, has_volume=name in bound)
    return world


def provisioned(world: World, name: str, *, has_volume: bool) -> None:
    claim = world.object("PersistentVolumeClaim", name)
    spec = {**claim["spec"], **({"volumeName": f"pv-{name}"} if has_volume else {})}
    status: dict[str, Any] = {"phase": "Pending"}
    if has_volume:
        status = {"phase": "Bound", "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]}}
    world.cluster.put({**claim, "spec": spec, "status": status})


async def applied(world: World) -> None:
    target = world.target(OperationType.DEPLOY)
    for step in (Prepare(world.platform).prepare, Prepare(world.platform).services):
        await world.do(step, target)
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(target, "store", "g"))


def asked(world: World) -> list[tuple[str, str]]:
    specs = [world.object("PersistentVolumeClaim", name)["spec"] for name in CLAIMS]
    return [(spec.get("storageClassName", ""), spec["resources"]["requests"]["storage"]) for spec in specs]


def uids(world: World) -> list[str]:
    return [str(world.object("PersistentVolumeClaim", name)["metadata"]["uid"]) for name in CLAIMS]


@pytest.mark.parametrize(("name", "size"), [("local", "1Gi"), ("slow", "10Mi"), ("local", "2Gi")])
async def test_a_claim_that_nobody_provisions_is_corrected_in_the_app(name: str, size: str) -> None:
    world = await begun()
    before = uids(world)
    world.edit(components=of(name, size))
    assert (await world.load()).refusal == ""
    await applied(world)
    assert asked(world) == [(name, size)] * 2
    assert not {*before} & {*uids(world)}
    assert [of_this_app(world.object("PersistentVolumeClaim", each), UID) for each in CLAIMS] == [True, True]
    said = f"ClaimRenewed: the claim {CLAIMS[0]} never had a volume; it asked for 1Gi of StorageClass slow, and is made"
    assert said in str(world.events())
    again = uids(world)
    await applied(world)
    assert uids(world) == again, "once"


async def test_a_volume_is_never_thrown_away_for_another_class() -> None:
    world = await begun(CLAIMS[0])
    world.edit(components=of("local"))
    assert f"{FIELD}: cannot change where there are volumes; it is slow" in (await world.load()).refusal
    world.edit(components=of("slow", "10Mi"))
    assert (
        f"{FIELD.replace('storageClassName', 'size')}: a volume cannot shrink; it has 1Gi"
        in (await world.load()).refusal
    )


async def test_a_volume_that_is_found_late_is_kept_as_it_is() -> None:
    """Provisioned between the look and the step: the API server is told which state was looked at."""
    world = await begun()
    world.edit(components=of("local"))
    listing = world.cluster.list

    async def late(resource: Any, *more: Any, **how: Any) -> Any:
        if resource is STORAGE_CLASS:
            provisioned(world, CLAIMS[0], has_volume=True)
        return await listing(resource, *more, **how)

    world.cluster.list = late  # type: ignore[method-assign]
    before = uids(world)[0]
    with pytest.raises(ConflictError):
        await applied(world)
    await applied(world)
    assert uids(world)[0] == before
    assert asked(world) == [("slow", "1Gi"), ("local", "1Gi")]


async def test_it_is_told_although_the_former_claim_takes_a_moment_to_go() -> None:
    """Kubernetes' own finalizer holds it; the next attempt finds nothing that would remind of it."""
    world = await begun()
    world.edit(components=of("local"))
    removed, going = world.cluster.remove, list[dict[str, Any]]()

    def later(manifest: dict[str, Any]) -> None:
        if manifest["kind"] != "PersistentVolumeClaim":
            removed(manifest)
            return
        going.append(manifest)
        metadata = {**manifest["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
        world.cluster.put({**manifest, "metadata": metadata})

    world.cluster.remove = later  # type: ignore[method-assign]
    with pytest.raises(ApplicationError, match="which never had a volume, is still being removed"):
        await applied(world)
    with pytest.raises(ApplicationError, match="is being deleted; waiting until it is gone"):
        await applied(world)
    for each in going:
        removed(each)
    world.cluster.remove = removed  # type: ignore[method-assign]
    await applied(world)
    assert asked(world) == [("local", "1Gi")] * 2
    assert len([said for said in world.events() if said.startswith("ClaimRenewed")]) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"dataSource": {"kind": "VolumeSnapshot", "name": "monday"}}},
        {"metadata": {"annotations": {"middleware.io/app-uid": "an-earlier-one"}}},
    ],
)
async def test_a_claim_that_somebody_else_has_made_is_left_alone(change: dict[str, Any]) -> None:
    """To be filled from a snapshot, say."""
    world = await begun()
    claim = world.object("PersistentVolumeClaim", CLAIMS[0])
    world.cluster.put(
        {
            **claim,
            "metadata": {**claim["metadata"], **change.get("metadata", {})},
            "spec": {**claim["spec"], **change.get("spec", {})},
        }
    )
    world.edit(components=of("local"))
    before = uids(world)
    await applied(world)
    assert uids(world)[0] == before[0]


async def test_what_the_cluster_calls_its_default_is_no_other_class() -> None:
    world = World(components=store(replicas=2, storage={"size": "1Gi"}))
    world.cluster.put(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        }
    )
    await applied(world)
    for name in CLAIMS:
        claim = world.object("PersistentVolumeClaim", name)
        world.cluster.put({**claim, "spec": {**claim["spec"], "storageClassName": "local"}})
        provisioned(world, name, has_volume=False)
    before = uids(world)
    await applied(world)
    assert uids(world) == before


async def test_a_node_that_waits_for_its_volume_asks_for_the_size_of_a_resize() -> None:
    """A claim that has no volume cannot be told to ask for more."""
    world = with_class(with_class(World(components=of("slow")), "slow"), "local")
    await world.deployed()
    provisioned(world, CLAIMS[0], has_volume=True)
    provisioned(world, CLAIMS[1], has_volume=False)
    slow = world.cluster.get_now("StorageClass", "", "slow")
    world.cluster.put({**slow, "allowVolumeExpansion": True})
    world.edit(components=of("slow", "2Gi"))
    assert (await world.load()).operation == OperationType.RESIZE
    target = world.target(OperationType.RESIZE)
    await world.do(Prepare(world.platform).prepare, target)
    before = uids(world)
    bound = world.object("PersistentVolumeClaim", CLAIMS[0])
    world.cluster.put({**bound, "status": {**bound["status"], "capacity": {"storage": "2Gi"}}})  # its driver is quick
    await world.do(Upgrade(world.platform).expand_volumes, target)
    assert asked(world) == [("slow", "2Gi")] * 2
    after = uids(world)
    assert after[0] == before[0]
    assert after[1] != before[1]


async def test_an_app_that_has_run_and_lost_every_volume_gets_them_of_another_class() -> None:
    world = with_class(with_class(World(components=of("slow")), "slow"), "local")
    await world.deployed()
    for name in CLAIMS:
        provisioned(world, name, has_volume=False)
    world.edit(components=of("local"))
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.operation) == ("", OperationType.RESIZE)
    target = world.target(OperationType.RESIZE)
    await world.do(Prepare(world.platform).prepare, target)
    await world.do(Upgrade(world.platform).expand_volumes, target)
    assert asked(world) == [("local", "1Gi")] * 2
    await world.do(Upgrade(world.platform).expand_volumes, target)
    assert asked(world) == [("local", "1Gi")] * 2
