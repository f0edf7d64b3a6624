"""From what agents say to the labels that Services select by, and what is noted in the Component's status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from clients.agents import Agents
from clients.kubernetes import Kubernetes
from proto import agent_pb2
from tests.unit.watcher.support.fakes import FakeAgents, FakeKubernetes, eventually, unavailable
from tests.unit.watcher.support.objects import APP, NAMESPACE, Manifest, app, component, pod, service
from watcher.cache.caches import AppKey, ComponentKey, watched
from watcher.roles.arbitration import Decision
from watcher.roles.monitor import RoleMonitor
from watcher.roles.record import RecordedHolder, RoleRecorder
from watcher.roles.rules import RoleRules
from watcher.roles.streams import Heard

pytestmark = pytest.mark.usefixtures("virtual_time")

FIRST, SECOND = f"{APP}-redis-server-data-0", f"{APP}-redis-server-data-1"


def cluster_of(*pods: Manifest) -> FakeKubernetes:
    kubernetes = FakeKubernetes()
    kubernetes.put(app())
    kubernetes.put(service(f"{APP}-redis-server-master", "redis-server", 6379, role="master"))
    kubernetes.put(component("redis-server"))
    for each in pods:
        kubernetes.put(each)
    return kubernetes


@asynccontextmanager
async def monitored(
    kubernetes: FakeKubernetes, agents: FakeAgents, holders: Sequence[RecordedHolder] = ()
) -> AsyncIterator[RoleMonitor]:
    async with watched(cast(Kubernetes, kubernetes)) as cluster:

        def changed(key: AppKey) -> None:
            recorder.add(key)

        monitor = RoleMonitor(cluster, cast(Agents, agents), RoleRules(cluster), changed)
        recorder = RoleRecorder(cluster, monitor.epochs, lambda key: holders)
        async with recorder, monitor:
            yield monitor


def role(kubernetes: FakeKubernetes, manifest: Manifest) -> str | None:
    live = kubernetes.get_now("Pod", NAMESPACE, manifest["metadata"]["name"])
    label: str | None = live["metadata"]["labels"].get("middleware.io/role")
    return label


def record(kubernetes: FakeKubernetes) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], status(kubernetes).get("roles", []))


def status(kubernetes: FakeKubernetes) -> Manifest:
    """Of the Component."""
    found: Manifest = kubernetes.get_now("Component", NAMESPACE, f"{APP}-redis-server").get("status") or {}
    return found


def label_patches(kubernetes: FakeKubernetes) -> list[tuple[str, str | None]]:
    return [
        (name, body["metadata"]["labels"]["middleware.io/role"])
        for verb, name, body in kubernetes.calls
        if verb == "patch" and "labels" in body["metadata"]
    ]


async def test_labels_and_record_follow_the_reports() -> None:
    pods = [pod("redis-server", 0), pod("redis-server", 1)]
    kubernetes, agents = cluster_of(*pods), FakeAgents()
    async with monitored(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        agents.say(SECOND, "replica", 8)
        await eventually(lambda: [role(kubernetes, p) for p in pods] == ["master", "replica"])
        await eventually(lambda: len(record(kubernetes)) == 2)
    assert record(kubernetes) == [
        {"node": FIRST, "role": "master", "epoch": 7},
        {"node": SECOND, "role": "replica", "epoch": 8},
    ]


async def test_the_old_holder_loses_its_label_first() -> None:
    pods = [pod("redis-server", 0, role="master"), pod("redis-server", 1, role="replica")]
    kubernetes, agents = cluster_of(*pods), FakeAgents()
    async with monitored(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        agents.say(SECOND, "master", 9)
        await eventually(lambda: role(kubernetes, pods[1]) == "master")
    names = [p["metadata"]["name"] for p in pods]
    assert label_patches(kubernetes) == [(names[0], None), (names[1], "master")]


async def test_nobody_gets_the_role_while_the_old_label_cannot_be_removed() -> None:
    pods = [pod("redis-server", 0, role="master"), pod("redis-server", 1, role="replica")]
    kubernetes, agents = cluster_of(*pods), FakeAgents()
    refused: list[str] = []

    def fail(verb: str, name: str) -> Any:
        if verb == "patch" and name == pods[0]["metadata"]["name"] and len(refused) < 2:
            assert role(kubernetes, pods[1]) != "master"
            refused.append(name)
            return unavailable()
        return None

    kubernetes.fail = fail
    async with monitored(kubernetes, agents):
        agents.say(SECOND, "master", 9)
        await eventually(lambda: role(kubernetes, pods[1]) == "master")
    assert len(refused) == 2
    assert role(kubernetes, pods[0]) is None


async def test_a_label_edited_by_hand_is_put_back() -> None:
    pods = [pod("redis-server", 0), pod("redis-server", 1)]
    kubernetes, agents = cluster_of(*pods), FakeAgents()
    async with monitored(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        agents.say(SECOND, "replica", 8)
        await eventually(lambda: [role(kubernetes, p) for p in pods] == ["master", "replica"])
        edited = kubernetes.get_now("Pod", NAMESPACE, pods[1]["metadata"]["name"])
        labels = {**edited["metadata"]["labels"], "middleware.io/role": "master"}
        kubernetes.put({**edited, "metadata": {**edited["metadata"], "labels": labels}})
        await eventually(lambda: role(kubernetes, pods[1]) == "replica")
    assert role(kubernetes, pods[0]) == "master"


async def test_a_node_whose_pod_is_gone_leaves_the_record_and_the_next_claim_gets_the_role() -> None:
    pods = [pod("redis-server", 0, role="master"), pod("redis-server", 1, role="replica")]
    kubernetes, agents = cluster_of(*pods), FakeAgents()
    async with monitored(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        agents.say(SECOND, "replica", 8)
        await eventually(lambda: len(record(kubernetes)) == 2)
        kubernetes.remove(pods[0])
        await eventually(lambda: [r["node"] for r in record(kubernetes)] == [SECOND])
        agents.say(SECOND, "master", 9)
        await eventually(lambda: role(kubernetes, pods[1]) == "master")


async def test_an_engine_that_ended_loses_its_role_and_a_silent_agent_does_not() -> None:
    pods = [pod("redis-server", 0), pod("redis-server", 1)]
    kubernetes, agents = cluster_of(*pods), FakeAgents()
    async with monitored(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
        agents.break_stream(FIRST)
        await eventually(lambda: len([t for t in agents.targets if t.node == FIRST]) == 2)
        assert role(kubernetes, pods[0]) == "master"
        agents.say(FIRST, "", process=agent_pb2.BACKOFF, message="the process has ended with 1")
        await eventually(lambda: role(kubernetes, pods[0]) is None)


async def test_a_restarted_watcher_believes_the_labels_until_the_agents_speak() -> None:
    pods = [pod("redis-server", 0), pod("redis-server", 1, role="master")]
    kubernetes, agents = cluster_of(*pods), FakeAgents()
    noted = {"roles": [{"node": SECOND, "role": "master", "epoch": 9}]}
    kubernetes.put({**kubernetes.get_now("Component", NAMESPACE, f"{APP}-redis-server"), "status": noted})
    async with monitored(kubernetes, agents) as monitor:
        agents.say(FIRST, "master", 7)
        await eventually(lambda: monitor.epochs((NAMESPACE, APP))[pods[0]["metadata"]["name"]] == 7)
        agents.say(SECOND, "replica", 10)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
    assert label_patches(kubernetes)[0] == (pods[1]["metadata"]["name"], "replica")


async def test_what_others_write_into_the_status_stays() -> None:
    kubernetes, agents = cluster_of(pod("redis-server", 0)), FakeAgents()
    live = kubernetes.get_now("Component", NAMESPACE, f"{APP}-redis-server")
    kubernetes.put({**live, "status": {"revision": "r-1", "ready": 1}})
    async with monitored(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        await eventually(lambda: len(record(kubernetes)) == 1)
    assert (status(kubernetes)["revision"], status(kubernetes)["ready"]) == ("r-1", 1)


async def test_a_watcher_that_knows_no_holder_yet_leaves_what_an_earlier_one_has_noted() -> None:
    kubernetes, agents = cluster_of(pod("redis-server", 0)), FakeAgents()
    live = kubernetes.get_now("Component", NAMESPACE, f"{APP}-redis-server")
    holders = [{"role": "master", "node": SECOND}]
    kubernetes.put({**live, "status": {"holders": holders}})
    async with monitored(kubernetes, agents):
        agents.say(FIRST, "replica", 7)
        await eventually(lambda: len(record(kubernetes)) == 1)
    assert status(kubernetes)["holders"] == holders


async def test_what_was_noted_is_written_again_where_the_component_is_made_anew() -> None:
    kubernetes, agents = cluster_of(pod("redis-server", 0)), FakeAgents()
    known = [RecordedHolder("redis-server", "master", FIRST)]
    async with monitored(kubernetes, agents, known):
        agents.say(FIRST, "master", 7)
        await eventually(lambda: len(record(kubernetes)) == 1)
        written = status(kubernetes)
        lost = kubernetes.get_now("Component", NAMESPACE, f"{APP}-redis-server")
        kubernetes.remove(lost)
        kubernetes.put({**lost, "status": {}, "metadata": {**lost["metadata"], "uid": "another"}})
        await eventually(lambda: status(kubernetes) == written)
    assert written["holders"] == [{"role": "master", "node": FIRST}]


async def test_a_failure_over_one_report_does_not_end_the_following_of_its_pod() -> None:
    class Failing:
        def __init__(self) -> None:
            self.failed = False

        def heard(self, key: ComponentKey, pod: str, heard: Heard) -> None:
            if not self.failed:
                self.failed = True
                raise ValueError("a report that nobody expected")

        def decided(self, key: ComponentKey, decision: Decision) -> None: ...

    node = pod("redis-server", 0)
    kubernetes, agents, listener = cluster_of(node), FakeAgents(), Failing()
    async with watched(cast(Kubernetes, kubernetes)) as cluster:
        monitor = RoleMonitor(cluster, cast(Agents, agents), RoleRules(cluster), lambda key: None)
        monitor.listen(listener)
        async with monitor:
            agents.say(FIRST, "replica", 6)
            await eventually(lambda: listener.failed)
            agents.say(FIRST, "master", 7)
            await eventually(lambda: role(kubernetes, node) == "master")


async def test_an_agent_that_hangs_is_named_and_its_role_stands() -> None:
    """No sign of life says nothing about the engine; readiness is the kubelet's business."""
    pods = [pod("redis-server", 0), pod("redis-server", 1)]
    kubernetes, agents = cluster_of(*pods), FakeAgents()
    name = pods[0]["metadata"]["name"]
    async with monitored(kubernetes, agents) as monitor:
        agents.say(FIRST, "master", 7)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
        agents.hang(FIRST)
        await eventually(lambda: "the agent hangs" in monitor.messages((NAMESPACE, APP)).get(name, ""))
        assert role(kubernetes, pods[0]) == "master"
        agents.say(SECOND, "master", 8)
        await eventually(lambda: role(kubernetes, pods[1]) == "master")
    assert role(kubernetes, pods[0]) is None
