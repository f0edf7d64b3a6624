"""Time per node of a rolling operation and of a scale-out, against the engine's own minimum done by plain kubectl.

    python -m tests.bench.day2 --rounds 3 --instance test

A Restart of all data nodes (the role moved once) against deleting a replica's Pod and waiting until it is ready again,
per node; a Scale by one node against applying that node's final objects and waiting, alternating in one run. Prints
both ratios, and activities and history events of each operation.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from deploy.local.instance import Instance
from tests.bench import baseline
from tests.chaos.operations import OPERATIONS, Operation, workflows
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp, component
from tests.e2e.support.environment import kube_of, temporal_of
from tests.e2e.support.kube import Manifest, eventually
from tests.e2e.support.platform import Temporal

NAMESPACE, APP = "bench-day2", "bench"


def restart(app: RunningApp, temporal: Temporal) -> float:
    """Seconds per node of a Restart of the data nodes, the move of the role included."""
    start = time.monotonic()
    request = {"namespace": NAMESPACE, "app": APP, "component": "redis-server"}
    assert temporal.execute("Restart", request)["outcome"] == "completed"
    seconds = (time.monotonic() - start) / len(app.nodes())
    app.settled()
    return seconds


def plain_restart(app: RunningApp) -> float:
    """Seconds from deleting a replica's Pod until its successor is ready."""
    replica = next(node for node in app.nodes() if node != app.primary())
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

    start = time.monotonic()
    app.change(edit)
    app.settled()
    return time.monotonic() - start


def node_objects(app: RunningApp, node: str) -> list[Manifest]:
    found = baseline.export(app.kube, APP, NAMESPACE)
    return [each for each in found if each["metadata"]["name"] == node]


def plain_scale(app: RunningApp, node: str, objects: list[Manifest]) -> float:
    """Seconds until the node made of the very same objects is ready."""
    start = time.monotonic()
    app.kube.apply(*objects)
    eventually("the node is ready", lambda: is_ready(app.pods().get(node, {})), timeout=120, every=0.05)
    seconds = time.monotonic() - start
    for kind in ("deployment", "service", "configmap", "persistentvolumeclaim"):
        app.kube.delete(kind, node, NAMESPACE)
    eventually("it is gone", lambda: node not in app.pods(), timeout=60)
    return seconds


def size(temporal: Temporal, app: RunningApp, operation: Operation) -> str:
    """Activities and events of the newest operation of a kind; of a Scale that is the way back, in."""
    newest = max(workflows(app, operation, temporal), key=lambda each: int(each.rpartition("/")[2]))
    events = json.loads(temporal.run("workflow", "show", "-w", newest, "-o", "json"))["events"]
    activities = sum("activityTaskScheduledEventAttributes" in event for event in events)
    return f"{operation.kind}: {activities} activities, {len(events)} events"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instance", default="test")
    options = parser.parse_args()
    instance = Instance(options.instance)
    kube, temporal = kube_of(instance), temporal_of(instance)
    kube.namespace(NAMESPACE)
    kube.apply(redis_app(APP, NAMESPACE, "sentinel"))
    app = RunningApp(kube, NAMESPACE, APP)
    app.settled()
    new = f"{APP}-redis-server-data-2"
    times: dict[str, list[float]] = {"restart": [], "plain restart": [], "scale-out": [], "plain scale-out": []}
    for number in range(1, options.rounds + 1):
        times["restart"].append(restart(app, temporal))
        times["plain restart"].append(plain_restart(app))
        times["scale-out"].append(scale(app, 3))
        objects = node_objects(app, new)
        scale(app, 2)
        eventually("the node is gone", lambda: new not in app.pods(), timeout=120)
        times["plain scale-out"].append(plain_scale(app, new, objects))
        shown = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in times.items())
        print(f"round {number}: {shown}", flush=True)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for ours, plain in (("restart", "plain restart"), ("scale-out", "plain scale-out")):
        ratio = medians[ours] / medians[plain]
        print(f"{ours} per node: {medians[ours]:.2f} s, by hand {medians[plain]:.2f} s, ratio {ratio:.2f}")
    for name in ("restart", "scale"):
        print(size(temporal, app, OPERATIONS[name]))
    kube.delete("app.middleware.io", APP, NAMESPACE)


if __name__ == "__main__":
    main()
