"""Seconds without writes when the primary dies or hangs, against a plain Redis with Sentinel.

    python -m tests.bench.failover --rounds 10 --instance test

An App of topology ``sentinel`` whose clients come through its Service, and the same engines as bare processes whose
clients ask the Sentinels, with the same settings of Sentinel, alternating in one run. ``killed`` is kill -9 of the
primary's engine: nobody restarts the plain one before Sentinel has replaced it, since nothing there would; the agent
restarts the App's. ``suspended`` is SIGSTOP. On both sides the next fault comes when everybody is in sync again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import time
from collections.abc import Callable

from deploy.local.instance import Instance
from tests.bench.plain_redis import PlainRedis
from tests.chaos.ha_case import NOTABLE, whole, writer
from tests.chaos.ha_faults import wait_until
from tests.chaos.insides import engine
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.environment import kube_of
from tests.e2e.support.kube import eventually
from tests.e2e.support.writer import AcknowledgedWriter, outages

NAMESPACE, APP = "bench-failover", "bench"
SIGNALS = {"killed": signal.SIGKILL, "suspended": signal.SIGSTOP}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instance", default="test")
    options = parser.parse_args()
    instance = Instance(options.instance)
    kube = kube_of(instance)
    kube.namespace(NAMESPACE)
    kube.apply(redis_app(APP, NAMESPACE, "sentinel"))
    app = RunningApp(kube, NAMESPACE, APP)
    app.settled()
    settings = {name: str(value) for name, value in app.metadata("config")["redis-sentinel"].items()}
    print(f"Sentinel's settings on both sides: {settings}", flush=True)
    times: dict[str, list[float]] = {}
    with PlainRedis(settings) as plain:
        for number in range(1, options.rounds + 1):
            for fault in SIGNALS:
                times.setdefault(f"{fault}, App", []).append(of_app(app, SIGNALS[fault]))
                times.setdefault(f"{fault}, plain", []).append(of_plain(plain, SIGNALS[fault]))
                shown = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in times.items() if fault in name)
                print(f"round {number}: {shown}", flush=True)
    for fault in SIGNALS:
        ours, other = (statistics.median(times[f"{fault}, {side}"]) for side in ("App", "plain"))
        worst = ", ".join(f"worst {side} {max(times[f'{fault}, {side}']):.2f} s" for side in ("App", "plain"))
        print(f"{fault}: App {ours:.2f} s, plain {other:.2f} s, ratio {ours / other:.2f}; {worst}")
    kube.delete("app.middleware.io", APP, NAMESPACE)


def of_app(app: RunningApp, number: signal.Signals) -> float:
    pid = engine(app.pods()[app.primary()]["metadata"]["name"])
    with writer(app, f"bench-{time.time():.0f}", 1.0, 0) as client:
        seconds = without_writes(client, lambda: os.kill(pid, number))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        whole(app)
    return seconds


def of_plain(plain: PlainRedis, number: signal.Signals) -> float:
    primary = plain.primary()
    with plain.writer() as client:
        seconds = without_writes(client, lambda: plain.signal(primary, number))
        plain.signal(primary, signal.SIGCONT)
        plain.revive(primary)
        plain.settled()
    return seconds


def without_writes(client: AcknowledgedWriter, strike: Callable[[], None]) -> float:
    """From the fault until writes are acknowledged again."""
    eventually("writes flow", lambda: len(client.times) > 100)
    begun = time.monotonic()
    strike()
    wait_until(lambda: bool(outages(client.times, begun, NOTABLE)), 60)
    found = outages(client.times, begun, NOTABLE)
    assert found, "writes did not come back within a minute, or never failed"
    return found[0].end - begun


if __name__ == "__main__":
    main()
