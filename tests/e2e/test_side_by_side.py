"""Several Apps of several kinds at once: each serves, and none sees another's nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from kazoo.client import KazooClient

from tests.e2e.support.apps import redis_app, zookeeper_app
from tests.e2e.support.kube import Kube, eventually

pytestmark = pytest.mark.e2e
FIRST, SECOND = "one-side", "other-side"


@pytest.fixture(scope="module")
def apps(kube: Kube) -> Iterator[None]:
    manifests = [
        redis_app("orders", SECOND, "sentinel", 3),
        redis_app("cache", FIRST, "standalone", 1),
        redis_app("sessions", FIRST, "replication", 2),
        zookeeper_app("registry", FIRST),
    ]
    for namespace in (FIRST, SECOND):
        kube.namespace(namespace)
    kube.apply(*manifests)
    for manifest in manifests:
        kube.wait_ready(manifest["metadata"]["name"], manifest["metadata"]["namespace"])
    yield
    for manifest in manifests:
        kube.discard(manifest["metadata"]["name"], manifest["metadata"]["namespace"])


def client(kube: Kube, app: str, namespace: str, service: str = "redis-server-master") -> redis.Redis:
    password = kube.secret(f"{app}-credentials", namespace, "password")
    address = kube.service_address(f"{app}-{service}", namespace)
    return redis.Redis(host=address, password=password, decode_responses=True, socket_timeout=3)


@pytest.mark.parametrize(
    ("app", "namespace", "replicas"), [("orders", SECOND, 2), ("cache", FIRST, 0), ("sessions", FIRST, 1)]
)
def test_each_redis_serves_its_own_data(kube: Kube, apps: None, app: str, namespace: str, replicas: int) -> None:
    with client(kube, app, namespace) as master:
        master.set("who", app)
        assert master.wait(replicas, 3000) >= replicas
        assert master.get("who") == app
        assert master.info("replication")["connected_slaves"] == replicas


@pytest.mark.parametrize(
    ("app", "namespace"), [("orders", SECOND), ("cache", FIRST), ("sessions", FIRST), ("registry", FIRST)]
)
def test_each_app_is_as_wanted(kube: Kube, apps: None, app: str, namespace: str) -> None:
    """Of every topology what its plugin tells is what the spec wants."""

    def as_wanted() -> bool:
        status = (kube.get("app.middleware.io", app, namespace) or {}).get("status", {})
        return (status.get("phase"), status.get("message")) == ("Running", "as wanted")

    eventually(f"{app} is as wanted", as_wanted, timeout=30)


def test_sentinels_watch_only_their_own_app(kube: Kube, apps: None) -> None:
    password = kube.secret("orders-credentials", SECOND, "password")
    address = kube.service_address("orders-redis-sentinel", SECOND)
    with redis.Redis(host=address, port=26379, password=password, decode_responses=True) as sentinel:
        masters = sentinel.execute_command("SENTINEL", "MASTERS")
    assert len(masters) == 1


def test_zookeeper_is_an_ensemble_of_three(kube: Kube, apps: None) -> None:
    nodes = [p["metadata"]["labels"]["middleware.io/node"] for p in kube.pods(FIRST, "registry")]
    assert len(nodes) == 3
    roles = sorted(p["metadata"]["labels"]["middleware.io/role"] for p in kube.pods(FIRST, "registry"))
    assert roles == ["follower", "follower", "leader"]
    written = f"{kube.service_address(nodes[0], FIRST)}:2181"
    read = f"{kube.service_address(nodes[1], FIRST)}:2181"
    writer, reader = KazooClient(hosts=written, timeout=10), KazooClient(hosts=read, timeout=10)
    writer.start(timeout=20)
    reader.start(timeout=20)
    try:
        writer.create("/from-one-node", b"value")
        reader.sync("/from-one-node")
        assert reader.get("/from-one-node")[0] == b"value"
    finally:
        for zookeeper in (writer, reader):
            zookeeper.stop()
            zookeeper.close()


def test_the_leaders_loss_is_followed(kube: Kube, apps: None) -> None:
    leader = kube.pods(FIRST, "registry", role="leader")[0]
    node = leader["metadata"]["labels"]["middleware.io/node"]
    kube.run("delete", "pod", leader["metadata"]["name"], "-n", FIRST, "--wait=false")

    def moved() -> bool:
        leaders = kube.pods(FIRST, "registry", role="leader")
        return len(leaders) == 1 and leaders[0]["metadata"]["labels"]["middleware.io/node"] != node

    eventually("another node leads", moved, timeout=60)
    kube.wait_ready("registry", FIRST)
