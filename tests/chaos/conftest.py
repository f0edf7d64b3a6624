"""A cluster that is there already, by the name in MW_TEST_INSTANCE: these tests need several machines."""

from __future__ import annotations

import pytest

from deploy.local.instance import Instance
from tests.e2e.support.environment import TEST_INSTANCE, kube_of, temporal_of
from tests.e2e.support.kube import Kube
from tests.e2e.support.platform import Temporal

collect_ignore = ["test_drain.py"]
"""Run when it is named: the cluster of the whole run has one machine."""


@pytest.fixture(scope="session")
def instance() -> Instance:
    return Instance(TEST_INSTANCE)


@pytest.fixture(scope="session")
def kube(instance: Instance) -> Kube:
    return kube_of(instance)


@pytest.fixture(scope="session")
def temporal(instance: Instance) -> Temporal:
    return temporal_of(instance)
