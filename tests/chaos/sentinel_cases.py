"""What a Redis with Sentinel must survive, each case from the report of somebody's outage, on one App of three nodes.

    python -m pytest tests/chaos/sentinel_cases.py

The numbers are those of the list in docs/high-availability.md, which also names the cases that other tests show and
those that cannot arise here. It takes a quarter of an hour, so CI runs a selection
(``tests/e2e/test_failover_sentinel.py``).
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

import pytest
import redis

from deploy.local.instance import Instance
from tests.chaos import disks
from tests.chaos.ha import new_app, remove_app
from tests.chaos.ha_case import Outcome, run_case, whole, writer
from tests.chaos.ha_faults import HEARS_NOTHING, SAYS_NOTHING, Scene, suspended
from tests.chaos.insides import agent, engine, filtered, network_of, shaped
from tests.e2e.support import platform
from tests.e2e.support.day2 import RunningApp, component
from tests.e2e.support.kube import eventually
from tests.e2e.support.platform import Temporal

pytestmark = pytest.mark.e2e
NAME = "cases"


@pytest.fixture(scope="module")
def shared(instance: Instance) -> Iterator[RunningApp]:
    running = new_app(instance, NAME, "sentinel", data_nodes=3)
    yield running
    remove_app(instance, running)


@pytest.fixture
def app(shared: RunningApp) -> RunningApp:
    """Whole again after the case before."""
    whole(shared)
    shared.settled()
    return shared


def configure_sentinel(app: RunningApp, name: str, value: int) -> None:
    app.change(lambda spec: component(spec, "redis-sentinel").setdefault("config", {}).update({name: value}))
    app.settled()


def struck(instance: Instance, app: RunningApp, fault: str) -> Outcome:
    outcome = run_case(instance, app, "sentinel", fault, 0)
    print(outcome)
    assert outcome.problems == []
    assert outcome.lost_waited == 0
    return outcome


def addresses(app: RunningApp) -> dict[str, str]:
    """Node -> the address by which all others know it."""
    return {node: app.kube.service_address(node, app.namespace) for node in app.nodes()}


def sentinel(app: RunningApp, node: str, timeout: float = 2.0) -> redis.Redis:
    return app.client(node.removeprefix(f"{app.name}-"), port=26379, timeout=timeout)


def named_by_sentinels(app: RunningApp) -> set[str]:
    """Whom each Sentinel that answers names as primary."""
    found = set()
    for node in app.nodes("redis-sentinel"):
        try:
            with sentinel(app, node) as client:
                found.add(str(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", app.name)[0]))
        except (redis.RedisError, OSError):
            continue
    return found


@contextmanager
def sampled(probe: Callable[[], set[str]], every: float = 0.1) -> Iterator[set[str]]:
    """All that the probe has said, once the body has ended; what it could not ask is no answer."""
    said: set[str] = set()
    going = [True]

    def ask() -> None:
        while going:
            with suppress(redis.RedisError, OSError):
                said.update(probe())
            time.sleep(every)

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        try:
            yield said
        finally:
            going.clear()
            asked.result(timeout=30)


def role_of(app: RunningApp, node: str) -> str:
    with app.of_node(node, timeout=1.0) as client:
        return str(client.info("replication")["role"])


def replica_of(app: RunningApp) -> str:
    primary = app.primary()
    return next(node for node in app.nodes() if node != primary)


def operations(app: RunningApp, temporal: Temporal) -> set[str]:
    uid = app.manifest()["metadata"]["uid"]
    found = temporal.workflows(f'MiddlewareApp="{app.name}"')
    return {str(each["execution"]["workflowId"]) for each in found if f"/{uid}/" in each["execution"]["workflowId"]}


def test_01_nothing_reconfigures_while_sentinel_elects(app: RunningApp, instance: Instance, temporal: Temporal) -> None:
    before = operations(app, temporal)
    struck(instance, app, "pod-deleted")
    assert operations(app, temporal) == before


def test_02_a_primary_that_is_back_before_it_was_missed_has_another_pod_address_and_nobody_notices(
    app: RunningApp,
) -> None:
    primary = app.primary()
    old = app.pods()[primary]
    configure_sentinel(app, "down-after-milliseconds", 60000)
    try:
        app.kube.run("delete", "pod", old["metadata"]["name"], "-n", app.namespace, timeout=120)
        whole(app)
        app.settled()
        assert app.primary() == primary
        assert app.pods()[primary]["status"]["podIP"] != old["status"]["podIP"]
        assert named_by_sentinels(app) == {addresses(app)[primary]}
    finally:
        configure_sentinel(app, "down-after-milliseconds", 2500)


def test_03_a_replica_that_missed_the_failover_follows_the_new_primary(app: RunningApp) -> None:
    scene_primary, asleep = app.primary(), replica_of(app)
    pods = app.pods()
    with suspended(engine(pods[asleep]["metadata"]["name"])):
        with suspended(engine(pods[scene_primary]["metadata"]["name"])):
            eventually("another is primary", lambda: app.primary() != scene_primary, timeout=30)
        assert app.primary() != asleep
    whole(app)  # each replica follows the address of the one that is primary


def test_04_all_pods_restart_at_once(app: RunningApp, instance: Instance) -> None:
    struck(instance, app, "every-pod-deleted")
    assert named_by_sentinels(app) == {addresses(app)[app.primary()]}


def test_05_and_14_no_sentinel_ever_names_anything_but_a_nodes_address(app: RunningApp, instance: Instance) -> None:
    """Neither an empty one, nor 127.0.0.1, nor a host name, nor a Pod's: also not while everything comes back."""
    with sampled(lambda: named_by_sentinels(app)) as named:
        struck(instance, app, "every-pod-deleted")
    assert named
    assert named <= set(addresses(app).values())


def test_06_a_restarted_replica_is_never_primary_for_a_moment(app: RunningApp) -> None:
    node = replica_of(app)
    pod = app.pods()[node]["metadata"]["name"]
    with sampled(lambda: {role_of(app, node)}, every=0.02) as roles:
        app.kube.run("delete", "pod", pod, "-n", app.namespace, "--grace-period=0", "--force", timeout=120)
        whole(app)
    assert roles == {"slave"}


def test_07_a_second_primary_made_by_hand_is_put_back_and_what_wait_acknowledged_is_kept(app: RunningApp) -> None:
    """The one with the data stays; the youngest claim does not win for good."""
    rightful, upstart = app.primary(), replica_of(app)
    with writer(app, f"upstart-{time.time():.0f}", 1.0, 1) as client:
        eventually("writes flow", lambda: len(client.replicated) > 20)
        with app.of_node(upstart) as engine_of_it:
            engine_of_it.replicaof("NO", "ONE")
        eventually("it is put back", lambda: role_of(app, upstart) == "slave", timeout=60)
        whole(app)
        assert app.primary() == rightful
        seen = len(client.replicated)
        eventually("writes are replicated", lambda: len(client.replicated) > seen + 20)
    print(f"lost of those without WAIT: {len(client.lost(set(client.acknowledged)))}")
    assert client.lost(set(client.replicated)) == set()


def test_08_a_returning_primary_does_not_overwrite_its_successor(app: RunningApp, instance: Instance) -> None:
    outcome = struck(instance, app, "engine-suspended")
    assert outcome.moved


@pytest.mark.parametrize("module", ["watcher", "worker"])
def test_09_who_was_away_during_the_failover_does_not_bring_the_old_primary_back(
    app: RunningApp, instance: Instance, temporal: Temporal, module: str
) -> None:
    outcome = struck(instance, app, f"suspended-{module}-killed")
    assert outcome.moved
    chosen = app.primary()
    temporal.execute("Repair", {"namespace": app.namespace, "app": app.name})
    app.settled()
    assert app.primary() == chosen
    assert role_of(app, chosen) == "master"
    assert platform.processes(module, instance.name)


def test_10_a_replica_is_not_promoted_before_its_sync_has_ended(app: RunningApp, instance: Instance) -> None:
    """All replicas lose their volumes and copy anew, slowly; then the primary hangs: nobody may follow it."""
    scene = Scene.of(instance, app)
    with app.client() as client:
        client.set("ballast", b"x" * 8_000_000)
        assert client.wait(2, 10000) == 2
    replicas = [node for node in app.nodes() if node != scene.node]
    pods = app.pods()
    with shaped(scene.pod, "400kbit", "2s"):
        for node in replicas:
            wipe(instance, app, node, pods[node]["metadata"]["name"])
        for node in replicas:
            eventually(f"{node} copies", partial(copies, app, node), timeout=90)
        with suspended(engine(scene.pod)):
            eventually("Sentinel misses the primary", lambda: missed(app), timeout=30)
            until = time.monotonic() + 10
            while time.monotonic() < until:
                assert [role_of(app, node) for node in replicas] == ["slave", "slave"]
                time.sleep(0.3)
    whole(app)
    assert app.primary() == scene.node
    with app.client() as client:
        assert client.strlen("ballast") == 8_000_000
        client.delete("ballast")


def wipe(instance: Instance, app: RunningApp, node: str, pod: str) -> None:
    """As if the machine with the volume had been lost, and another had come in its place."""
    for pid in (agent("tools", pod), agent("manager", pod)):  # with agent 1, PID 1, the engine dies
        os.kill(pid, signal.SIGKILL)
    for entry in disks.folder_of(instance, app, node).iterdir():
        if entry.name != "lost+found":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def copies(app: RunningApp, node: str) -> bool:
    with app.of_node(node, timeout=1.0) as client:
        state = client.info("replication")
    return bool(state["role"] == "slave" and state["master_sync_in_progress"] and not state["slave_priority"])


def missed(app: RunningApp) -> bool:
    with sentinel(app, app.nodes("redis-sentinel")[0]) as client:
        return bool(client.sentinel_master(app.name)["is_odown"])


def test_17_the_service_leaves_a_primary_whose_pod_cannot_end(app: RunningApp, instance: Instance) -> None:
    """It hangs, so it ignores its stop signal and its Pod terminates for a minute."""
    scene = Scene.of(instance, app)
    with writer(app, f"hung-{time.time():.0f}", 1.0, 1) as client:
        eventually("writes flow", lambda: len(client.replicated) > 20)
        with suspended(engine(scene.pod)):
            app.kube.run("delete", "pod", scene.pod, "-n", app.namespace, "--wait=false")
            begun, seen = time.monotonic(), len(client.times)
            eventually("writes flow again", lambda: len(client.times) > seen + 20, timeout=30)
            print(f"{time.monotonic() - begun:.1f} s")
            assert app.kube.get("pod", scene.pod, app.namespace) is not None, "it is still there"
    assert client.lost(set(client.replicated)) == set()


def test_21_sentinels_remember_the_primary_that_they_chose_and_a_servers_file_is_the_declared_one(
    app: RunningApp, instance: Instance
) -> None:
    """All Sentinels lose their Pods after a failover; and what CONFIG REWRITE wrote lives until the next start only."""
    assert struck(instance, app, "engine-suspended").moved
    chosen = addresses(app)[app.primary()]
    selector = f"middleware.io/app={app.name},middleware.io/component=redis-sentinel"
    app.kube.run("delete", "pod", "-n", app.namespace, "-l", selector, "--grace-period=0", "--force", timeout=120)
    eventually("three answer", lambda: named_by_sentinels(app) == {chosen} and answering(app) == 3, timeout=60)
    node = replica_of(app)
    with app.of_node(node) as client:
        client.config_set("slowlog-max-len", 7)
        client.config_rewrite()
    app.kube.run("delete", "pod", app.pods()[node]["metadata"]["name"], "-n", app.namespace, timeout=120)
    whole(app)
    with app.of_node(node) as client:
        assert client.config_get("slowlog-max-len") == {"slowlog-max-len": "128"}


def answering(app: RunningApp) -> int:
    found = 0
    for node in app.nodes("redis-sentinel"):
        with sentinel(app, node) as client:
            found += bool(client.ping())
    return found


def test_22_a_hung_primary_holds_up_no_operation(app: RunningApp, instance: Instance, temporal: Temporal) -> None:
    """A Restart begun while the primary hangs ends, with every node restarted."""
    before = {node: pod["metadata"]["uid"] for node, pod in app.pods().items()}
    scene = Scene.of(instance, app)
    with suspended(engine(scene.pod)):
        request = {"namespace": app.namespace, "app": app.name, "component": "redis-server"}
        assert temporal.execute("Restart", request)["outcome"] == "completed"
    whole(app)
    assert not set(before.values()) & {pod["metadata"]["uid"] for pod in app.pods().values()}


def test_23_a_primary_that_is_cut_off_stops_taking_writes(app: RunningApp, instance: Instance) -> None:
    """A client on its side of the cut is refused when min-replicas-max-lag (10 s) is over; the others have gone on."""
    scene = Scene.of(instance, app)
    password = app.kube.secret(f"{app.name}-credentials", app.namespace, "password")
    with network_of(scene.pod) as network, filtered(scene.pod, HEARS_NOTHING, SAYS_NOTHING):
        begun = time.monotonic()
        write = f"AUTH {password}\\r\\nSET inside 1\\r\\nQUIT\\r\\n"
        program = ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/6379; printf '{write}' >&3; cat <&3"]
        eventually("it refuses", lambda: "-NOREPLICAS" in network.run(*program), timeout=20, every=0.5)
        print(f"refused after {time.monotonic() - begun:.1f} s")
        eventually("another is primary", lambda: app.primary() != scene.node, timeout=30)
        with app.client() as client:
            assert client.set("outside", 1)
    whole(app)


def test_24_replicas_go_on_from_where_they_were_after_a_failover(app: RunningApp, instance: Instance) -> None:
    """The replica that stays needs no full copy from the new primary."""
    outcome = struck(instance, app, "engine-suspended")
    assert outcome.moved
    with app.of_node(app.primary()) as client:
        stats = client.info("stats")
    print({name: value for name, value in stats.items() if name.startswith("sync_")})
    assert stats["sync_partial_ok"] >= 1
