"""The primary's machine loses its power, or its network, on a cluster of three machines; later it returns.

    MW_TEST_INSTANCE=three python -m pytest tests/chaos/test_machine_lost.py -s

Two clients write meanwhile: a hasty one, by which the time without writes is taken, and a patient one that asks for
``WAIT 1``. What either was told to be written is looked for once everybody is whole again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from deploy.local.instance import Instance
from tests.chaos.ha_case import NOTABLE, whole, writer
from tests.chaos.observer import Observer
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.environment import TEST_INSTANCE, kube_of, temporal_of
from tests.e2e.support.kube import Kube, eventually
from tests.e2e.support.machines import machine_of
from tests.e2e.support.writer import AcknowledgedWriter, outages

NAMESPACE = "chaos-machine"
WITHOUT_WRITES = 60.0
"""Seconds at most; the watcher or the worker may have been on the same machine."""
BACK_WITHIN = 300.0

Do = Callable[[Instance, str], None]
FAULTS: dict[str, tuple[Do, Do]] = {
    "power": (Instance.kill_node, Instance.start_node),
    "network": (Instance.isolate_node, Instance.rejoin_node),
}


@pytest.fixture(scope="module")
def instance() -> Instance:
    """One that is there already."""
    found = Instance(TEST_INSTANCE)
    assert len(found.nodes) >= 3, "this needs a cluster of three machines: make up NODES=3"
    return found


@pytest.fixture(scope="module")
def kube(instance: Instance) -> Kube:
    return kube_of(instance)


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


def primary_on_a_further_machine(app: RunningApp, instance: Instance) -> str:
    """The machine's label. The first cannot be lost: the control plane is there."""
    labels = {node.name: node.label for node in instance.nodes}
    first = instance.nodes[0].name
    if machine_of(app.pods()[app.primary()]) == first:
        temporal_of(instance).execute("Switchover", {"namespace": NAMESPACE, "app": app.name})
        eventually("the role has moved", lambda: machine_of(app.pods()[app.primary()]) != first)
        app.settled()
    return labels[machine_of(app.pods()[app.primary()])]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_primarys_machine_is_lost_and_returns(app: RunningApp, instance: Instance, fault: str) -> None:
    lose, give_back = FAULTS[fault]
    machine = primary_on_a_further_machine(app, instance)
    whole(app)
    before, prefix = app.primary(), f"{fault}-{time.time():.0f}"
    hasty, patient = writer(app, f"{prefix}-hasty", 1.0, 0), writer(app, f"{prefix}-patient", 10.0, 1)
    observer = Observer(app)
    with observer, hasty, patient:
        eventually("writes flow", lambda: min(len(hasty.times), len(patient.replicated)) > 50)
        struck = time.monotonic()
        lose(instance, machine)
        try:
            seconds = without_writes(hasty, struck)
            eventually("another is primary", lambda: app.primary() != before)
            said = degraded(app, before)
        finally:
            give_back(instance, machine)
        app.settled(BACK_WITHIN)
        whole(app)
    lost = len(hasty.lost(hasty.acknowledged)) + len(patient.lost(patient.acknowledged))
    acknowledged = len(hasty.acknowledged) + len(patient.acknowledged)
    print(
        f"{app.name}, {fault}: {seconds:.1f} s without writes; {acknowledged} acknowledged, {lost} lost; "
        f"{len(patient.replicated)} by WAIT; both said to be primary for {observer.seen.both:.1f} s; {said}"
    )
    assert not patient.lost(patient.replicated), "writes that WAIT had acknowledged are lost"
    assert not observer.seen.labelled, observer.seen.labelled
    assert not observer.seen.served, observer.seen.served
    assert seconds < WITHOUT_WRITES
    assert app.primary() != before, "the role stays where it went"


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
