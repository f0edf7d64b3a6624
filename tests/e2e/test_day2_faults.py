"""A fixed short selection of the fault matrix (``tests/chaos/matrix.py``): the operation ends as if nothing had
happened, and every acknowledged write is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.instance import Instance
from tests.chaos.case import run_case
from tests.chaos.operations import OPERATIONS
from tests.e2e.support.day2 import RunningApp, deployed
from tests.e2e.support.kube import Kube
from tests.e2e.support.platform import Temporal

pytestmark = [pytest.mark.e2e, pytest.mark.exclusive]
NAMESPACE, NAME = "day2-faults", "stock"
SELECTION = [
    ("switchover", "switchover#1", "worker"),
    ("scale", "waitReady#1", "apiserver"),
    ("reconfigure", "configureNode#1", "temporal"),
    ("restart", "rollNode#1", "agent2"),
    ("upgrade-aborted", "rollNode#2", "worker"),
    ("upgrade", "rollNode#4", "worker"),
]
"""What would hurt most: a role half moved, a node half added or half rolled or half way back, a parameter half set."""


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    with deployed(kube, NAMESPACE, NAME, "sentinel") as running:
        yield running


@pytest.mark.parametrize(("operation", "step", "fault"), SELECTION)
def test_killed_in_mid_operation(
    app: RunningApp, instance: Instance, temporal: Temporal, operation: str, step: str, fault: str
) -> None:
    result = run_case(instance, app, temporal, operation, OPERATIONS[operation], step, fault)
    print(result)
