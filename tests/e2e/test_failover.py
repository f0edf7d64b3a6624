"""A fixed short selection of the trials of high availability (``tests/chaos/ha.py``): what ``WAIT`` acknowledged is
there, never are two nodes writable through the Service, and everything is as before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.instance import Instance
from tests.chaos.ha import new_app, remove_app
from tests.chaos.ha_case import run_case
from tests.e2e.support.day2 import RunningApp

pytestmark = pytest.mark.e2e
SELECTION = {
    ("sentinel", "engine-killed"): 10.0,
    ("sentinel", "engine-suspended"): 15.0,
    ("sentinel", "network-cut"): 15.0,
    ("sentinel", "every-pod-deleted"): 60.0,
    ("replication", "engine-killed"): 5.0,
    ("replication", "engine-suspended"): 25.0,
    ("replication", "network-cut"): 40.0,
    ("replication", "pod-force-deleted"): 20.0,
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
