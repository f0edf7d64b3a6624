"""Fixtures of the tests that need a cluster of three machines, which is there already: it takes minutes to make."""

from __future__ import annotations

import pytest

from deploy.local.instance import Instance
from tests.e2e.support.environment import TEST_INSTANCE, kube_of
from tests.e2e.support.kube import Kube


@pytest.fixture(scope="module")
def instance() -> Instance:
    found = Instance(TEST_INSTANCE)
    assert len(found.nodes) >= 3, "this needs a cluster of three machines: make up NODES=3"
    return found


@pytest.fixture(scope="module")
def kube(instance: Instance) -> Kube:
    return kube_of(instance)
