"""Deleting an App leaves what its deletionPolicy keeps, nothing else; kept data comes back from the newest volume."""

from __future__ import annotations

import pytest
import redis

from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, eventually

pytestmark = pytest.mark.e2e
NAMESPACE = "deletion"
KINDS = (
    "deployment",
    "replicaset",
    "pod",
    "service",
    "configmap",
    "secret",
    "persistentvolumeclaim",
    "poddisruptionbudget",
    "component.middleware.io",
    "group.middleware.io",
)


def left(kube: Kube, app: str) -> dict[str, list[str]]:
    """Objects of the App that still exist, by kind."""
    found = {k: [o["metadata"]["name"] for o in kube.find(k, NAMESPACE, f"middleware.io/app={app}")] for k in KINDS}
    return {kind: names for kind, names in found.items() if names}


def test_delete_policy_removes_everything(kube: Kube) -> None:
    kube.namespace(NAMESPACE)
    kube.apply(redis_app("gone", NAMESPACE, "standalone", 1, deletion_policy="Delete"))
    kube.wait_ready("gone", NAMESPACE)
    kube.delete("app.middleware.io", "gone", NAMESPACE)
    eventually("nothing is left", lambda: left(kube, "gone") == {}, timeout=60)


def test_retained_volumes_bring_the_data_back_from_the_newest_node(kube: Kube) -> None:
    kube.namespace(NAMESPACE)
    manifest = redis_app("kept", NAMESPACE, "replication", 2, deletion_policy="Retain")
    kube.apply(manifest)
    kube.wait_ready("kept", NAMESPACE)
    password = kube.secret("kept-credentials", NAMESPACE, "password")
    address = kube.service_address("kept-redis-server-master", NAMESPACE)
    with redis.Redis(host=address, password=password, decode_responses=True, socket_timeout=3) as master:
        master.mset({f"key:{n}": n for n in range(500)})
        assert master.wait(1, 5000) == 1

    kube.delete("app.middleware.io", "kept", NAMESPACE)
    eventually(
        "only volumes and credentials are left",
        lambda: set(left(kube, "kept")) == {"persistentvolumeclaim", "secret"},
        timeout=60,
    )
    older = redis_app("kept", NAMESPACE, "replication", 2, deletion_policy="Retain", version="6.0")
    kube.apply(older)
    app = RunningApp(kube, NAMESPACE, "kept")
    app.message("spec.runtimeVersion: cannot go back from 7.0 to 6.0", "keep 7.0, or delete the kept volume claims")
    assert set(left(kube, "kept")) == {"persistentvolumeclaim", "secret"}, "nothing is made"
    kube.apply(manifest)
    kube.wait_ready("kept", NAMESPACE)
    assert kube.secret("kept-credentials", NAMESPACE, "password") == password
    address = kube.service_address("kept-redis-server-master", NAMESPACE)
    with redis.Redis(host=address, password=password, decode_responses=True, socket_timeout=3) as master:
        assert master.mget([f"key:{n}" for n in range(500)]) == [str(n) for n in range(500)]
    policy = '{"spec":{"deletionPolicy":"Delete"}}'
    kube.run("patch", "app.middleware.io", "kept", "-n", NAMESPACE, "--type=merge", "-p", policy)
    kube.delete("app.middleware.io", "kept", NAMESPACE)
    eventually("nothing is left", lambda: left(kube, "kept") == {}, timeout=60)


def test_an_app_that_never_ran_can_be_deleted(kube: Kube) -> None:
    """A hook that cannot run never blocks a deletion."""
    kube.namespace(NAMESPACE)
    manifest = redis_app("stuck", NAMESPACE, "standalone", 1)
    manifest["spec"]["components"][0]["groups"][0]["nodeSelector"] = {"no-such-label": "anywhere"}
    kube.apply(manifest)
    eventually("its Pod is pending", lambda: kube.pods(NAMESPACE, "stuck"), timeout=60)
    kube.delete("app.middleware.io", "stuck", NAMESPACE, timeout=90)
    eventually("nothing is left", lambda: left(kube, "stuck") == {}, timeout=60)
