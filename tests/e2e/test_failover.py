"""Failovers while the platform, or what it needs, is down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.local.instance import Instance
from tests.chaos.faults import agent_processes
from tests.chaos.ha_faults import HEARS_NOTHING, SAYS_NOTHING, SYSTEM
from tests.chaos.insides import engines_of, filtered
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.failover import Pair, fault_on_the_primary, primary_lost, serves, steady
from tests.e2e.support.kube import Kube, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.exclusive]
TOPOLOGY = "replication"


@pytest.fixture(scope="module")
def app(instance: Instance) -> Iterator[RunningApp]:
    with steady(instance, "left-alone", TOPOLOGY) as running:
        yield running


def test_every_pod_is_deleted_while_temporal_is_down(app: RunningApp, instance: Instance) -> None:
    fault_on_the_primary(app, instance, TOPOLOGY, "every-pod-deleted-temporal-down", 60.0)


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


def test_who_was_replacedserves_nobody_by_its_own_record(app: RunningApp, kube: Kube) -> None:
    """It returns while its successor and the platform are both away, and knows nothing of either."""
    pair = Pair.of(app)
    with primary_lost(app, pair):
        eventually("the failover has ended", lambda: _replaced(app, pair), timeout=90)
        assert serves(app, pair)
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
