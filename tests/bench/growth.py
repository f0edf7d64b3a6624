"""Whether watcher and worker grow with the operations that they have carried out.

    python -m tests.bench.growth --operations 1000 --instance test

Some Apps of one node are given another parameter, all at once, again and again; every tenth time they are deleted and
deployed anew under other names. Prints resident memory after each hundred operations, and how much of it is of the
last half: who levels off gains nothing there.
"""

from __future__ import annotations

import argparse
import time

from deploy.local.instance import Instance
from tests.bench.processes import found, resident_mib
from tests.e2e.support.apps import redis_app
from tests.e2e.support.environment import kube_of
from tests.e2e.support.kube import Kube, Manifest, eventually

NAMESPACE, KIND = "bench-growth", "app.middleware.io"
SHOWN_EVERY = 100
CHANGES = 9
"""Of the parameter, between two deploys."""


def carried_out(kube: Kube, apps: int) -> bool:
    """Whether all are as wanted, as one question for all of them."""
    return sum(_settled(app) for app in kube.find(KIND, NAMESPACE)) == apps


def _settled(app: Manifest) -> bool:
    status = app.get("status", {})
    current = status.get("observedGeneration") == app["metadata"]["generation"]
    return bool(current and status.get("message") == "as wanted")


def change(kube: Kube, names: list[str], number: int) -> None:
    policy = ("allkeys-lru", "allkeys-lfu", "volatile-ttl")[number % 3]
    kube.apply(*(redis_app(name, NAMESPACE, "standalone", 1, config={"maxmemory-policy": policy}) for name in names))
    eventually("all are as wanted", lambda: carried_out(kube, len(names)), timeout=240, every=0.5)


def remove(kube: Kube, names: list[str]) -> None:
    kube.run("delete", KIND, *names, "-n", NAMESPACE, "--wait=true", timeout=240)


def resident(instance: str) -> dict[str, float]:
    """Of all watchers, and of all workers."""
    totals = {"watcher": 0.0, "worker": 0.0}
    for pid, name in found(instance).items():
        if name in totals:
            totals[name] += resident_mib(pid)
    return totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--apps", type=int, default=10)
    parser.add_argument("--instance", default="test")
    options = parser.parse_args()
    kube = kube_of(Instance(options.instance))
    kube.namespace(NAMESPACE)
    began, done, rounds = time.monotonic(), 0, 0
    seen = [resident(options.instance)]
    print(f"{'operations':>10}{'seconds':>9}{'watcher MiB':>13}{'worker MiB':>12}", flush=True)
    while done < options.operations:
        names = [f"grow-{rounds}-{number}" for number in range(options.apps)]
        for number in range(1 + CHANGES):  # the first is the deploy
            change(kube, names, number)
            done += len(names)
            if done // SHOWN_EVERY > len(seen) - 1:
                seen.append(resident(options.instance))
                row = f"{done:>10}{time.monotonic() - began:>9.0f}"
                print(f"{row}{seen[-1]['watcher']:>13.1f}{seen[-1]['worker']:>12.1f}", flush=True)
        remove(kube, names)
        done, rounds = done + len(names), rounds + 1
    for name in seen[0]:
        first, half, last = (seen[index][name] for index in (0, len(seen) // 2, -1))
        print(f"{name}: {first:.1f} MiB before, {last:.1f} after; {last - half:+.1f} in the last half")


if __name__ == "__main__":
    main()
