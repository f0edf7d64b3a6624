"""Time from ``kubectl apply`` of an App to Ready, against the very same objects applied by plain kubectl, alternating.

    python -m tests.bench.deploy --rounds 5 --instance test

Prints each round, the medians, their ratio, and where the platform's own time went (from the workflows' histories).
"""

from __future__ import annotations

import argparse
import statistics
import time

from deploy.local.instance import Instance
from tests.bench import baseline
from tests.bench.histories import activity_seconds
from tests.e2e.support.apps import redis_app
from tests.e2e.support.environment import kube_of, temporal_of
from tests.e2e.support.kube import Kube, Manifest, eventually

NAMESPACE, APP = "bench-deploy", "bench"
COMPONENTS = ["redis-server", "redis-sentinel"]


def platform_round(kube: Kube, manifest: Manifest) -> float:
    start = time.monotonic()
    kube.apply(manifest)
    kube.run("wait", "app.middleware.io", APP, "-n", NAMESPACE, "--for=condition=Ready", "--timeout=240s", timeout=250)
    return time.monotonic() - start


def recorded_objects(kube: Kube, manifest: Manifest) -> list[Manifest]:
    """What the platform makes of the App, from a deploy that is not timed: plain kubectl then applies the very same."""
    with baseline.first_config_maps(kube, APP, NAMESPACE) as first:
        platform_round(kube, manifest)
    objects = baseline.export(kube, APP, NAMESPACE, first)
    remove_app(kube)
    return objects


def remove_app(kube: Kube) -> None:
    kube.delete("app.middleware.io", APP, NAMESPACE)
    eventually("everything is gone", lambda: not baseline.export(kube, APP, NAMESPACE), timeout=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--instance", default="test")
    options = parser.parse_args()
    instance = Instance(options.instance)
    kube, temporal = kube_of(instance), temporal_of(instance)
    kube.namespace(NAMESPACE)
    manifest = redis_app(APP, NAMESPACE, "sentinel")
    objects = recorded_objects(kube, manifest)
    ours: list[float] = []
    plain: list[float] = []
    spent: dict[str, float] = {}
    for number in range(1, options.rounds + 1):
        ours.append(platform_round(kube, manifest))
        uid = str((kube.get("app.middleware.io", APP, NAMESPACE) or {})["metadata"]["uid"])
        remove_app(kube)
        for name, seconds in activity_seconds(temporal, uid).items():
            spent[name] = spent.get(name, 0.0) + seconds
        plain.append(baseline.apply_in_order(kube, objects, COMPONENTS, NAMESPACE, APP))
        baseline.remove(kube, NAMESPACE, APP)
        print(f"round {number}: platform {ours[-1]:.2f} s, plain kubectl {plain[-1]:.2f} s", flush=True)
    ratio = statistics.median(ours) / statistics.median(plain)
    print(f"median: platform {statistics.median(ours):.2f} s, plain kubectl {statistics.median(plain):.2f} s")
    print(f"ratio: {ratio:.2f} (goal: at most 1.3)")
    print("seconds in activities per deploy (mean):")
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {name:<28}{seconds / options.rounds:7.2f}")


if __name__ == "__main__":
    main()
