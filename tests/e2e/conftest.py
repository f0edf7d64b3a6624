"""One embedded cluster with the platform on it for the whole run; ``MW_TEST_KEEP=1`` leaves it up for the next run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from deploy.local import stages
from deploy.local.instance import Instance
from tests.e2e.support.environment import TEST_INSTANCE, kube_of, temporal_of
from tests.e2e.support.kube import Kube
from tests.e2e.support.platform import Temporal


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    found = Instance(TEST_INSTANCE)
    keep = bool(os.environ.get("MW_TEST_KEEP"))
    if not keep and found.paths.state.exists():
        found.down(purge=True)  # what a run that was killed has left would be of another version
    stages.bring_up(found, example=False)
    yield found
    if not keep:
        found.down(purge=True)


@pytest.fixture(scope="session")
def kube(instance: Instance) -> Kube:
    return kube_of(instance)


@pytest.fixture(scope="session")
def temporal(instance: Instance) -> Temporal:
    return temporal_of(instance)
