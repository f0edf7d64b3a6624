"""``make up CLUSTER=current``: the platform on the cluster that the kubeconfig names, as a person installs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deploy.local.instance import Instance
from tests.e2e.support.kube import Kube, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.exclusive]
REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEM = "middleware-system"


def make_up(**environment: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "up", "CLUSTER=current", "SET=worker.replicas=1 logLevel=debug"]
    inherited = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "TEMPORAL_ADDRESS", "MAKEFLAGS")}
    return subprocess.run(
        command, cwd=REPOSITORY, env=inherited | environment, capture_output=True, text=True, timeout=280, check=False
    )


def test_it_installs_with_the_values_that_are_given(kube: Kube, instance: Instance) -> None:
    done = make_up(
        KUBECONFIG=str(instance.paths.kubeconfig),
        TEMPORAL_ADDRESS=instance.temporal_address,
        MW_INSTALLATION=instance.name,
        PATH=f"{instance.paths.bin}:{os.environ['PATH']}",
    )
    assert done.returncode == 0, done.stderr
    assert f"Cluster: that of {instance.paths.kubeconfig}" in done.stderr

    def ready(name: str) -> int:
        status = (kube.get("deployment", name, SYSTEM) or {})["status"]
        return int(status["updatedReplicas"]) if status.get("unavailableReplicas", 0) == 0 else 0

    eventually(
        "two watchers and one worker", lambda: (ready("middleware-watcher"), ready("middleware-worker")) == (2, 1)
    )
    (worker,) = (kube.get("deployment", "middleware-worker", SYSTEM) or {})["spec"]["template"]["spec"]["containers"]
    assert {"name": "MW_LOG_LEVEL", "value": "debug"} in worker["env"]


def test_it_asks_for_what_it_lacks(instance: Instance, tmp_path: Path) -> None:
    nowhere = make_up(HOME=str(tmp_path), TEMPORAL_ADDRESS=instance.temporal_address)
    assert nowhere.returncode != 0
    assert "set KUBECONFIG" in nowhere.stderr
    timeless = make_up(KUBECONFIG=str(instance.paths.kubeconfig))
    assert timeless.returncode != 0
    assert "Set TEMPORAL_ADDRESS" in timeless.stderr
