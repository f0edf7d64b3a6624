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
    "engine-killed": 10.0,
    "engine-suspended": 15.0,
    "network-cut": 15.0,
    "every-pod-deleted": 60.0,
}
"""Fault -> seconds until writes are acknowledged again, at most: several times what it takes on an idle machine."""


@pytest.fixture(scope="module")
def app(instance: Instance) -> Iterator[RunningApp]:
    running = new_app(instance, "steady", "sentinel")
    yield running
    remove_app(instance, running)


@pytest.mark.parametrize("fault", SELECTION)
def test_a_fault_on_the_primary(app: RunningApp, instance: Instance, fault: str) -> None:
    outcome = run_case(instance, app, "sentinel", fault, 0)
    print(outcome)
    assert outcome.problems == []
    assert outcome.back <= SELECTION[fault]
