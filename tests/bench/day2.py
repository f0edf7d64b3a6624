"""Time per node of rolling operations and of a scale-out, against the engine's own minimum done by plain kubectl.

    python -m tests.bench.day2 --rounds 3 --instance test

Alternating in one run, each per node: an Upgrade (topology replication, so that all nodes are of one kind; the role is
moved once) against another image for a replica's Deployment, until its engine is of the new version and in sync; a
Restart of the data nodes beside Sentinels (the role is moved once) against deleting a replica's Pod; a Scale by one
node against applying that node's final objects. What was upgraded has no way back, so each round has two new Apps for
it; the one upgraded by hand is paused, so that the platform leaves it alone. Prints the ratios of the medians, and
then activities and history events of every operation.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from api.names import MIDDLEWARE_CONTAINER, TOOLS_CONTAINER
from deploy.local.instance import Instance
from tests.bench import baseline
from tests.bench.operation_sizes import sizes
from tests.chaos.operations import NEWER, OLDER
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import KIND, RunningApp, component
from tests.e2e.support.environment import kube_of, temporal_of
from tests.e2e.support.kube import Kube, Manifest, eventually
from tests.e2e.support.platform import Temporal

NAMESPACE = "bench-day2"
MEASURED = ("upgrade", "restart", "scale-out")
"""Each by the platform, and by hand."""
BY_HAND = " by hand"


@contextmanager
def new_apps(kube: Kube, topology: str, *names: str) -> Iterator[list[RunningApp]]:
    """Settled; gone afterwards."""
    kube.apply(*(redis_app(name, NAMESPACE, topology, version=OLDER) for name in names))
    apps = [RunningApp(kube, NAMESPACE, name) for name in names]
    for app in apps:
        app.settled()
    yield apps
    for name in names:
        kube.delete(KIND, name, NAMESPACE)


def changed(app: RunningApp, edit: Callable[[dict[str, Any]], None]) -> float:
    """Seconds from a change of the spec until the App is as wanted."""
    start = time.monotonic()
    app.change(edit)
    app.settled(every=0.05)
    return time.monotonic() - start


def upgrade(app: RunningApp) -> float:
    """Seconds per node, the move of the role included."""
    return changed(app, lambda spec: spec.update(runtimeVersion=NEWER)) / len(app.nodes())


def upgrade_by_hand(app: RunningApp) -> float:
    """Seconds until a replica's engine is of the new version and in sync."""
    app.change(lambda spec: spec.update(paused=True))
    app.message("paused")
    replica, image = a_replica(app), f"middleware.local/redis:{NEWER}"
    start = time.monotonic()
    containers = (f"{container}={image}" for container in (MIDDLEWARE_CONTAINER, TOOLS_CONTAINER))
    app.kube.run("set", "image", f"deployment/{replica}", "-n", NAMESPACE, *containers)
    eventually("the new version is in sync", lambda: in_sync(app, replica, NEWER), timeout=120, every=0.05)
    return time.monotonic() - start


def in_sync(app: RunningApp, node: str, version: str) -> bool:
    """Ready, of the version, and with what its primary has."""
    if not is_ready(app.pods().get(node, {})):
        return False
    with app.of_node(node, timeout=1.0) as client:
        told = client.info()
    synced = told["master_link_status"] == "up" and not told["master_sync_in_progress"]
    return synced and str(told["redis_version"]).startswith(f"{version}.")


def a_replica(app: RunningApp) -> str:
    return next(node for node in app.nodes() if node != app.primary())


def restart(app: RunningApp, temporal: Temporal) -> float:
    """Seconds per data node, the move of the role included."""
    start = time.monotonic()
    request = {"namespace": NAMESPACE, "app": app.name, "component": "redis-server"}
    assert temporal.execute("Restart", request)["outcome"] == "completed"
    seconds = (time.monotonic() - start) / len(app.nodes())
    app.settled()
    return seconds


def restart_by_hand(app: RunningApp) -> float:
    """Seconds from deleting a replica's Pod until its successor is ready."""
    replica = a_replica(app)
    old = app.pods()[replica]["metadata"]
    start = time.monotonic()
    app.kube.run("delete", "pod", old["name"], "-n", NAMESPACE, "--wait=false")

    def ready() -> bool:
        pod = app.pods().get(replica)
        return pod is not None and pod["metadata"]["uid"] != old["uid"] and is_ready(pod)

    eventually("the replica is ready again", ready, timeout=120, every=0.05)
    seconds = time.monotonic() - start
    app.settled()
    return seconds


def is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def scale(app: RunningApp, replicas: int) -> float:
    def edit(spec: dict[str, Any]) -> None:
        component(spec)["groups"][0]["replicas"] = replicas

    return changed(app, edit)


def scale_by_hand(app: RunningApp, node: str, objects: list[Manifest]) -> float:
    """Seconds until the node made of the very same objects is ready."""
    start = time.monotonic()
    app.kube.apply(*objects)
    eventually("the node is ready", lambda: is_ready(app.pods().get(node, {})), timeout=120, every=0.05)
    seconds = time.monotonic() - start
    for kind in ("deployment", "service", "configmap", "persistentvolumeclaim"):
        app.kube.delete(kind, node, NAMESPACE)
    eventually("it is gone", lambda: node not in app.pods(), timeout=60)
    return seconds


def scaled(app: RunningApp) -> tuple[float, float]:
    """Out by one node by the platform, in again, and out by hand."""
    new = f"{app.name}-redis-server-data-2"
    seconds = scale(app, 3)
    objects = [each for each in baseline.export(app.kube, app.name, NAMESPACE) if each["metadata"]["name"] == new]
    scale(app, 2)
    eventually("the node is gone", lambda: new not in app.pods(), timeout=120)
    return seconds, scale_by_hand(app, new, objects)


def measured(app: RunningApp, temporal: Temporal, number: int) -> dict[str, float]:
    """Seconds of one round."""
    with new_apps(app.kube, "replication", f"upgrade-{number}", f"by-hand-{number}") as (ours, plain):
        found = {"upgrade": upgrade(ours), f"upgrade{BY_HAND}": upgrade_by_hand(plain)}
    found |= {"restart": restart(app, temporal), f"restart{BY_HAND}": restart_by_hand(app)}
    found["scale-out"], found[f"scale-out{BY_HAND}"] = scaled(app)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instance", default="test")
    options = parser.parse_args()
    instance = Instance(options.instance)
    kube, temporal = kube_of(instance), temporal_of(instance)
    kube.namespace(NAMESPACE)
    with new_apps(kube, "sentinel", "bench") as (app,):
        rounds = []
        for number in range(1, options.rounds + 1):
            rounds.append(measured(app, temporal, number))
            shown = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in rounds[-1].items())
            print(f"round {number}: {shown}", flush=True)
        for name in MEASURED:
            ours, plain = (statistics.median(each[key] for each in rounds) for key in (name, name + BY_HAND))
            print(f"{name} per node: {ours:.2f} s, by hand {plain:.2f} s, ratio {ours / plain:.2f}", flush=True)
        for size in sizes(app, temporal):
            print(size, flush=True)


if __name__ == "__main__":
    main()
