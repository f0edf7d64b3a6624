"""How much of the platform an instance gets."""

from __future__ import annotations

import pytest

from deploy.local.platform import replicas


@pytest.mark.parametrize(("nodes", "workers"), [(1, 1), (2, 2), (3, 2), (8, 2)])
def test_on_several_machines_a_worker_outlives_the_loss_of_one(nodes: int, workers: int) -> None:
    assert replicas(nodes) == ("watcher.replicas=2", f"worker.replicas={workers}")
