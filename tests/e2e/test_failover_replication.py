"""A fixed short selection of the trials of high availability (``tests/chaos/ha.py``), where the platform fails over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deploy.local.instance import Instance
from tests.chaos.ha_faults import suspended
from tests.chaos.insides import agent
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.failover import Pair, fault_on_the_primary, primary_lost, steady
from tests.e2e.support.kube import eventually
from tests.e2e.support.platform import Temporal

pytestmark = pytest.mark.e2e
TOPOLOGY = "replication"
SELECTION = {
    "engine-killed": 5.0,
    "engine-suspended": 25.0,
    "network-cut": 40.0,
    "pod-force-deleted": 20.0,
    "every-pod-deleted": 60.0,
}
"""Fault -> seconds until writes are acknowledged again, at most: several times what it takes on an idle machine."""


@pytest.fixture(scope="module")
def app(instance: Instance) -> Iterator[RunningApp]:
    with steady(instance, "steady-replication", TOPOLOGY) as running:
        yield running


@pytest.mark.parametrize("fault", SELECTION)
def test_a_fault_on_the_primary(app: RunningApp, instance: Instance, fault: str) -> None:
    fault_on_the_primary(app, instance, TOPOLOGY, fault, SELECTION[fault])


def test_a_replica_that_ends_in_mid_failover_begins_as_primary(app: RunningApp) -> None:
    """It had been in sync until the primary was lost; started anew it waits for one, and there is none."""
    pair = Pair.of(app)
    with primary_lost(app, pair):
        eventually("it is being replaced", lambda: pair.primary in str(app.status().get("fenced")), timeout=60)
        pair.end_replica()


def test_a_person_decides_for_a_replica_that_may_lack_writes(app: RunningApp, temporal: Temporal) -> None:
    """Neither of the two runs when the loss is noticed, and the replica's last word is of some time before."""
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
