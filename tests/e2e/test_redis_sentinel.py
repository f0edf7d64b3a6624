"""The overview's first example: a Redis with Sentinel is deployed, serves, and keeps what it acknowledged."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator

import pytest
import redis

from api.names import TOOLS_CONTAINER, TOOLS_HEALTH_PORT, TOOLS_PORT
from clients.pod_reason import container_status
from tests.chaos.insides import agent, every_local_port_taken, port_taken
from tests.e2e.support.apps import redis_app
from tests.e2e.support.kube import Kube, Manifest, eventually
from tests.e2e.support.writer import AcknowledgedWriter

pytestmark = pytest.mark.e2e
NAMESPACE, APP = "production", "production-redis"


@pytest.fixture(scope="module")
def deployed(kube: Kube) -> Iterator[Manifest]:
    kube.namespace(NAMESPACE)
    kube.apply(redis_app(APP, NAMESPACE, "sentinel"))
    kube.wait_ready(APP, NAMESPACE)

    def carried_out() -> Manifest | None:
        """It is ready before its Deploy has noted all that it did."""
        found = kube.get("app.middleware.io", APP, NAMESPACE) or {}
        return found if (found.get("status") or {}).get("phase") == "Running" else None

    yield eventually("the Deploy has ended", carried_out)
    kube.discard(APP, NAMESPACE)


@pytest.fixture(scope="module")
def password(kube: Kube, deployed: Manifest) -> str:
    return kube.secret(f"{APP}-credentials", NAMESPACE, "password")


def connect(kube: Kube, service: str, password: str, port: int = 6379) -> redis.Redis:
    return redis.Redis(
        host=kube.service_address(service, NAMESPACE),
        port=port,
        password=password,
        decode_responses=True,
        socket_timeout=3,
        socket_connect_timeout=3,
    )


def master_by_sentinel(kube: Kube, password: str) -> str:
    """The address that the sentinels give to clients."""
    with connect(kube, f"{APP}-redis-sentinel", password, 26379) as client:
        answer = client.execute_command("SENTINEL", "get-master-addr-by-name", APP)
    return str(answer[0])


def test_value_written_to_the_master_is_read_from_the_replica(kube: Kube, password: str) -> None:
    with connect(kube, f"{APP}-redis-server-master", password) as master:
        assert master.set("greeting", "hello")
        assert master.wait(1, 3000) == 1
    replica_pod = kube.pods(NAMESPACE, APP, role="replica")[0]
    node = replica_pod["metadata"]["labels"]["middleware.io/node"]
    with connect(kube, node, password) as replica:
        assert replica.role()[0] in ("slave", b"slave")
        assert replica.get("greeting") == "hello"


def test_sentinels_give_the_live_master(kube: Kube, password: str) -> None:
    master = kube.pods(NAMESPACE, APP, role="master")
    assert len(master) == 1
    node = master[0]["metadata"]["labels"]["middleware.io/node"]
    assert master_by_sentinel(kube, password) == kube.service_address(node, NAMESPACE)


def test_a_client_without_the_password_is_refused(kube: Kube, deployed: Manifest) -> None:
    address = kube.service_address(f"{APP}-redis-server-master", NAMESPACE)
    with redis.Redis(host=address, socket_timeout=3) as client, pytest.raises(redis.AuthenticationError):
        client.get("greeting")


def test_status_reads_well(deployed: Manifest) -> None:
    status = deployed["status"]
    assert status["phase"] == "Running"
    assert status["ready"] == "5/5"
    assert status["runtimeVersion"] == "7.0"
    assert status["observedGeneration"] == deployed["metadata"]["generation"]
    assert {c["name"]: (c["ready"], c["total"]) for c in status["components"]} == {
        "redis-server": (2, 2),
        "redis-sentinel": (3, 3),
    }
    assert any(f"{APP}-redis-server-master.{NAMESPACE}" in e["address"] for e in status["endpoints"])


def test_metadata_tells_what_runs(kube: Kube, deployed: Manifest) -> None:
    metadata = kube.get("configmap", f"{APP}-metadata", NAMESPACE)
    assert metadata is not None
    assert metadata["metadata"]["ownerReferences"][0]["name"] == APP
    basic, nodes, config = (json.loads(metadata["data"][part]) for part in ("basic", "nodes", "config"))
    assert basic["pluginVersion"] == "1.0.0"
    assert basic["runtimeVersion"] == "7.0"
    assert len(nodes["normal"]) == 5
    assert nodes["adding"] == nodes["deleting"] == []
    assert config["redis-server"]["appendonly"] == "yes"


def test_every_step_that_matters_is_an_event(kube: Kube, deployed: Manifest) -> None:
    reasons = {e["reason"] for e in kube.events(APP, NAMESPACE)}
    assert {"DeployStarted", "DeployCompleted"} <= reasons


def test_acknowledged_writes_survive_the_masters_pod(kube: Kube, password: str) -> None:
    """Sentinel elects; label, Service and metadata follow; nothing that WAIT acknowledged is lost."""
    old = kube.pods(NAMESPACE, APP, role="master")[0]
    name = old["metadata"]["name"]
    service = kube.service_address(f"{APP}-redis-server-master", NAMESPACE)
    with AcknowledgedWriter(service, password, prefix="failover") as writer:
        eventually("writes flow", lambda: len(writer.replicated) > 50)
        kube.run("delete", "pod", name, "-n", NAMESPACE, "--wait=false")

        def replaced() -> bool:
            """By the other node, or by a successor that came back before Sentinel gave it up."""
            return [p["metadata"]["name"] for p in kube.pods(NAMESPACE, APP, role="master")] not in ([], [name])

        eventually("another Pod is master", replaced, timeout=60)
        seen = len(writer.acknowledged)
        eventually("writes flow again", lambda: len(writer.acknowledged) > seen + 50, timeout=30)
    assert writer.lost(writer.replicated) == set()
    kube.wait_ready(APP, NAMESPACE)

    def metadata_follows() -> bool:
        found = kube.get("configmap", f"{APP}-metadata", NAMESPACE) or {}
        roles = json.loads(found["data"]["roles"])
        return [n["node"] for n in roles if n["role"] == "master"] == [master_node(kube)]

    eventually("metadata names the new master", metadata_follows)
    eventually("the other node is its replica", lambda: len(kube.pods(NAMESPACE, APP, role="replica")) == 1)


def master_node(kube: Kube) -> str:
    return str(kube.pods(NAMESPACE, APP, role="master")[0]["metadata"]["labels"]["middleware.io/node"])


def restarts_of_agent_2(kube: Kube, pod: str) -> int:
    return int(container_status(kube.get("pod", pod, NAMESPACE) or {}, TOOLS_CONTAINER)["restartCount"])


def test_an_agent_begins_again_whatever_connections_its_pod_has(kube: Kube, deployed: Manifest) -> None:
    """A Sentinel's connection to another had the port on which agent 2 listens, and that ended again and again."""
    sentinel = kube.pods(NAMESPACE, APP, component="redis-sentinel")[0]
    name, address = sentinel["metadata"]["name"], sentinel["status"]["podIP"]
    before = restarts_of_agent_2(kube, name)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def answers() -> bool:
        with direct.open(f"http://{address}:{TOOLS_HEALTH_PORT}/livez", timeout=1) as answer:
            return restarts_of_agent_2(kube, name) == before + 1 and answer.status == 200

    with every_local_port_taken(name):
        os.kill(agent("tools", name), signal.SIGKILL)
        eventually("its successor serves", answers, timeout=60)
    kube.wait_ready(APP, NAMESPACE)
    assert restarts_of_agent_2(kube, name) == before + 1


def test_an_agent_that_cannot_begin_says_why_in_its_groups_status(kube: Kube, deployed: Manifest) -> None:
    pod = kube.pods(NAMESPACE, APP, component="redis-sentinel")[1]
    name, node = pod["metadata"]["name"], pod["metadata"]["labels"]["middleware.io/node"]

    def told() -> str:
        return str(kube.node_status(node, NAMESPACE).get("message", ""))

    with port_taken(name, TOOLS_PORT):
        os.kill(agent("tools", name), signal.SIGKILL)
        eventually("it says so", lambda: f"agent 2 cannot start: it cannot serve on 0.0.0.0:{TOOLS_PORT}" in told())
    kube.wait_ready(APP, NAMESPACE)


def test_nothing_in_a_pod_is_privileged(kube: Kube, deployed: Manifest) -> None:
    for pod in kube.pods(NAMESPACE, APP):
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
            security = pod["spec"]["securityContext"] | container["securityContext"]
            assert security["runAsNonRoot"] is True
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"]["drop"] == ["ALL"]


def test_the_password_is_nowhere_but_in_the_secret(kube: Kube, password: str) -> None:
    for kind in ("configmap", "deployment", "pod", "event", "app.middleware.io", "group.middleware.io"):
        assert password not in kube.run("get", kind, "-n", NAMESPACE, "-o", "yaml"), kind
