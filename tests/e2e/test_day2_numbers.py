"""How many nodes there are, by the App, by ``kubectl scale`` and by the topology; on a Redis that begins at its lowest
version, and is upgraded from that between."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from tests.chaos.ha_faults import suspended
from tests.chaos.insides import engine
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp, component
from tests.e2e.support.kube import Kube, Manifest, eventually

pytestmark = pytest.mark.e2e
NAMESPACE, NAME = "day2-numbers", "counts"
GROUP = f"{NAME}-redis-server-data"
SENTINEL = "redis-sentinel"
PER_MOVE = 3.0
"""Seconds without writes for each move of the role, at most."""


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    """Says nothing of how many data nodes there are: two, by the topology."""
    kube.namespace(NAMESPACE)
    manifest = redis_app(NAME, NAMESPACE, "sentinel", version="6.0")
    del component(manifest["spec"])["groups"][0]["replicas"]
    kube.apply(manifest)
    running = RunningApp(kube, NAMESPACE, NAME)
    running.settled()
    yield running
    kube.discard(NAME, NAMESPACE)


def kubectl_scale(kube: Kube, replicas: int) -> None:
    kube.run("scale", f"group.middleware.io/{GROUP}", "-n", NAMESPACE, f"--replicas={replicas}")


def counted(app: RunningApp, nodes: int, of: str = "redis-server") -> None:
    """Once there are so many, and nothing is left to do."""
    eventually(f"{nodes} of {of}", lambda: len(app.nodes(of)) == nodes, timeout=120)
    app.settled()
    assert sorted(app.pods(of)) == app.nodes(of)


def uids(app: RunningApp) -> dict[str, str]:
    pods = app.pods() | app.pods(SENTINEL)
    return {node: str(pod["metadata"]["uid"]) for node, pod in pods.items()}


def replicas(name: str, number: int) -> Callable[[Manifest], None]:
    def edit(spec: Manifest) -> None:
        component(spec, name)["groups"][0]["replicas"] = number

    return edit


def insists(app: RunningApp) -> tuple[int, str]:
    """How many replicas the primary has, and without how many it would refuse writes, which follows from the number of
    nodes."""
    with app.client() as client:
        parameter = "min-replicas-to-write"
        return client.info("replication")["connected_slaves"], str(client.config_get(parameter)[parameter])


def test_kubectl_scales_a_group_where_the_app_is_silent(app: RunningApp, kube: Kube) -> None:
    with app.load("kubectl-scale", 0.0):
        kubectl_scale(kube, 3)
        counted(app, 3)
        assert insists(app) == (2, "1")
        kubectl_scale(kube, 2)
        counted(app, 2)
        assert insists(app) == (1, "0")


def test_fewer_than_the_topology_needs_are_refused_and_nothing_is_touched(app: RunningApp, kube: Kube) -> None:
    before, spec = uids(app), app.manifest()["spec"]
    with app.load("too-few", 0.0):
        app.change(replicas(SENTINEL, 2))
        app.message(
            "spec.components[1].groups[0].replicas", f"at least 3 of {SENTINEL}, all groups together; there are 2"
        )
        app.change(replicas("redis-server", 1))
        app.message("spec.components[0].groups[0].replicas", "at least 2 of redis-server")
        assert uids(app) == before
        app.change(lambda live: live.update(spec))
        app.settled()
        kubectl_scale(kube, 1)
        app.message("at least 2 of redis-server", f"the number is that of group {GROUP}", "kubectl scale")
        assert uids(app) == before
        kubectl_scale(kube, 2)
        app.settled()
    assert uids(app) == before


def test_a_replica_is_not_there_again_before_it_has_saved_what_it_copied(app: RunningApp, kube: Kube) -> None:
    primary = app.primary()
    replica = next(node for node in app.nodes() if node != primary)
    address = app.kube.service_address(primary, NAMESPACE)
    with app.client() as writer, app.of_node(replica) as copying:
        writer.mset({f"saved:{number}": number for number in range(10)})
        copying.config_set("rdb-key-save-delay", 16_000_000 // writer.dbsize())
        with copying.pipeline(transaction=False) as anew:  # so fast that no Sentinel sees it
            anew.execute_command("REPLICAOF NO ONE").execute_command(f"REPLICAOF {address} 6379").execute()
        eventually(
            "it says so", lambda: "still writing what it has copied" in kube.node_status(replica, NAMESPACE)["message"]
        )
        eventually(
            "though in sync", lambda: writer.set("saved:last", "too") and writer.execute_command("WAIT", 1, 1000)
        )
        # The kubelet asks once a second, and believes the second refusal.
        eventually("it is not ready", lambda: not kube.node_status(replica, NAMESPACE)["ready"])
        assert copying.info("persistence")["aof_rewrite_in_progress"]
        eventually("it is ready again", lambda: kube.node_status(replica, NAMESPACE)["ready"])
        assert not copying.info("persistence")["aof_rewrite_in_progress"]
        copying.config_set("rdb-key-save-delay", 0)
    app.settled()


def test_6_0_is_upgraded_to_7_0_and_every_node_says_so(app: RunningApp) -> None:
    with app.load("upgrade-6.0", PER_MOVE):
        app.change(lambda spec: spec.update(runtimeVersion="7.0"))
        app.settled()
    for node in app.nodes():
        with app.of_node(node) as client:
            assert client.info("server")["redis_version"].startswith("7.0.")
    for node in app.nodes(SENTINEL):
        with sentinel(app, node) as client:
            assert client.info("server")["redis_version"].startswith("7.0.")
    assert {node["version"] for node in app.metadata("nodes")["normal"]} == {"7.0"}
    assert app.status()["runtimeVersion"] == "7.0"


def sentinel(app: RunningApp, node: str) -> redis.Redis:
    return app.client(node.removeprefix(f"{NAME}-"), 26379)


def all_agree(app: RunningApp, number: int) -> None:
    """Soon after it has settled: one that a busy machine has kept waiting may seem down to another for moments."""

    def found() -> bool:
        told = [*disagreeing_sentinels(app, number), *deaf_servers(app, number)]
        if told:
            raise LookupError("; ".join(told))
        return True

    eventually(f"all agree on {number} Sentinels", found, timeout=20)


def disagreeing_sentinels(app: RunningApp, number: int) -> Iterator[str]:
    """Each should know exactly the others, all well, and ask for a majority of them."""
    addresses = {node: app.kube.service_address(node, NAMESPACE) for node in app.nodes(SENTINEL)}
    for node, own in addresses.items():
        with sentinel(app, node) as client:
            others = [(each["ip"], each["flags"]) for each in client.sentinel_sentinels(NAME)]
            if sorted(others) != sorted((ip, "sentinel") for ip in addresses.values() if ip != own):
                yield f"{node} knows {others} of {addresses}"
            master = client.sentinel_master(NAME)
            if (master["num-other-sentinels"], master["quorum"]) != (number - 1, number // 2 + 1):
                yield f"{node} says {master}"
            usable = str(client.execute_command("SENTINEL", "CKQUORUM", NAME))
            if not usable.startswith(f"OK {number} usable Sentinels"):
                yield f"{node} says {usable}"


def deaf_servers(app: RunningApp, number: int) -> Iterator[str]:
    """Each Sentinel should be listening at each Redis, where it hears of the others, and nobody else."""
    for node in app.nodes():
        with app.of_node(node) as client:
            [(_, listening)] = client.pubsub_numsub("__sentinel__:hello")
            if listening != number:
                yield f"{listening} Sentinels listen at {node}"


def test_sentinels_come_and_go_and_all_agree_on_who_is_there(app: RunningApp) -> None:
    for number in (5, 3):
        with app.load(f"{number}-sentinels", 0.0):
            app.change(replicas(SENTINEL, number))
            counted(app, number, SENTINEL)
        all_agree(app, number)


def test_those_that_stayed_still_elect(app: RunningApp) -> None:
    old = app.primary()
    with app.client() as client:
        client.set("before", old)
        assert client.wait(1, 5000) == 1
    with suspended(engine(app.pods()[old]["metadata"]["name"])):
        eventually("another node is primary", lambda: app.primary() != old, timeout=60)
        with app.client() as client:
            assert client.get("before") == old
    app.settled()
    all_agree(app, 3)
