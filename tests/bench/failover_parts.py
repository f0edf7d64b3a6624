"""Where the seconds of a failover by the platform go: topology ``replication``, from the fault to a writable Service.

    python -m tests.bench.failover_parts --rounds 5 --instance test [--fault engine-killed]

1. ``detection``: from the fault until the workflow Failover begins.
2. ``fencing``: until it is proved that the old primary acknowledges nothing (planning included: it asks everybody).
3. ``promotion``: until another engine says that it is primary.
4. ``Service``: until the first write through the role's Service is acknowledged.

The workflow's history tells the first two, the engines and a writing client the others.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

import redis

from deploy.local.instance import Instance
from tests.bench.histories import activity_ends
from tests.chaos import ha
from tests.chaos.fresh import fresh_pods
from tests.chaos.ha_case import NOTABLE, whole, writer
from tests.chaos.ha_faults import FAULTS, Scene, wait_until
from tests.chaos.observer import WRITABLE
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.environment import temporal_of
from tests.e2e.support.kube import eventually
from tests.e2e.support.platform import Temporal
from tests.e2e.support.writer import outages

NAMES = ("engine-killed", "engine-suspended", "pod-deleted", "network-cut")
PARTS = ("detection", "fencing", "promotion", "Service")
_SAMPLE = 0.02


@dataclass(frozen=True)
class Parts:
    """Seconds, in their order; they add up to the time without writes."""

    detection: float
    fencing: float
    promotion: float
    service: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instance", default="test")
    parser.add_argument("--fault", choices=NAMES, action="append")
    options = parser.parse_args()
    instance = Instance(options.instance)
    app = ha.new_app(instance, "parts", "replication")
    found: dict[str, list[Parts]] = {}
    try:
        for number in range(1, options.rounds + 1):
            for name in options.fault or NAMES:
                fresh_pods(app)
                parts = measured(instance, app, name)
                if parts is None:
                    print(f"round {number}, {name}: the primary was back before anybody had replaced it", flush=True)
                else:
                    found.setdefault(name, []).append(parts)
                    print(f"round {number}, {name}: {_shown(astuple(parts))}", flush=True)
    finally:
        ha.remove_app(instance, app)
    for name, rounds in found.items():
        medians = [statistics.median(values) for values in zip(*map(astuple, rounds), strict=True)]
        totals = [sum(astuple(parts)) for parts in rounds]
        print(f"{name}, medians of {len(rounds)}: {_shown(medians)}; in all {statistics.median(totals):.2f} s")


def _shown(values: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{part} {value:.2f} s" for part, value in zip(PARTS, values, strict=True))


def measured(instance: Instance, app: RunningApp, name: str) -> Parts | None:
    """One fault on the primary; None where it serves again by itself. Raises AssertionError where nobody does."""
    whole(app)
    temporal, scene = temporal_of(instance), Scene.of(instance, app)
    before = set(_failovers(temporal, app))
    with writer(app, f"parts-{time.time():.0f}", 1.0, 0) as client, _promotion(app, scene.node) as promoted:
        eventually("writes flow", lambda: len(client.times) > 100)
        begun, clock = time.time(), time.monotonic()
        with FAULTS[name].during(scene):
            wait_until(lambda: bool(outages(client.times, clock, NOTABLE)), 60)
        whole(app)
    app.settled()
    found = outages(client.times, clock, NOTABLE)
    assert found, f"{name}: writes never failed, or did not come back"
    if not promoted:
        return None
    # There may be two: where the old primary is back only later, another one takes it in again.
    histories = [_from_history(temporal, each) for each in set(_failovers(temporal, app)) - before]
    [(started, fenced)] = [times for times in histories if times is not None]
    back = begun + found[0].end - clock
    return Parts(started - begun, fenced - started, promoted[0] - fenced, back - promoted[0])


def _failovers(temporal: Temporal, app: RunningApp) -> list[str]:
    uid = str(app.manifest()["metadata"]["uid"])
    found = temporal.workflows('WorkflowType = "Failover"')
    return [each["execution"]["workflowId"] for each in found if f"/{uid}/" in each["execution"]["workflowId"]]


def _from_history(temporal: Temporal, workflow_id: str) -> tuple[float, float] | None:
    """Unix seconds at which the workflow began and its ``fence`` was done; None where it had nobody to fence."""
    history = json.loads(temporal.run("workflow", "show", "-w", workflow_id, "-o", "json"))
    events: list[dict[str, Any]] = history["events"]
    fenced = activity_ends(events).get("fence")
    return None if fenced is None else (datetime.fromisoformat(events[0]["eventTime"]).timestamp(), fenced)


@contextlib.contextmanager
def _promotion(app: RunningApp, primary: str) -> Iterator[list[float]]:
    """Filled with the unix seconds at which a node other than ``primary`` says first that it is writable."""
    seen: list[float] = []
    stop = threading.Event()
    clients = [app.of_node(node, timeout=0.3) for node in app.nodes() if node != primary]

    def watch() -> None:
        while not seen and not stop.wait(_SAMPLE):
            for client in clients:
                with contextlib.suppress(redis.RedisError, OSError):
                    if client.info("replication")["role"] == WRITABLE:
                        seen.append(time.time())

    thread = threading.Thread(target=watch, name="promotion", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(timeout=5)
        for client in clients:
            client.close()


if __name__ == "__main__":
    main()
