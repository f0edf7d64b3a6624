"""One embedded cluster with the platform on it for the whole run; ``MW_TEST_KEEP=1`` leaves it up for the next run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.instance import Instance
from tests.e2e.support.environment import kube_of, shared_cluster, temporal_of
from tests.e2e.support.kube import Kube
from tests.e2e.support.platform import Temporal
from tests.support.workers import worker_count


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    base = tmp_path_factory.getbasetemp()
    # A worker's folder lies in its run's; a run of one process has none above that is its own.
    with shared_cluster(base.parent if worker_count() > 1 else base) as found:
        yield found


@pytest.fixture(scope="session")
def kube(instance: Instance) -> Kube:
    return kube_of(instance)


@pytest.fixture(scope="session")
def temporal(instance: Instance) -> Temporal:
    return temporal_of(instance)
