"""The tests' own cluster, made as ``make up`` makes a user's, under another name: neither harms the other."""

from __future__ import annotations

import os

from deploy.local.instance import Instance
from tests.e2e.support.kube import Kube
from tests.e2e.support.platform import Temporal

TEST_INSTANCE = os.environ.get("MW_TEST_INSTANCE", "test")
"""Two people on one machine test side by side under two names."""


def kube_of(instance: Instance) -> Kube:
    return Kube(instance.paths.kubeconfig, str(instance.paths.bin / "kubectl"))


def temporal_of(instance: Instance) -> Temporal:
    return Temporal(str(instance.paths.bin / "temporal"), instance.temporal_address)
