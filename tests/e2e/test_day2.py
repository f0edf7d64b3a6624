"""Day-2 operations on one running Redis with Sentinel, each under a client that remembers what was acknowledged.

The limits on failing writes are the promise (less than a second for each move of the role, none elsewhere) with room
for a machine that does other things too; what was measured is printed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis

from tests.e2e.support.day2 import RunningApp, component, deployed
from tests.e2e.support.kube import Kube, Manifest, eventually
from tests.e2e.support.platform import Temporal

pytestmark = pytest.mark.e2e
NAMESPACE, NAME = "day2", "orders"
PER_MOVE = 3.0
"""Seconds; the goal is 1.0, see docs/operations.md for what was measured."""


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    with deployed(kube, NAMESPACE, NAME, "sentinel") as running:
        yield running


def same_connection(client: redis.Redis, before: int) -> bool:
    """Whether the client still talks over the connection that it had."""
    return int(client.client_id()) == before


def test_a_dynamic_parameter_is_set_everywhere_without_dropping_a_connection(app: RunningApp) -> None:
    pods = {node: pod["metadata"]["uid"] for node, pod in app.pods().items()}
    with app.client() as client, app.load("reconfigure", 0.0):
        before = int(client.client_id())
        app.change(lambda spec: component(spec).update(config={"maxmemory": "300mb", "timeout": 0}))
        app.settled()
        assert same_connection(client, before)
    for node in app.nodes():
        with app.of_node(node) as client:
            assert client.config_get("maxmemory")["maxmemory"] == str(300 * 2**20)
    assert app.metadata("config")["redis-server"]["maxmemory"] == str(300 * 2**20)
    assert {node: pod["metadata"]["uid"] for node, pod in app.pods().items()} == pods


def test_a_parameter_that_the_engine_refuses_is_put_back_everywhere(app: RunningApp) -> None:
    app.change(lambda spec: component(spec).update(config={"maxmemory": "310mb", "save": "0 1"}))
    message = app.message("was refused")
    assert "Invalid save parameters" in message
    assert "put back" in message
    for node in app.nodes():
        with app.of_node(node) as client:
            assert client.config_get("maxmemory")["maxmemory"] == str(300 * 2**20)
    app.change(lambda spec: component(spec).update(config={"maxmemory": "300mb"}))
    app.settled()


def test_a_parameter_changed_behind_the_platforms_back_is_put_back(app: RunningApp, temporal: Temporal) -> None:
    node = app.nodes()[0]
    with app.of_node(node) as client:
        client.config_set("maxmemory", str(100 * 2**20))
        result = temporal.execute("Repair", {"namespace": NAMESPACE, "app": NAME})
        # The look of every five minutes may have come first.
        assert result["outcome"] in ("completed", "nothing to do")
        assert client.config_get("maxmemory")["maxmemory"] == str(300 * 2**20)
    assert any(node in message and "maxmemory" in message for message in app.events("RepairStarted"))


def test_a_parameter_that_is_read_at_the_start_restarts_the_engines_one_by_one(app: RunningApp) -> None:
    pods = {node: pod["metadata"]["uid"] for node, pod in app.pods().items()}
    with app.load("restart-parameter", PER_MOVE):
        app.change(lambda spec: component(spec)["config"].update(databases=32))
        app.settled()
    for node in app.nodes():
        with app.of_node(node) as client:
            assert client.config_get("databases")["databases"] == "32"
    assert {node: pod["metadata"]["uid"] for node, pod in app.pods().items()} == pods, "only the process restarts"


def test_a_switchover_to_a_chosen_node_loses_nothing(app: RunningApp, temporal: Temporal) -> None:
    old = app.primary()
    candidate = next(node for node in app.nodes() if node != old)
    with app.load("switchover", PER_MOVE):
        request = {"namespace": NAMESPACE, "app": NAME, "candidate": candidate}
        assert temporal.execute("Switchover", request)["outcome"] == "completed"
    eventually("the status names the new primary", lambda: app.primary() == candidate)
    with pytest.raises(AssertionError, match="nobody"):
        temporal.execute("Switchover", {"namespace": NAMESPACE, "app": NAME, "candidate": "nobody"})


def test_a_restart_gives_every_node_a_new_pod_and_loses_nothing(app: RunningApp, temporal: Temporal) -> None:
    before = {pod["metadata"]["uid"] for pod in app.pods().values()}
    with app.load("restart", PER_MOVE):
        request = {"namespace": NAMESPACE, "app": NAME, "component": "redis-server"}
        assert temporal.execute("Restart", request)["outcome"] == "completed"
        app.settled()
    assert not before & {pod["metadata"]["uid"] for pod in app.pods().values()}


def test_a_plugin_is_moved_and_moved_back_under_running_engines(app: RunningApp) -> None:
    pods = {node: pod["metadata"]["uid"] for node, pod in app.pods().items()}
    with app.client() as client, app.load("plugin", 0.0):
        before, run_id = int(client.client_id()), client.info("server")["run_id"]
        for version in ("1.1.0", "1.0.0"):
            app.change(lambda spec, version=version: spec["plugin"].update(version=version))  # type: ignore[misc]
            app.settled()
            assert app.metadata("basic")["pluginVersion"] == version
        assert same_connection(client, before)
        assert client.info("server")["run_id"] == run_id
    assert {node: pod["metadata"]["uid"] for node, pod in app.pods().items()} == pods


def test_scaled_out_then_a_chosen_node_removed_while_it_is_primary(app: RunningApp) -> None:
    def out(spec: dict[str, object]) -> None:
        component(spec)["groups"][0]["replicas"] = 3

    with app.load("scale-out", 0.0):
        app.change(out)
        app.settled()
    with app.client() as client:
        assert client.info("replication")["connected_slaves"] == 2
    primary = app.primary()
    ordinal = int(primary.rpartition("-")[2])

    def without(spec: dict[str, object]) -> None:
        component(spec)["groups"][0].update(replicas=2, reserveOrdinals=[ordinal])

    with app.load("scale-in", PER_MOVE):
        app.change(without)
        app.settled()
    assert primary not in app.nodes()
    assert primary not in app.pods()
    with app.client("redis-sentinel", 26379) as sentinel:
        known = sentinel.execute_command("SENTINEL", "REPLICAS", NAME)
        assert len(known) == 1, "no Sentinel remembers the node that is gone"


def test_a_version_upgrade_rolls_one_node_after_another(app: RunningApp) -> None:
    with app.load("upgrade", PER_MOVE):
        app.change(lambda spec: spec.update(runtimeVersion="8.0"))
        app.settled()
    for node in app.nodes():
        with app.of_node(node) as client:
            assert client.info("server")["redis_version"].startswith("8.0.")
    assert {node["version"] for node in app.metadata("nodes")["normal"]} == {"8.0"}
    assert {c["name"]: c["ready"] for c in app.status()["components"]} == {"redis-server": 2, "redis-sentinel": 3}


def test_a_downgrade_is_refused_and_nothing_is_touched(app: RunningApp) -> None:
    pods = {node: pod["metadata"]["uid"] for node, pod in app.pods().items()}
    app.change(lambda spec: spec.update(runtimeVersion="7.0"))
    assert "keep 8.0" in app.message("spec.runtimeVersion", "cannot go back")
    app.change(lambda spec: spec.update(runtimeVersion="8.0"))
    app.settled()
    assert {node: pod["metadata"]["uid"] for node, pod in app.pods().items()} == pods


def test_more_memory_rolls_and_a_larger_volume_is_refused_where_it_cannot_grow(app: RunningApp) -> None:
    def more(spec: dict[str, object]) -> None:
        component(spec)["groups"][0]["resources"]["limits"]["memory"] = "640Mi"

    with app.load("resize", PER_MOVE):
        app.change(more)
        app.settled()
    for pod in app.pods().values():
        assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "640Mi"
    app.change(lambda spec: component(spec)["groups"][0]["storage"].update(size="2Gi"))
    app.message("storage.size", "cannot grow")
    app.change(lambda spec: component(spec)["groups"][0]["storage"].update(size="256Mi"))
    app.settled()


WITHIN = 45.0
"""Seconds to have what somebody took or changed put back, on a machine that does other things too."""


def test_what_is_edited_by_hand_comes_back_with_an_event_and_what_is_foreign_stays(app: RunningApp, kube: Kube) -> None:
    service, node = f"{NAME}-redis-server", app.nodes()[0]
    pods = {node: pod["metadata"]["uid"] for node, pod in app.pods().items()}
    for what in (f"service/{service}", f"deployment/{node}", f"pod/{app.pods()[node]['metadata']['name']}"):
        kube.run("annotate", what, "-n", NAMESPACE, "example.com/mine=kept")
    before = kube.get("service", service, NAMESPACE) or {}

    def is_back(live: Manifest | None) -> bool:
        parts = [(each or {}).get(key, {}) for each in (live, before) for key in ("spec", "metadata")]
        return (parts[0].get("selector"), parts[1].get("labels")) == (parts[2]["selector"], parts[3]["labels"])

    selector = {"spec": {"selector": {"middleware.io/component": "nobody"}}}
    kube.run("patch", "service", service, "-n", NAMESPACE, "--type=merge", "-p", json.dumps(selector))
    eventually("the selector is back", lambda: is_back(kube.get("service", service, NAMESPACE)), WITHIN)
    eventually("it says so", lambda: [m for m in app.events("RepairStarted") if "spec.selector" in m], WITHIN)
    app.settled()
    kube.run("label", "service", service, "-n", NAMESPACE, "middleware.io/app-")
    eventually("the label is back", lambda: is_back(kube.get("service", service, NAMESPACE)), WITHIN)
    app.settled()
    for kind, name in (("service", service), ("deployment", node), ("pod", app.pods()[node]["metadata"]["name"])):
        annotations = (kube.get(kind, name, NAMESPACE) or {})["metadata"]["annotations"]
        assert annotations["example.com/mine"] == "kept"
    assert {node: pod["metadata"]["uid"] for node, pod in app.pods().items()} == pods


def image_of(kube: Kube, group: str) -> str:
    return str((kube.get("group.middleware.io", group, NAMESPACE) or {})["spec"]["image"])


def test_what_is_deleted_by_hand_comes_back_with_an_event(app: RunningApp, kube: Kube) -> None:
    node = next(each for each in app.nodes() if each != app.primary())
    service, group = f"{NAME}-redis-server", f"{NAME}-redis-server-data"
    pods = {node: pod["metadata"]["uid"] for node, pod in app.pods().items()}
    kube.run("patch", "group.middleware.io", group, "-n", NAMESPACE, "--type=merge", "-p", '{"spec":{"image":"x:y"}}')
    # Within one Repair the Event would name only what it began for.
    eventually("the image is back", lambda: image_of(kube, group) != "x:y", WITHIN)
    app.settled()
    for kind, name in (
        ("component.middleware.io", service),
        ("group.middleware.io", group),
        ("service", service),
        ("configmap", node),
    ):
        uid = (kube.get(kind, name, NAMESPACE) or {})["metadata"]["uid"]
        kube.delete(kind, name, NAMESPACE, "--wait=false")

        def is_new(kind: str = kind, name: str = name, uid: str = uid) -> bool:
            live = kube.get(kind, name, NAMESPACE)
            return live is not None and str(live["metadata"]["uid"]) != uid

        eventually(f"the {kind} is back", is_new, WITHIN)
        repaired(app, kind, name)
    assert {node: pod["metadata"]["uid"] for node, pod in app.pods().items()} == pods, "no Pod is restarted for it"
    kube.delete("deployment", node, NAMESPACE, "--wait=false")
    eventually("the node has a new Pod", lambda: app.pods().get(node, {}).get("metadata", {}).get("uid") != pods[node])
    repaired(app, "deployment", node)
    assert image_of(kube, group).startswith("middleware.local/redis:8.0")


def repaired(app: RunningApp, kind: str, name: str) -> None:
    """An Event names what was gone, and the Repair that it began has ended: another deletion is another Repair's. A
    Component or Group takes what was recorded with it, so the look that misses it makes it again."""
    recorded = kind.partition(".")[2] == "middleware.io"
    reason, words = ("StateRebuilt", name) if recorded else ("RepairStarted", f"{kind} {name}")
    eventually(f"an Event names {words}", lambda: any(words in said.lower() for said in app.events(reason)))
    # One that still ran when what it goes by was removed is decided on again, and then there is nothing left to do.
    ended = ("Completed", "Cancelled") if recorded else ("Completed",)
    eventually("the Repair has ended", lambda: app.status()["operation"]["state"] in ended)
    app.settled()


def test_kubectl_scale_of_a_group_is_taken_back_where_the_app_names_the_number(app: RunningApp, kube: Kube) -> None:
    group = f"{NAME}-redis-server-data"
    kube.run("scale", f"group.middleware.io/{group}", "-n", NAMESPACE, "--replicas=4")

    def taken_back() -> bool:
        return bool((kube.get("group.middleware.io", group, NAMESPACE) or {})["spec"]["replicas"] == 2)

    eventually("the App's number wins", taken_back)
    assert len(app.nodes()) == 2
    eventually("an Event says so", lambda: [m for m in app.events("RepairStarted") if "spec.replicas" in m])
