"""The primary's machine loses its power, or its network, on a cluster of three machines; later it returns.

    MW_TEST_INSTANCE=three python -m pytest tests/chaos/test_machine_lost.py -s

Two clients write meanwhile: a hasty one, by which the time without writes is taken, and a patient one that asks for
``WAIT 1``. What either was told to be written is looked for once everybody is whole again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from deploy.local.instance import Instance
from tests.chaos.ha_case import NOTABLE, whole, writer
from tests.chaos.observer import Observer
from tests.chaos.three_machines import instance, kube
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.environment import temporal_of
from tests.e2e.support.kube import Kube, eventually
from tests.e2e.support.machines import Machines, PlatformPods, machine_of
from tests.e2e.support.writer import AcknowledgedWriter, outages

__all__ = ["instance", "kube"]

NAMESPACE = "chaos-machine"
WITHOUT_WRITES = 90.0
"""Seconds at most; the active watcher or a worker may have been on the same machine."""
BACK_WITHIN = 300.0
REPLACED_WITHIN = 180.0
"""The platform's own Pods: 50 s until the machine counts as lost, 10 s of toleration, and a start on busy cores."""


@dataclass(frozen=True)
class Case:
    """``watcher``: the active one is on the lost machine too, else on another. ``evicted``: the machine is away until
    Kubernetes has given up its Pods, so that others wait for their volumes when it returns."""

    lose: Callable[[Instance, str], None]
    give_back: Callable[[Instance, str], None]
    watcher: bool = False
    evicted: bool = False


CASES = {
    "power": Case(Instance.kill_node, Instance.start_node),
    "power, active watcher too": Case(Instance.kill_node, Instance.start_node, watcher=True),
    "network, until Pods are given up": Case(Instance.isolate_node, Instance.rejoin_node, evicted=True),
}


@pytest.fixture(scope="module", params=["replication", "sentinel"])
def app(request: pytest.FixtureRequest, kube: Kube) -> Iterator[RunningApp]:
    name = f"on-{request.param}"
    kube.namespace(NAMESPACE)
    manifest = redis_app(name, NAMESPACE, request.param, 3)
    manifest["spec"]["failover"] = {"coolDownSeconds": 1}
    kube.apply(manifest)
    running = RunningApp(kube, NAMESPACE, name)
    running.settled()
    yield running
    kube.delete("app.middleware.io", name, NAMESPACE)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CASES)
def test_the_primarys_machine_is_lost_and_returns(app: RunningApp, instance: Instance, name: str) -> None:
    case, platform = CASES[name], PlatformPods(app.kube)
    machine = set_the_scene(app, instance, platform, watcher=case.watcher)
    label = {node.name: node.label for node in instance.nodes}[machine]
    before, there = app.primary(), platform.on(machine)
    prefix = f"{name.split(',')[0]}-{time.time():.0f}"
    hasty, patient = writer(app, f"{prefix}-hasty", 1.0, 0), writer(app, f"{prefix}-patient", 10.0, 1)
    observer = Observer(app)
    with observer, hasty, patient:
        eventually("writes flow", lambda: min(len(hasty.times), len(patient.replicated)) > 50)
        struck = time.monotonic()
        case.lose(instance, label)
        try:
            seconds = without_writes(hasty, struck)
            eventually("another is primary", lambda: app.primary() != before)
            said, said_after = degraded(app, before), time.monotonic() - struck
            eventually("the platform is whole elsewhere", lambda: platform.whole(without=machine), REPLACED_WITHIN)
            replaced = time.monotonic() - struck
            if case.evicted:
                given_up(app, machine)
        finally:
            returned = time.monotonic()
            case.give_back(instance, label)
        whole(app)
        app.settled(BACK_WITHIN)
        settled = time.monotonic() - returned
        seen = len(patient.replicated)
        eventually("writes still flow", lambda: len(patient.replicated) > seen + 50)
    whole(app)
    lost = len(hasty.lost(hasty.acknowledged)) + len(patient.lost(patient.acknowledged))
    print(
        f"\n{app.name}: {name}; of the platform on it: {', '.join(there) or 'nothing'}",
        f"{seconds:.1f} s without writes; both said to be primary for {observer.seen.both:.1f} s",
        f"{len(hasty.acknowledged) + len(patient.acknowledged)} acknowledged, {lost} lost; "
        f"{len(patient.replicated)} by WAIT",
        f"after {said_after:.1f} s: {said}",
        f"the platform whole elsewhere after {replaced:.0f} s; all as before {settled:.0f} s after the return",
        sep="\n  ",
        flush=True,
    )
    assert not patient.lost(patient.replicated), "writes that WAIT had acknowledged are lost"
    assert not observer.seen.labelled, observer.seen.labelled
    assert not observer.seen.served, observer.seen.served
    assert seconds < WITHOUT_WRITES
    assert app.primary() != before, "the role stays where it went"
    assert len({machine_of(pod) for pod in app.pods().values()}) == 3, "each node is where its volume is"


def set_the_scene(app: RunningApp, instance: Instance, platform: PlatformPods, *, watcher: bool) -> str:
    """The machine to lose: the primary on it, and the active watcher or not. The first, which has the control plane,
    cannot be lost."""
    further = [node.name for node in instance.nodes[1:]]
    eventually("the platform is whole", lambda: platform.whole(), REPLACED_WITHIN)
    if watcher and platform.leader() not in further:
        platform.delete_leader()
        eventually("another watcher leads", lambda: platform.leader() in further)
    leader = platform.leader()
    wanted = leader if watcher else next(machine for machine in further if machine != leader)
    there = next(node for node, pod in app.pods().items() if machine_of(pod) == wanted)
    if app.primary() != there:
        what = {"namespace": NAMESPACE, "app": app.name, "component": "redis-server", "candidate": there}
        temporal_of(instance).execute("Switchover", what)
        eventually("the role has moved", lambda: app.primary() == there)
    app.settled()
    whole(app)
    return wanted


def given_up(app: RunningApp, machine: str) -> None:
    """What Kubernetes does by itself 350 s after the loss (300 s of toleration), done at once: the Pods of the machine
    are marked for deletion, and there are others that can run nowhere else."""
    machines = Machines(app.kube)
    eventually("the machine counts as lost", lambda: machine not in machines.names(), timeout=120)
    pods = [pod for pod in app.kube.pods(app.namespace, app.name) if machine_of(pod) == machine]
    names = [pod["metadata"]["name"] for pod in pods]
    app.kube.run("delete", "pod", *names, "-n", app.namespace, "--wait=false")

    def waiting() -> bool:
        found = app.kube.pods(app.namespace, app.name)
        return len([pod for pod in found if pod["status"]["phase"] == "Pending"]) == len(names)

    eventually("their successors wait for the machine", waiting)


def degraded(app: RunningApp, node: str) -> str:
    """What the App says is wrong, once it names the node."""

    def said() -> str:
        found = app.kube.condition("app.middleware.io", app.name, app.namespace, "Degraded") or {}
        message = str(found.get("message", "")) if found.get("status") == "True" else ""
        return message if node in message else ""

    return eventually(f"the App says that {node} is lost", said, timeout=120)


def without_writes(client: AcknowledgedWriter, since: float) -> float:
    """From the fault until writes are acknowledged again."""

    def back() -> float | None:
        found = outages(client.times, since, NOTABLE)
        return found[0].end - since if found else None

    return eventually("writes are back", back, timeout=2 * WITHOUT_WRITES)
