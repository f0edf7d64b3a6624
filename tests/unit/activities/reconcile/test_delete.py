"""An App is taken down whole, also where somebody has taken the labels from what belongs to it."""

from __future__ import annotations

import copy

import pytest

from activities.reconcile.delete import Delete
from api.names import ANNOTATION_RUNTIME_VERSION, FINALIZER, LABEL_NODE
from api.steps import ComponentStep
from clients.resources import Manifest, Resource
from tests.unit.activities.support.cluster import NAME, NAMESPACE, World
from tests.unit.render.support import store

NODES = ["books-store-g-0", "books-store-g-1"]


@pytest.fixture
async def world(virtual_time: None) -> World:
    return await dying("Delete")


async def dying(policy: str) -> World:
    spec = store(replicas=2, storage={"size": "1Gi"})
    found = await World(runtimeVersion="1", components=spec, deletionPolicy=policy).deployed()
    for name in NODES:
        bound = found.object("PersistentVolumeClaim", name)
        found.cluster.put({**bound, "status": {"phase": "Bound"}})
    app = found.object("App", NAME)
    metadata = {**app["metadata"], "finalizers": [FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    found.cluster.put({**app, "metadata": metadata})
    return found


async def delete(world: World) -> list[str]:
    """All steps, in their order. The components that were planned."""
    steps, target = Delete(world.platform), world.target("Delete")
    plan = await world.do(steps.plan_deletion, target)
    for component in plan.components:
        await world.do(steps.delete_component, ComponentStep(target, component.name))
    await world.do(steps.delete_leftovers, target)
    return [component.name for component in plan.components]


def unlabelled(world: World, kind: str, name: str) -> None:
    live = world.object(kind, name)
    world.cluster.put({**live, "metadata": {**live["metadata"], "labels": {}}})


def let_go(world: World, node: str, name: str = "lost") -> None:
    """A Pod of the node that its Deployment does not know any more, as somebody has taken its labels."""
    spec = world.object("Deployment", node)["spec"]["template"]["spec"]
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {}}
    world.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(spec)})


def left(world: World) -> list[str]:
    return [*world.names("Deployment"), *world.names("Pod"), *world.names("PersistentVolumeClaim")]


async def test_a_claim_without_labels_goes_by_the_uid_that_it_carries(world: World) -> None:
    unlabelled(world, "PersistentVolumeClaim", NODES[1])
    await delete(world)
    assert left(world) == []


async def test_one_that_is_kept_is_told_its_version_though_it_has_no_labels() -> None:
    world = await dying("Retain")
    unlabelled(world, "PersistentVolumeClaim", NODES[1])
    await delete(world)
    assert world.names("PersistentVolumeClaim") == NODES
    annotations = world.object("PersistentVolumeClaim", NODES[1])["metadata"]["annotations"]
    assert annotations[ANNOTATION_RUNTIME_VERSION] == "1"


async def test_nobody_elses_claim_goes_whatever_its_name(world: World) -> None:
    live = world.object("PersistentVolumeClaim", NODES[1])
    for number, noted in enumerate(({}, {"middleware.io/app-uid": "another"})):
        metadata = {"name": f"books-store-g-{7 + number}", "namespace": NAMESPACE, "annotations": noted}
        world.cluster.put({**live, "metadata": metadata})
    await delete(world)
    assert left(world) == ["books-store-g-7", "books-store-g-8"]


@pytest.mark.parametrize("count", [1, 2])
async def test_pods_without_labels_end_with_their_component(world: World, count: int) -> None:
    """They ran on, with the volume, when nobody knew of the App any more."""
    for number in range(count):
        let_go(world, NODES[0], f"lost-{number}")
    await delete(world)
    assert left(world) == []
    assert not any("LostPodRemoved" in said or "PodsLeftBehind" in said for said in world.events())


async def test_a_deployment_without_labels_ends_before_the_volumes_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlabelled(world, "Deployment", NODES[0])
    gone: list[tuple[str, str]] = []
    remove = world.cluster.remove

    def removed(manifest: Manifest) -> None:
        node = (manifest["metadata"].get("labels") or {}).get(LABEL_NODE, manifest["metadata"]["name"])
        gone.append((manifest["kind"], node))
        remove(manifest)

    monkeypatch.setattr(world.cluster, "remove", removed)
    assert "" not in await delete(world)
    assert left(world) == []
    assert gone.index(("Pod", NODES[0])) < gone.index(("PersistentVolumeClaim", NODES[0]))


async def test_a_pod_without_labels_that_does_not_end_is_named_and_holds_nothing_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go(world, NODES[0])
    remove = world.cluster.delete

    async def delete_but_it(resource: Resource, name: str, namespace: str | None = None, **more: str) -> bool:
        if name != "lost":
            return await remove(resource, name, namespace, **more)
        live = world.object("Pod", name)
        world.cluster.put({**live, "metadata": {**live["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
        return True

    monkeypatch.setattr(world.cluster, "delete", delete_but_it)
    await delete(world)
    assert left(world) == ["lost"]
    assert any("are left behind: lost" in said for said in world.events())
