"""What idle nodes cost, against as many bare Pods of the same engine, in one run.

    python -m tests.bench.idle --nodes 10 --seconds 60 --instance test

For ``--seconds`` each: with nothing, with the bare Pods, with the nodes. Bare is a Pod with the engine alone, without
agents, probes and volumes; the nodes are Apps of five (Redis with Sentinel). Prints each process's share of a core and
resident memory, what each node costs everybody, and the ratio to the bare Pod's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local.instance import Instance
from tests.bench.processes import Usage, median, used
from tests.e2e.support.apps import SMALL, redis_app
from tests.e2e.support.environment import kube_of
from tests.e2e.support.kube import Kube, Manifest, eventually

NAMESPACE, PER_APP = "bench-idle", 5
SETTLE = 20.0
"""Seconds from ready to idle: an agent asks its engine more often at first, and status is still written."""
PROCESSES = ("redis-server", "agent 1", "agent 2", "kubelet", "containerd", "watcher", "worker")


def bare_pod(number: int) -> Manifest:
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 999,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "redis",
        "image": "middleware.local/redis:7.0",
        "imagePullPolicy": "IfNotPresent",
        "command": ["redis-server", "--save", "", "--protected-mode", "no"],
        "resources": SMALL,
        "securityContext": security,
    }
    metadata = {"name": f"bare-{number}", "namespace": NAMESPACE, "labels": {"bench": "bare"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


@contextmanager
def bare_pods(kube: Kube, count: int) -> Iterator[None]:
    kube.apply(*(bare_pod(number) for number in range(count)))
    selector = ("-n", NAMESPACE, "-l", "bench=bare")
    kube.run("wait", "pod", *selector, "--for=condition=Ready", "--timeout=240s", timeout=250)
    yield
    kube.run("delete", "pod", *selector, "--wait=true", "--grace-period=1", timeout=180)


@contextmanager
def nodes(kube: Kube, count: int) -> Iterator[None]:
    names = [f"idle-{number}" for number in range(count // PER_APP)]
    kube.apply(*(redis_app(name, NAMESPACE, "sentinel") for name in names))
    for name in names:
        kube.wait_ready(name, NAMESPACE, timeout=400)
    yield
    for name in names:
        kube.delete("app.middleware.io", name, NAMESPACE)
    eventually("the Pods are gone", lambda: not kube.find("pod", NAMESPACE, "middleware.io/app"), timeout=120)


def settled(instance: str, seconds: float) -> dict[str, list[Usage]]:
    time.sleep(SETTLE)
    return used(instance, seconds)


def percent(usage: dict[str, list[Usage]], name: str) -> float:
    """Of all processes of the name together."""
    return sum(each.percent for each in usage.get(name, []))


def print_processes(usage: dict[str, list[Usage]]) -> None:
    print(f"{'process':<14}{'count':>6}{'% of a core: median':>21}{'max':>7}{'resident MiB: median':>22}{'max':>7}")
    for name, each in sorted(usage.items()):
        cpu, memory = [u.percent for u in each], [u.resident for u in each]
        middle = f"{median(cpu):>21.2f}{max(cpu):>7.2f}{median(memory):>22.1f}{max(memory):>7.1f}"
        print(f"{name:<14}{len(each):>6}{middle}")


def print_per_node(count: int, *usages: dict[str, list[Usage]]) -> None:
    """``usages``: with nothing, with bare Pods, with nodes. What there is with nothing is not theirs."""
    empty, bare, ours = ({name: percent(usage, name) for name in PROCESSES} for usage in usages)
    print(f"\n{'% of a core for each of ' + str(count):<28}{'bare Pod':>10}{'node':>10}")
    for name in PROCESSES:
        print(f"{name:<28}{(bare[name] - empty[name]) / count:>10.3f}{(ours[name] - empty[name]) / count:>10.3f}")
    plain, own = ((sum(each.values()) - sum(empty.values())) / count for each in (bare, ours))
    print(f"{'all':<28}{plain:>10.3f}{own:>10.3f}   ratio {own / plain:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10, help=f"a multiple of {PER_APP}")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--instance", default="test")
    options = parser.parse_args()
    if options.nodes < PER_APP or options.nodes % PER_APP:
        parser.error(f"--nodes {options.nodes}: an App has {PER_APP}, so it must be a multiple of that")
    kube = kube_of(Instance(options.instance))
    kube.namespace(NAMESPACE)
    empty = settled(options.instance, options.seconds)
    with bare_pods(kube, options.nodes):
        bare = settled(options.instance, options.seconds)
    with nodes(kube, options.nodes):
        ours = settled(options.instance, options.seconds)
        print_processes(ours)
        print_per_node(options.nodes, empty, bare, ours)


if __name__ == "__main__":
    main()
