"""The host of a cluster of three machines restarts, and ``up`` is said again: the same cluster, with its data.

    MW_TEST_INSTANCE=three python -m pytest tests/chaos/test_reboot.py -s

A restart is played: every process of the instance is killed at once, and what a restart forgets (mounts, network
namespaces, everything below ``/run``) is taken away. The page cache is not: what was written and not synced is there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest

from deploy.local.instance import Instance
from deploy.local.mounts import mounts_below, unmount_below
from tests.chaos.ha_case import whole, writer
from tests.chaos.three_machines import instance, kube
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, eventually

__all__ = ["instance", "kube"]

NAMESPACE = "chaos-reboot"
WHOLE_WITHIN = 300.0


@pytest.fixture(scope="module")
def apps(kube: Kube) -> Iterator[list[RunningApp]]:
    kube.namespace(NAMESPACE)
    topologies = ("replication", "sentinel")
    for topology in topologies:
        kube.apply(redis_app(topology, NAMESPACE, topology, 3))
    running = [RunningApp(kube, NAMESPACE, topology) for topology in topologies]
    for app in running:
        app.settled()
    yield running
    for app in running:
        kube.delete("app.middleware.io", app.name, NAMESPACE)


@pytest.mark.timeout(900)
def test_after_a_restart_it_is_the_same_cluster_with_its_data(
    instance: Instance, kube: Kube, apps: list[RunningApp]
) -> None:
    cluster = cluster_id(kube)
    clients = [writer(app, f"before-{time.time():.0f}", 2.0, 1) for app in apps]
    for client in clients:
        with client:
            eventually("writes flow", lambda client=client: len(client.replicated) > 200)  # type: ignore[misc]
    restart(instance)
    begun = time.monotonic()
    instance.up()
    up = time.monotonic() - begun
    assert cluster_id(kube) == cluster
    for app in apps:
        app.settled(WHOLE_WITHIN)
        whole(app)
    print(f"up again after {up:.0f} s, both Apps whole after {time.monotonic() - begun:.0f} s", flush=True)
    for client in clients:
        assert not client.lost(client.replicated), "writes that WAIT had acknowledged are lost"


def restart(instance: Instance) -> None:
    nodes = instance.nodes
    for node in reversed(nodes):
        node.groups.kill()
    for node in reversed(nodes):
        assert not node.groups.members(), f"something of {node.label} still lives"
        unmount_below([node.paths.state, node.paths.run])
        node.network.down()
    assert not mounts_below([node.paths.run for node in nodes]), "nothing is removed through a mount"
    for node in nodes:
        shutil.rmtree(node.paths.run, ignore_errors=True)


def cluster_id(kube: Kube) -> str:
    found = kube.get("namespace", "kube-system", "default")
    assert found is not None
    return str(found["metadata"]["uid"])
