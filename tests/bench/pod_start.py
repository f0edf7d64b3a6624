"""Time until engines accept connections: standalone Apps of the platform against bare Pods, alternating in one run.

    python -m tests.bench.pod_start --counts 1 30 --rounds 3 --instance test

Three ways: *bare* Pods, with the same engine's image in an init container, which does nothing, and in two containers,
one of which is the engine; no agents, volumes or probes. The very *objects* that the platform made of the Apps, applied
by plain kubectl. The *Apps* themselves. Prints for each count the time until all accept connections, when the last Pod
reached each part of its start, and where the processor time went, all as medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.local.instance import Instance
from tests.bench import baseline, processor
from tests.bench.pod_timeline import PARTS, Timelines, follow
from tests.e2e.support.apps import redis_app
from tests.e2e.support.environment import kube_of
from tests.e2e.support.kube import Kube, Manifest, eventually

NAMESPACE, SYSTEM = "bench-pod-start", "middleware-system"
IMAGE, PORT = "middleware.local/redis:7.0", 6379
PATIENCE = 300.0
QUIET = 0.3
"""Processors that the instance uses at most when a measurement begins."""


@dataclass(frozen=True)
class Run:
    """One start of some Pods, and what it took of the processor, on the whole and by container of a Pod."""

    timelines: Timelines
    use: processor.Use
    containers: processor.Use

    @property
    def seconds(self) -> float:
        return self.timelines.last("accepting")


Value = Callable[[Run], float]


def bare_pod(number: int) -> Manifest:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

    def container(name: str, *command: str) -> dict[str, Any]:
        return {"name": name, "image": IMAGE, "command": list(command), "securityContext": security}

    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"bare-{number}", "namespace": NAMESPACE},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsUser": 10001,
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [container("init", "true")],
            "containers": [
                container("engine", "redis-server", "--save", "", "--protected-mode", "no"),
                container("beside", "sleep", "infinity"),
            ],
        },
    }


class Bench:
    """Each way starts that many at once and removes them again."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._kube: Kube = kube_of(instance)
        self._kube.namespace(NAMESPACE)
        self._platform = self._kube.find("pod", SYSTEM)
        self._made: dict[int, list[Manifest]] = {}
        """By count, what the platform made of that many Apps."""

    def bare(self, count: int) -> Run:
        found = self._run(count, [bare_pod(number) for number in range(count)])
        self._kube.run("delete", "pod", "--all", "-n", NAMESPACE, "--wait=true", timeout=PATIENCE)
        return found

    def objects(self, count: int) -> Run:
        found = self._run(count, self._made[count])
        baseline.remove(self._kube, NAMESPACE, "")
        return found

    def apps(self, count: int) -> Run:
        manifests = [redis_app(f"app-{number}", NAMESPACE, "standalone", 1) for number in range(count)]
        with baseline.first_config_maps(self._kube, "", NAMESPACE) as first:
            found = self._run(count, manifests)
        self._made[count] = baseline.export(self._kube, "", NAMESPACE, first)
        self._kube.run("delete", "app.middleware.io", "--all", "-n", NAMESPACE, "--wait=true", timeout=PATIENCE)
        eventually("nothing is left", lambda: not baseline.export(self._kube, "", NAMESPACE), timeout=PATIENCE)
        return found

    def _run(self, count: int, manifests: list[Manifest]) -> Run:
        self._quiet()
        before = processor.use(self._instance, self._platform)
        timelines = asyncio.run(
            follow(self._kube, NAMESPACE, PORT, count, lambda: self._kube.apply(*manifests), PATIENCE)
        )
        use = processor.since(before, processor.use(self._instance, self._platform))
        each = [processor.of_containers(self._instance, pod) for pod in timelines.pods.values()]
        return Run(timelines, use, {name: statistics.mean(one[name] for one in each) for name in each[0]})

    def _quiet(self) -> None:
        """What the last measurement left to do must not be part of the next."""

        def is_quiet() -> bool:
            before = processor.use(self._instance, ())
            time.sleep(1)
            return sum(processor.since(before, processor.use(self._instance, ())).values()) < QUIET

        eventually("the instance has nothing to do", is_quiet, timeout=PATIENCE, every=0)


def last(part: str) -> Value:
    return lambda run: run.timelines.last(part)


def mean(part: str) -> Value:
    return lambda run: run.timelines.mean(part)


def used(name: str) -> Value:
    return lambda run: run.use[name]


def median(runs: Iterable[Run], value: Value) -> float:
    return statistics.median(value(run) for run in runs)


def table(title: str, rows: Iterable[tuple[str, Value]], ways: Mapping[str, list[Run]]) -> None:
    print(f"{title:<38}{''.join(f'{way:>10}' for way in ways)}")
    for name, value in rows:
        print(f"  {name:<36}{''.join(f'{median(runs, value):>10.2f}' for runs in ways.values())}")


def report(count: int, ways: Mapping[str, list[Run]]) -> None:
    bare = ways["bare"]
    print(f"\n{count} at once, all accepting after:")
    for way, runs in ways.items():
        seconds, plain = median(runs, lambda run: run.seconds), median(bare, lambda run: run.seconds)
        later = median(runs, mean("accepting")) - median(bare, mean("accepting"))
        print(f"  {way:<8}{seconds:6.2f} s, {seconds / plain:.2f} times; a Pod {later:+.2f} s, from when it was made")
    table("the last Pod is, after s", [(part, last(part)) for part in PARTS], ways)
    table("a Pod is, s after it was made, mean", [(part, mean(part)) for part in PARTS[1:]], ways)
    rows = [(name, used(name)) for name in ways["apps"][-1].use]
    table("s of processor time until ready", [*rows, ("all", lambda run: sum(run.use.values()))], ways)
    for way, runs in ways.items():
        middle = {name: statistics.median(run.containers[name] for run in runs) for name in runs[0].containers}
        parts = ", ".join(f"{name} {seconds:.3f}" for name, seconds in middle.items())
        print(f"s of processor time of a Pod's containers, {way}: {parts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 30])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instance", default="test")
    options = parser.parse_args()
    bench = Bench(Instance(options.instance))
    for count in options.counts:
        bench.apps(count)  # not counted: what it made is what `objects` applies
        ways: dict[str, list[Run]] = {"bare": [], "objects": [], "apps": []}
        for number in range(1, options.rounds + 1):
            for way, runs in ways.items():
                runs.append(getattr(bench, way)(count))
                print(f"{count} at once, round {number}: {way} {runs[-1].seconds:.2f} s", flush=True)
        report(count, ways)


if __name__ == "__main__":
    main()
