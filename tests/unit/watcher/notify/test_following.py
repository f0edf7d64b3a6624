"""Statuses and notices as they follow from what happens in the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest
from temporalio.service import RPCError, RPCStatusCode

from api.operations import AppReference, Notice, NoticeKind
from clients import temporal
from clients.kubernetes import Kubernetes
from tests.unit.watcher.support.fakes import FakeKubernetes, eventually, unavailable
from tests.unit.watcher.support.objects import APP, NAMESPACE, app, component, group, pod, service
from watcher.cache.caches import AppKey, Caches, watched
from watcher.notify.notifier import Notifier
from watcher.roles.rules import RoleRules
from watcher.roles.said import Said
from watcher.status.writer import DELAY, StatusWriter

pytestmark = pytest.mark.usefixtures("virtual_time")


def deployed() -> FakeKubernetes:
    kubernetes = FakeKubernetes()
    kubernetes.put(app(phase="Running", observedGeneration=1))
    kubernetes.put(component("redis"))
    kubernetes.put(group("redis", 1))
    kubernetes.put(service(f"{APP}-redis", "redis", 6379))
    kubernetes.put(service(f"{APP}-redis-data-0", "redis", 6379, node=f"{APP}-redis-data-0"))
    return kubernetes


class Heard:
    """A role monitor that has heard every agent, and nothing special."""

    def messages(self, key: AppKey) -> Mapping[str, str]:
        return {}

    def said(self, key: AppKey) -> Mapping[str, Said]:
        return {pod("redis", 0)["metadata"]["name"]: Said()}

    def claims(self, key: AppKey) -> Mapping[str, str]:
        return {}


def writer(cluster: Caches) -> StatusWriter:
    return StatusWriter(cluster, Heard(), RoleRules(cluster))


def status(kubernetes: FakeKubernetes) -> dict[str, Any]:
    return cast(dict[str, Any], kubernetes.get_now("App", NAMESPACE, APP)["status"])


def applied(kubernetes: FakeKubernetes) -> int:
    return sum(verb == "apply" for verb, _, _ in kubernetes.calls)


async def test_status_follows_the_pods_and_is_written_only_on_change() -> None:
    kubernetes = deployed()
    async with watched(cast(Kubernetes, kubernetes)) as cluster, writer(cluster):
        await eventually(lambda: status(kubernetes).get("ready") == "0/1")
        node = pod("redis", 0)
        kubernetes.put(node)
        await eventually(lambda: status(kubernetes)["ready"] == "1/1")
        assert kubernetes.get_now("Group", NAMESPACE, f"{APP}-redis-data")["status"]["ready"] == 1
        await eventually(lambda: applied(kubernetes) == 6)
        annotated = kubernetes.get_now("Pod", NAMESPACE, node["metadata"]["name"])
        kubernetes.put({**annotated, "metadata": {**annotated["metadata"], "annotations": {"a": "b"}}})
        kubernetes.put(service(f"{APP}-redis-master", "redis", 6379))
        await eventually(lambda: len(status(kubernetes)["endpoints"]) == 2)
        assert applied(kubernetes) == 7
    assert status(kubernetes)["phase"] == "Running"


async def test_the_app_is_ready_only_after_its_parts_are() -> None:
    kubernetes, held = deployed(), asyncio.Event()
    node = pod("redis", 0)
    written, apply = [], kubernetes.apply

    async def slow(manifest: dict[str, Any], **more: Any) -> dict[str, Any]:
        if manifest["kind"] != "App":
            await held.wait()
        written.append(manifest["kind"])
        return await apply(manifest, **more)

    kubernetes.put(node)
    kubernetes.apply = slow  # type: ignore[method-assign]
    async with watched(cast(Kubernetes, kubernetes)) as cluster, writer(cluster):
        asyncio.get_running_loop().call_later(5 * DELAY, held.set)
        await eventually(lambda: "App" in written)
    assert sorted(written[:3]) == ["App", "Component", "Group"]
    assert written[2] == "App"


async def test_status_that_could_not_be_written_is_written_later() -> None:
    kubernetes = deployed()
    kubernetes.fail = lambda verb, name: unavailable() if verb == "apply" else None
    async with watched(cast(Kubernetes, kubernetes)) as cluster, writer(cluster):
        kubernetes.put(pod("redis", 0))
        kubernetes.fail = lambda verb, name: None
        await eventually(lambda: status(kubernetes).get("ready") == "1/1")


class FakeTemporal:
    """Takes notices in place of the client's functions; fake because a test must make it refuse."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.notices: list[tuple[str, Notice]] = []
        self.down = False
        monkeypatch.setattr(temporal, "connect", self.connect)
        monkeypatch.setattr(temporal, "notify_entity", self.notify)

    async def connect(self) -> FakeTemporal:
        return self

    async def notify(
        self, client: object, installation: str, reference: AppReference, notice: Notice, *, plugin: str
    ) -> None:
        assert (installation, plugin) == ("test", "redis")
        if self.down:
            raise RPCError("it is down", RPCStatusCode.UNAVAILABLE, b"")
        self.notices.append((f"{reference.namespace}/{reference.app}", notice))


async def test_notices_are_sent_when_temporal_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, kubernetes = FakeTemporal(monkeypatch), deployed()
    fake.down = True
    async with watched(cast(Kubernetes, kubernetes)) as cluster, Notifier(cluster, "test"):
        changed = kubernetes.get_now("App", NAMESPACE, APP)
        kubernetes.put({**changed, "metadata": {**changed["metadata"], "generation": 2}})
        fake.down = False
        await eventually(lambda: bool(fake.notices))
    notice = fake.notices[-1][1]
    assert (fake.notices[-1][0], notice.kind) == ("demo/cache", NoticeKind.SPEC)
    assert "generation 2" in notice.detail


async def test_a_deleted_object_of_a_living_app_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, kubernetes = FakeTemporal(monkeypatch), deployed()
    async with watched(cast(Kubernetes, kubernetes)) as cluster, Notifier(cluster, "test"):
        await eventually(lambda: len(fake.notices) == 1)
        kubernetes.remove(service(f"{APP}-redis", "redis", 6379))
        await eventually(lambda: len(fake.notices) == 2)
    assert fake.notices[1][1].kind == NoticeKind.DRIFT
    assert f"Service {APP}-redis was deleted" in fake.notices[1][1].detail


async def test_a_pod_that_goes_unasked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have lost its labels, and runs on; that it ends as it was asked to is nothing special."""
    fake, kubernetes = FakeTemporal(monkeypatch), deployed()
    lost, ended = pod("redis", 0), pod("redis", 1)
    ended["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    for each in (lost, ended):
        kubernetes.put(each)
    async with watched(cast(Kubernetes, kubernetes)) as cluster, Notifier(cluster, "test"):
        await eventually(lambda: len(fake.notices) == 1)
        kubernetes.remove(ended)
        kubernetes.remove(lost)
        await eventually(lambda: len(fake.notices) == 2)
    assert fake.notices[1][1].detail == f"Pod {lost['metadata']['name']} was deleted, or lost its labels"


async def test_nothing_is_told_of_the_objects_of_an_app_that_is_being_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, kubernetes = FakeTemporal(monkeypatch), deployed()
    async with watched(cast(Kubernetes, kubernetes)) as cluster, Notifier(cluster, "test"):
        await eventually(lambda: len(fake.notices) == 1)
        going = kubernetes.get_now("App", NAMESPACE, APP)
        kubernetes.put({**going, "metadata": {**going["metadata"], "deletionTimestamp": "2025-01-01T00:00:00Z"}})
        await eventually(lambda: len(fake.notices) == 2)
        kubernetes.remove(service(f"{APP}-redis", "redis", 6379))
        kubernetes.remove(kubernetes.get_now("App", NAMESPACE, APP))
        kubernetes.put({**app(), "metadata": {**app()["metadata"], "name": "another"}})
        await eventually(lambda: len(fake.notices) == 3)
    assert [name for name, _ in fake.notices] == ["demo/cache", "demo/cache", "demo/another"]
