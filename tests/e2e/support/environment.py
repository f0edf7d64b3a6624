"""The tests' own cluster, made as ``make up`` makes a user's, under another name: neither harms the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from deploy.local import stages
from deploy.local.instance import Instance
from tests.e2e.support.kube import Kube
from tests.e2e.support.platform import Temporal

TEST_INSTANCE = os.environ.get("MW_TEST_INSTANCE", "test")
"""Two people on one machine test side by side under two names."""
KEEP = bool(os.environ.get("MW_TEST_KEEP"))
"""Leave the cluster up for the next run, and take the one that is there."""


def kube_of(instance: Instance) -> Kube:
    return Kube(instance.paths.kubeconfig, str(instance.paths.bin / "kubectl"))


def temporal_of(instance: Instance) -> Temporal:
    return Temporal(str(instance.paths.bin / "temporal"), instance.temporal_address)


def end() -> None:
    """Ends the cluster with its data, where there is one."""
    instance = Instance(TEST_INSTANCE)
    if instance.paths.state.exists():
        instance.down(purge=True)


@contextmanager
def shared_cluster(run: Path) -> Iterator[Instance]:
    """The cluster with the platform on it: the first worker of a run makes it, the last that leaves ends it.

    ``run`` is a folder that the workers of one run have in common, and no other run.
    """
    users = run / "users"
    with FileLock(run / "lock"):
        count = int(users.read_text()) if users.exists() else 0
        if not count:
            _make()
        users.write_text(str(count + 1))
    try:
        yield Instance(TEST_INSTANCE)
    finally:
        with FileLock(run / "lock"):
            left = int(users.read_text()) - 1
            users.write_text(str(left))
            if not left and not KEEP:
                end()


def _make() -> None:
    if not KEEP:
        end()  # what a run that was killed has left would be of another version
    stages.bring_up(Instance(TEST_INSTANCE), example=False)
