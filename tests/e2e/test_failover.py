"""A fixed short selection of the trials of high availability (``tests/chaos/ha.py``): what ``WAIT`` acknowledged is
there, never are two nodes writable through the Service, and everything is as before."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from deploy.local.instance import Instance
from tests.chaos.faults import agent_processes
from tests.chaos.ha import new_app, remove_app
from tests.chaos.ha_case import run_case
from tests.chaos.ha_faults import HEARS_NOTHING, SAYS_NOTHING, SYSTEM, suspended
from tests.chaos.insides import agent, engine, engines_of, filtered
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, eventually
from tests.e2e.support.platform import Temporal

pytestmark = [pytest.mark.e2e, pytest.mark.exclusive]
SELECTION = {
    ("sentinel", "engine-killed"): 10.0,
    ("sentinel", "engine-suspended"): 15.0,
    ("sentinel", "network-cut"): 15.0,
    ("sentinel", "every-pod-deleted"): 60.0,
    ("replication", "engine-killed"): 5.0,
    ("replication", "engine-suspended"): 25.0,
    ("replication", "network-cut"): 40.0,
    ("replication", "pod-force-deleted"): 20.0,
    ("replication", "every-pod-deleted"): 60.0,
    ("replication", "every-pod-deleted-temporal-down"): 60.0,
}
"""Topology and fault -> seconds until writes are acknowledged again, at most: several times what it takes on an idle
machine."""


@pytest.fixture(scope="module")
def apps(instance: Instance) -> Iterator[dict[str, RunningApp]]:
    running = {topology: new_app(instance, f"steady-{topology}", topology) for topology in ("sentinel", "replication")}
    yield running
    for app in running.values():
        remove_app(instance, app)


@pytest.mark.parametrize(("topology", "fault"), SELECTION)
def test_a_fault_on_the_primary(apps: dict[str, RunningApp], instance: Instance, topology: str, fault: str) -> None:
    outcome = run_case(instance, apps[topology], topology, fault, 0)
    print(outcome)
    assert outcome.problems == []
    assert outcome.back <= SELECTION[topology, fault]


@dataclass(frozen=True)
class Pair:
    """Of an App with two data nodes, by name, and their Pods."""

    primary: str
    replica: str
    pods: dict[str, str]

    @classmethod
    def of(cls, app: RunningApp) -> Pair:
        """Settled, and with a write that both have."""
        app.settled()
        primary, pods = app.primary(), {node: pod["metadata"]["name"] for node, pod in app.pods().items()}
        with app.of_node(primary) as client:
            client.set("kept", primary)
            assert client.execute_command("WAIT", 1, 5000) == 1
        return cls(primary, next(node for node in pods if node != primary), pods)

    def end_replica(self) -> None:
        """Its engine; its agent starts it again at once, and it waits for a primary."""
        os.kill(engine(self.pods[self.replica]), signal.SIGKILL)


@contextmanager
def primary_lost(app: RunningApp, pair: Pair) -> Iterator[None]:
    """Nothing reaches it any more, nor it anything, as where its machine is lost. The replica has taken over before it
    is back; then the App is whole again."""
    try:
        with filtered(pair.pods[pair.primary], HEARS_NOTHING, SAYS_NOTHING):
            yield
            eventually("writes are acknowledged again", lambda: _serves(app, pair), timeout=90)
            assert app.primary() == pair.replica
    finally:
        app.settled()
    with app.of_node(pair.primary) as client:
        assert (client.info("replication")["role"], client.get("kept")) == ("slave", pair.primary)


def _serves(app: RunningApp, pair: Pair) -> bool:
    """Through the Service, with what was there before."""
    with app.client(timeout=1.0) as client:
        return bool(client.set("after", 1)) and client.get("kept") == pair.primary


def test_a_replica_that_ends_in_mid_failover_begins_as_primary(apps: dict[str, RunningApp]) -> None:
    """It had been in sync until the primary was lost; started anew it waits for one, and there is none."""
    app = apps["replication"]
    pair = Pair.of(app)
    with primary_lost(app, pair):
        eventually("it is being replaced", lambda: pair.primary in str(app.status().get("fenced")), timeout=60)
        pair.end_replica()


def test_a_person_decides_for_a_replica_that_may_lack_writes(apps: dict[str, RunningApp], temporal: Temporal) -> None:
    """Neither of the two runs when the loss is noticed, and the replica's last word is of some time before."""
    app = apps["replication"]
    pair = Pair.of(app)
    with ExitStack() as faults:
        with suspended(agent("tools", pair.pods[pair.replica])):
            time.sleep(8)  # so long nothing is noted on its volume
            faults.enter_context(primary_lost(app, pair))
            pair.end_replica()
        told = app.message(pair.primary, pair.replica, "was last in sync", "--force", timeout=90)
        assert "nobody can take over without losing data" in told
        wish = {"node": pair.primary, "candidate": pair.replica, "force": True}
        result = temporal.execute("Failover", {"namespace": app.namespace, "app": app.name, **wish})
        assert result["outcome"] == "completed"


@contextmanager
def without_platform(kube: Kube) -> Iterator[None]:
    """Neither watcher nor worker; back afterwards, as many as before."""
    found = {each["metadata"]["name"]: each["spec"]["replicas"] for each in kube.find("deployment", SYSTEM)}
    try:
        for name in found:
            kube.run("scale", "deployment", name, "-n", SYSTEM, "--replicas=0")
        eventually("the platform is gone", lambda: not kube.find("pod", SYSTEM))
        yield
    finally:
        for name, replicas in found.items():
            kube.run("scale", "deployment", name, "-n", SYSTEM, f"--replicas={replicas}")


def test_who_was_replaced_serves_nobody_by_its_own_record(apps: dict[str, RunningApp], kube: Kube) -> None:
    """It returns while its successor and the platform are both away, and knows nothing of either."""
    app = apps["replication"]
    pair = Pair.of(app)
    with primary_lost(app, pair):
        eventually("the failover has ended", lambda: _replaced(app, pair), timeout=90)
        assert _serves(app, pair)
        with without_platform(kube), filtered(pair.pods[pair.replica], HEARS_NOTHING, SAYS_NOTHING):
            words = ("delete", "pod", pair.pods[pair.primary], "-n", app.namespace, "--grace-period=0", "--force")
            kube.run(*words)
            pod = eventually("its next Pod runs", lambda: _running_pod(app, pair), timeout=60)
            deadline = time.monotonic() + 8  # without a peer that answers, its start by its own record takes 2 s
            while time.monotonic() < deadline:
                assert engines_of(pod) == []
                time.sleep(0.2)
    with app.of_node(pair.primary) as client:
        assert client.get("after") == "1"


def _replaced(app: RunningApp, pair: Pair) -> bool:
    status = app.status()
    return pair.primary in str(status.get("fenced")) and status["operation"]["state"] == "Completed"


def _running_pod(app: RunningApp, pair: Pair) -> str:
    """The successor of the lost primary's Pod, once its agent runs."""
    pod = app.pods()[pair.primary]
    name = str(pod["metadata"]["name"])
    ready = all("running" in each["state"] for each in pod["status"].get("containerStatuses", []))
    return name if name != pair.pods[pair.primary] and ready and agent_processes("manager", {name}) else ""
