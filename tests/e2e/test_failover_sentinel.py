"""A fixed short selection of the trials of high availability (``tests/chaos/ha.py``), under Sentinel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.instance import Instance
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.failover import fault_on_the_primary, steady

pytestmark = pytest.mark.e2e
TOPOLOGY = "sentinel"
SELECTION = {"engine-killed": 10.0, "engine-suspended": 15.0, "network-cut": 15.0, "every-pod-deleted": 60.0}
"""Fault -> seconds until writes are acknowledged again, at most: several times what it takes on an idle machine."""


@pytest.fixture(scope="module")
def app(instance: Instance) -> Iterator[RunningApp]:
    with steady(instance, "steady-sentinel", TOPOLOGY) as running:
        yield running


@pytest.mark.parametrize("fault", SELECTION)
def test_a_fault_on_the_primary(app: RunningApp, instance: Instance, fault: str) -> None:
    fault_on_the_primary(app, instance, TOPOLOGY, fault, SELECTION[fault])
