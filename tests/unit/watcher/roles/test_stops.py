"""A node that says that it may not be stopped is not evicted: its Pod's label follows what its agent says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from api.names import LABEL_STOP
from clients.agents import Agents
from clients.kubernetes import Kubernetes
from tests.unit.watcher.support.fakes import FakeAgents, FakeKubernetes, eventually
from tests.unit.watcher.support.objects import NAMESPACE, Manifest, app, component, pod
from watcher.cache.caches import AppKey, watched
from watcher.roles.monitor import RoleMonitor
from watcher.roles.rules import RoleRules
from watcher.roles.said import Said
from watcher.roles.stops import StopLabels, stop_label

pytestmark = pytest.mark.usefixtures("virtual_time")


@asynccontextmanager
async def labelled(kubernetes: FakeKubernetes, agents: FakeAgents) -> AsyncIterator[None]:
    async with watched(cast(Kubernetes, kubernetes)) as cluster:

        def changed(key: AppKey) -> None:
            stops.add(key)

        monitor = RoleMonitor(cluster, cast(Agents, agents), RoleRules(cluster), changed)
        stops = StopLabels(cluster, monitor.said)
        async with stops, monitor:
            yield


def label(kubernetes: FakeKubernetes, manifest: Manifest) -> str | None:
    live = kubernetes.get_now("Pod", NAMESPACE, manifest["metadata"]["name"])
    found: str | None = live["metadata"]["labels"].get(LABEL_STOP)
    return found


async def test_it_is_there_while_the_node_refuses() -> None:
    node = pod("redis-server", 0)
    kubernetes, agents = FakeKubernetes(), FakeAgents()
    for each in (app(), component("redis-server"), node):
        kubernetes.put(each)
    name = node["metadata"]["labels"]["middleware.io/node"]
    async with labelled(kubernetes, agents):
        agents.say(name, "replica", 1, stop_refused=True)
        await eventually(lambda: label(kubernetes, node) == "refused")
        agents.say(name, "replica", 1)
        await eventually(lambda: label(kubernetes, node) is None)


async def test_somebody_who_takes_it_off_finds_it_back() -> None:
    node = pod("redis-server", 0)
    kubernetes, agents = FakeKubernetes(), FakeAgents()
    for each in (app(), component("redis-server"), node):
        kubernetes.put(each)
    async with labelled(kubernetes, agents):
        agents.say(node["metadata"]["labels"]["middleware.io/node"], "replica", 1, stop_refused=True)
        await eventually(lambda: label(kubernetes, node) == "refused")
        kubernetes.put(node)
        await eventually(lambda: label(kubernetes, node) == "refused")


REFUSES, AGREES = Said(stop_refused=True), Said()
SILENT = Said(silence="connection refused", silent_since=1.0, stop_refused=True)


@pytest.mark.parametrize(
    ("ready", "before", "said", "after"),
    [
        (True, "", REFUSES, "refused"),
        (True, "refused", AGREES, ""),
        (True, "refused", SILENT, "refused"),
        (True, "refused", None, "refused"),
        (False, "refused", REFUSES, ""),
        (False, "refused", None, ""),
    ],
)
def test_whoever_does_not_serve_may_be_stopped_and_silence_changes_nothing(
    ready: bool, before: str, said: Said | None, after: str
) -> None:
    node = pod("redis-server", 0, ready=ready)
    node["metadata"]["labels"] |= {LABEL_STOP: before} if before else {}
    assert stop_label(node, said) == after
