"""The metadata ConfigMap says what the statuses say, and whoever edits or removes it finds it back as it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from clients.kubernetes import Kubernetes
from tests.unit.watcher.support.fakes import FakeKubernetes, eventually
from tests.unit.watcher.support.objects import APP, NAMESPACE, UID, Manifest, app, component, group
from watcher.cache.caches import watched
from watcher.status.metadata import MetadataWriter, parts

pytestmark = pytest.mark.usefixtures("virtual_time")

NODES = [f"{APP}-redis-data-{n}" for n in range(3)]
DEPLOYED = {
    "plugin": "redis",
    "pluginVersion": "1.1.0",
    "previousPlugin": "1.0.0",
    "topology": "sentinel",
    "specHash": "abc",
    "created": "2025-01-01T00:00:00Z",
    "updated": "2025-01-02T00:00:00Z",
}
WANTED = {
    "basic": {
        "uid": UID,
        "plugin": "redis",
        "pluginVersion": "1.1.0",
        "previousPlugin": "1.0.0",
        "runtimeVersion": "8.0",
        "topology": "sentinel",
        "created": "2025-01-01T00:00:00Z",
        "updated": "2025-01-02T00:00:00Z",
    },
    "nodes": {
        "normal": [
            {"name": NODES[0], "component": "redis", "group": "data", "version": "7.0", "data": "7.0"},
            {"name": NODES[1], "component": "redis", "group": "data", "version": "8.0", "unverified": "true"},
        ],
        "adding": [{"name": NODES[2], "component": "redis", "group": "data", "version": "8.0"}],
        "deleting": [],
    },
    "config": {"redis": {"maxmemory": "64mb"}},
    "roles": [{"node": NODES[0], "role": "master", "epoch": 7}],
}


def upgrading() -> list[Manifest]:
    """An App in mid-upgrade, and its Component and Group."""
    own = component("redis")
    own["status"] = {
        "parameters": {"maxmemory": "64mb"},
        "roles": [{"node": NODES[0], "role": "master", "epoch": 7}],
        "holders": [{"role": "master", "node": NODES[0]}],
    }
    data = group("redis", 3)
    data["spec"]["runtimeVersion"] = "8.0"
    data["status"] = {
        "currentRevision": "a",
        "updateRevision": "b",
        "members": [
            {"name": NODES[0], "state": "normal", "version": "7.0", "data": "7.0"},
            {"name": NODES[1], "state": "normal", "version": "8.0", "unverified": True},
            {"name": NODES[2], "state": "adding", "version": "8.0"},
        ],
    }
    return [app(deployed=DEPLOYED), own, data]


@asynccontextmanager
async def writing(*objects: Manifest, to: FakeKubernetes | None = None) -> AsyncIterator[FakeKubernetes]:
    kubernetes = to or FakeKubernetes()
    for each in objects:
        kubernetes.put(each)
    async with watched(cast(Kubernetes, kubernetes)) as cluster, MetadataWriter(cluster):
        yield kubernetes


async def test_one_that_somebody_made_immutable_is_replaced_and_goes_on_saying_what_is() -> None:
    async with writing(*upgrading()) as kubernetes:
        await eventually(lambda: written(kubernetes) == WANTED)
        kubernetes.put({**live(kubernetes), "immutable": True, "data": {"basic": '"frozen"'}})
        await eventually(lambda: written(kubernetes) == WANTED)
        assert not live(kubernetes).get("immutable")
        kubernetes.put(app(deployed={**DEPLOYED, "pluginVersion": "1.2.0"}))
        await eventually(lambda: written(kubernetes)["basic"]["pluginVersion"] == "1.2.0")


async def test_one_that_is_frozen_while_it_says_what_is_so_can_be_changed_again() -> None:
    async with writing(*upgrading()) as kubernetes:
        await eventually(lambda: written(kubernetes) == WANTED)
        kubernetes.put({**live(kubernetes), "immutable": True})
        await eventually(lambda: written(kubernetes) == WANTED and not live(kubernetes).get("immutable"))


def written(kubernetes: FakeKubernetes) -> Any:
    found = kubernetes.objects.get(("ConfigMap", NAMESPACE, f"{APP}-metadata"))
    return {name: json.loads(text) for name, text in found["data"].items()} if found is not None else None


def live(kubernetes: FakeKubernetes) -> Manifest:
    return kubernetes.get_now("ConfigMap", NAMESPACE, f"{APP}-metadata")


async def test_it_says_what_the_statuses_say() -> None:
    async with writing(*upgrading()) as kubernetes:
        await eventually(lambda: written(kubernetes) == WANTED)
        owners = live(kubernetes)["metadata"]["ownerReferences"]
    assert [(each["kind"], each["uid"]) for each in owners] == [("App", UID)]


async def test_it_follows_them() -> None:
    async with writing(*upgrading()) as kubernetes:
        await eventually(lambda: written(kubernetes) == WANTED)
        changed = kubernetes.get_now("Group", NAMESPACE, f"{APP}-redis-data")
        members = [{"name": NODES[0], "state": "deleting", "version": "7.0"}]
        kubernetes.put({**changed, "status": {**changed["status"], "members": members}})
        await eventually(lambda: [n["name"] for n in written(kubernetes)["nodes"]["deleting"]] == [NODES[0]])


def removed(kubernetes: FakeKubernetes) -> None:
    kubernetes.remove(live(kubernetes))


def edited(kubernetes: FakeKubernetes) -> None:
    """By hand: what was there is spoiled, and something is added."""
    by_hand = [{"manager": "kubectl-edit", "operation": "Update", "time": "2025-01-02T00:00:00Z"}]
    metadata = {**live(kubernetes)["metadata"], "managedFields": by_hand}
    data = {"basic": '"spoiled"', "nodes": "{}", "record": "{}"}
    kubernetes.put({**live(kubernetes), "metadata": metadata, "data": data})


def replaced(kubernetes: FakeKubernetes) -> None:
    """By another of the name, without label and owner."""
    kubernetes.remove(live(kubernetes))
    metadata = {"name": f"{APP}-metadata", "namespace": NAMESPACE, "uid": "another"}
    kubernetes.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"basic": "{}"}})


@pytest.mark.parametrize("accident", [removed, edited, replaced])
async def test_after_an_accident_it_comes_back_as_it_was(accident: Callable[[FakeKubernetes], None]) -> None:
    async with writing(*upgrading()) as kubernetes:
        await eventually(lambda: written(kubernetes) == WANTED)
        accident(kubernetes)
        assert written(kubernetes) != WANTED
        await eventually(lambda: written(kubernetes) == WANTED)
        assert live(kubernetes)["metadata"]["labels"]["middleware.io/app"] == APP
        assert live(kubernetes)["metadata"]["ownerReferences"][-1]["uid"] == UID


async def test_one_of_another_app_is_left_alone() -> None:
    metadata = {
        "name": f"{APP}-metadata",
        "namespace": NAMESPACE,
        "uid": "another",
        "ownerReferences": [{"kind": "App", "uid": "another-app"}],
    }
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mine": "1"}}
    async with writing(theirs, *upgrading()) as kubernetes:
        await eventually(lambda: any(verb == "get" for verb, name, _ in kubernetes.calls if name == f"{APP}-metadata"))
        assert live(kubernetes)["data"] == {"mine": "1"}


def test_of_an_app_that_was_not_deployed_there_is_nothing_to_say() -> None:
    assert parts(app(), [], []) is None


class EditedAtOnce(FakeKubernetes):
    """Somebody edits the ConfigMap just after it was put back, and is seen before the answer is."""

    waits = True

    async def patch(self, *arguments: Any, **more: Any) -> Manifest:
        answer = await super().patch(*arguments, **more)
        if self.waits and arguments[1] == f"{APP}-metadata":
            self.waits = False
            edited(self)
            await asyncio.sleep(0.05)
        return answer


async def test_an_edit_while_it_is_put_back_is_not_overlooked() -> None:
    async with writing(*upgrading(), to=EditedAtOnce()) as kubernetes:
        await eventually(lambda: written(kubernetes) == WANTED)
        edited(kubernetes)
        await eventually(lambda: isinstance(kubernetes, EditedAtOnce) and not kubernetes.waits)
        assert written(kubernetes) != WANTED
        await eventually(lambda: written(kubernetes) == WANTED)
