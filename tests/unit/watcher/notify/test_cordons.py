"""Who is woken when a machine is cordoned, and with what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from api.operations import Notice, NoticeKind, is_drift
from clients.kubernetes import Kubernetes
from tests.unit.watcher.support.fakes import FakeKubernetes, eventually
from tests.unit.watcher.support.objects import APP, Manifest, app, component, pod, service
from watcher.cache import pods
from watcher.cache.caches import watched
from watcher.cache.machines import situation, trim
from watcher.notify.cordons import Cordons
from watcher.roles.rules import RoleRules

pytestmark = pytest.mark.usefixtures("virtual_time")

ONE, TWO = f"{APP}-redis-data-0", f"{APP}-redis-data-1"


def machine(name: str, **spec: object) -> Manifest:
    status = {"images": [{"names": ["redis:7.0"], "sizeBytes": 1}]}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {}},
        "spec": spec,
        "status": status,
    }


def on(where: str, ordinal: int, role: str = "", *, ready: bool = True) -> Manifest:
    found = pod("redis", ordinal, role=role, ready=ready)
    found["spec"]["nodeName"] = where
    return found


def cluster_of(*found: Manifest) -> FakeKubernetes:
    """An App of one component with the role ``master``, on the machines m1 and m2."""
    kubernetes = FakeKubernetes()
    roles = service(f"{APP}-redis-master", "redis", 6379, role="master")
    for each in (app(), component("redis"), roles, machine("m1"), machine("m2"), *found):
        kubernetes.put(each)
    return kubernetes


@asynccontextmanager
async def told(kubernetes: FakeKubernetes) -> AsyncIterator[list[Notice]]:
    notices: list[Notice] = []
    async with (
        watched(cast(Kubernetes, kubernetes)) as cluster,
        Cordons(cluster, RoleRules(cluster), lambda app, notice: notices.append(notice)),
    ):
        yield notices


async def test_the_app_whose_primary_is_there_is_told_with_who_could_take_over() -> None:
    kubernetes = cluster_of(on("m1", 0, "master"), on("m2", 1, "replica"))
    async with told(kubernetes) as notices:
        kubernetes.put(machine("m1", unschedulable=True))
        await eventually(lambda: len(notices) == 1)
    (notice,) = notices
    assert notice.kind == NoticeKind.CORDON
    assert notice.detail == f"{ONE} is on machine m1, which is cordoned; ready elsewhere: {TWO}"
    assert is_drift(notice.detail), "combined with another notice it still says what it is about"


async def test_a_machine_without_a_node_that_is_needed_wakes_nobody() -> None:
    kubernetes = cluster_of(on("m1", 0, "master"), on("m2", 1, "replica"))
    async with told(kubernetes) as notices:
        kubernetes.put(machine("m2", unschedulable=True))
        kubernetes.put(machine("m1", unschedulable=True))  # seen after the other
        await eventually(lambda: bool(notices))
    assert [notice.detail for notice in notices] == [f"{ONE} is on machine m1, which is cordoned"]


async def test_what_changes_the_answer_wakes_it_again_and_nothing_else_does() -> None:
    kubernetes = cluster_of(on("m1", 0, "master"), on("m2", 1, "replica", ready=False))
    async with told(kubernetes) as notices:
        kubernetes.put(machine("m1", unschedulable=True))
        await eventually(lambda: len(notices) == 1)
        kubernetes.put(on("m1", 0, "master"))  # the same again: no matter
        kubernetes.put(on("m2", 1, "replica"))
        await eventually(lambda: len(notices) == 2)
        assert notices[1].detail.endswith(f"ready elsewhere: {TWO}")
        kubernetes.put(on("m1", 0, "replica"))
        kubernetes.put(on("m2", 1, "master"))
        await eventually(lambda: len(notices) == 3)
        assert "any more" in notices[2].detail


async def test_a_role_that_comes_to_a_cordoned_machine_is_told() -> None:
    kubernetes = cluster_of(on("m1", 0, "replica"), on("m2", 1, "master"))
    kubernetes.put(machine("m1", unschedulable=True))
    async with told(kubernetes) as notices:
        kubernetes.put(on("m2", 1, "replica"))
        kubernetes.put(on("m1", 0, "master"))
        await eventually(lambda: len(notices) == 1)
    assert notices[0].detail.startswith(f"{ONE} is on machine m1")


async def test_a_watcher_that_begins_tells_of_machines_cordoned_before() -> None:
    kubernetes = cluster_of(on("m1", 0, "master"), on("m2", 1, "replica"))
    kubernetes.put(machine("m1", unschedulable=True))
    async with told(kubernetes) as notices:
        assert len(notices) == 1


async def test_an_uncordoned_machine_ends_it() -> None:
    kubernetes = cluster_of(on("m1", 0, "master"), on("m2", 1, "replica"))
    async with told(kubernetes) as notices:
        kubernetes.put(machine("m1", unschedulable=True))
        await eventually(lambda: len(notices) == 1)
        kubernetes.put(machine("m1"))
        await eventually(lambda: len(notices) == 2)
    assert "any more" in notices[1].detail


async def test_an_app_that_is_being_deleted_is_left_alone() -> None:
    kubernetes = cluster_of(on("m1", 0, "master"))
    going = app()
    going["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    kubernetes.put(going)
    kubernetes.put({**app(), "metadata": {**app()["metadata"], "name": "another"}})
    other = on("m1", 1, "master")
    other["metadata"]["labels"]["middleware.io/app"] = "another"
    kubernetes.put(other)
    async with told(kubernetes) as notices:
        kubernetes.put(machine("m1", unschedulable=True))
        await eventually(lambda: bool(notices))
        assert [TWO in notice.detail for notice in notices] == [True]


def test_of_a_single_node_it_is_told_whatever_its_role() -> None:
    assert situation([on("m1", 0)], {"m2"}, lambda name: ()) == [f"{ONE} is on machine m1, which is cordoned"]
    assert situation([on("m1", 0)], {"m1"}, lambda name: ()) == []


def test_what_is_kept_of_pods_and_machines_is_enough_and_little() -> None:
    kept = on("m1", 0)
    pods.trim(kept)
    pods.trim(kept)
    assert kept["spec"] == {"nodeName": "m1", "containers": []}
    found = machine("m1", unschedulable=True, podCIDR="10.0.0.0/24", taints=[{"key": "k"}])
    trim(found)
    trim(found)
    assert found == {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "m1"},
        "spec": {"unschedulable": True, "taints": [{"key": "k"}]},
    }
