"""Volumes that grow, on a real API server; what a driver does after having been asked is said by the test, since the
embedded cluster has none that can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, Manifest, eventually

pytestmark = pytest.mark.e2e
NAMESPACE, NAME, CLASS = "growing", "granary", "grows"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
NODES = [f"{NAME}-redis-server-data-{n}" for n in range(2)]


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    classes = json.loads(kube.run("get", "storageclass", "-o", "json"))["items"]
    (default,) = (each for each in classes if DEFAULT_CLASS in (each["metadata"].get("annotations") or {}))
    kept = {key: default[key] for key in ("apiVersion", "kind", "provisioner", "reclaimPolicy", "volumeBindingMode")}
    kube.apply({**kept, "metadata": {"name": CLASS}, "allowVolumeExpansion": True})
    kube.namespace(NAMESPACE)
    manifest = redis_app(NAME, NAMESPACE, "replication")
    manifest["spec"]["components"][0]["groups"][0]["storage"]["storageClassName"] = CLASS
    kube.apply(manifest)
    running = RunningApp(kube, NAMESPACE, NAME)
    running.settled()
    yield running
    kube.delete("app.middleware.io", NAME, NAMESPACE)
    kube.delete("storageclass", CLASS, NAMESPACE)


def grown(kube: Kube, node: str, size: str, *conditions: dict[str, str]) -> None:
    """As its driver and the kubelet would say it."""
    status: dict[str, Any] = {"capacity": {"storage": size}, "conditions": list(conditions)}
    change = json.dumps({"status": status})
    kube.run("patch", "pvc", node, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", change)


def pods(kube: Kube) -> dict[str, str]:
    return {p["metadata"]["labels"]["middleware.io/node"]: p["metadata"]["uid"] for p in kube.pods(NAMESPACE, NAME)}


def test_a_resize_waits_for_the_space_and_starts_a_pod_anew_where_only_that_brings_it(
    app: RunningApp, kube: Kube
) -> None:
    before = pods(kube)

    def larger(spec: Manifest) -> None:
        spec["components"][0]["groups"][0]["storage"]["size"] = "512Mi"

    app.change(larger)

    def asked() -> bool:
        claims = {each["metadata"]["name"]: each for each in kube.find("pvc", NAMESPACE)}
        sizes = {claims[node]["spec"]["resources"]["requests"]["storage"] for node in NODES}
        return sizes == {"512Mi"} and "volumes have grown" in app.status().get("operation", {}).get("step", "")

    eventually("both claims are asked for", asked)
    grown(kube, NODES[0], "512Mi")
    pending = {"type": "FileSystemResizePending", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    grown(kube, NODES[1], "256Mi", pending)
    eventually("the node whose file system waits is rolled", lambda: pods(kube)[NODES[1]] != before[NODES[1]], 120)
    assert app.status()["message"] != "as wanted"
    grown(kube, NODES[1], "512Mi")
    app.settled(60)
    assert pods(kube)[NODES[0]] == before[NODES[0]]


# Claims that nobody provisions

NOWHERE = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "nowhere"},
    "provisioner": "example.com/nobody",
}


def test_a_class_that_provisions_nothing_is_named_and_corrected_in_the_app(kube: Kube) -> None:
    """Nobody deletes a claim by hand."""
    name, node = "stuck", "stuck-redis-server-data-0"
    kube.namespace(NAMESPACE)
    kube.apply(NOWHERE)
    manifest = redis_app(name, NAMESPACE, "standalone", 1)
    storage = manifest["spec"]["components"][0]["groups"][0]["storage"]
    storage["storageClassName"] = "nowhere"
    kube.apply(manifest)
    app = RunningApp(kube, NAMESPACE, name)
    app.message("StorageClass nowhere (example.com/nobody)")
    claim = kube.get("pvc", node, NAMESPACE)
    assert claim is not None
    del storage["storageClassName"]
    kube.apply(manifest)
    app.settled(120)
    renewed = kube.get("pvc", node, NAMESPACE)
    assert renewed is not None
    assert renewed["metadata"]["uid"] != claim["metadata"]["uid"]
    assert renewed["status"]["phase"] == "Bound"
    (told,) = app.events("ClaimRenewed")
    assert f"the claim {node} never had a volume" in told
    storage["storageClassName"] = "nowhere"
    kube.apply(manifest)
    app.message("storage.storageClassName: cannot change where there are volumes")
    kube.delete("app.middleware.io", name, NAMESPACE)
    kube.delete("storageclass", "nowhere", NAMESPACE)


# What a volume remembers


def test_a_kept_volume_says_itself_which_version_has_had_it(kube: Kube) -> None:
    """As one that was restored from a snapshot: nothing is noted on its claim, and nobody's status knows of it."""
    name, node = "kept", "kept-redis-server-data-0"
    kube.namespace(NAMESPACE)
    manifest = redis_app(name, NAMESPACE, "standalone", 1, deletion_policy="Retain", version="8.0")
    kube.apply(manifest)
    app = RunningApp(kube, NAMESPACE, name)
    app.settled(120)
    assert app.client().set("book", "kept")
    kube.delete("app.middleware.io", name, NAMESPACE)
    kube.run("annotate", "pvc", node, "-n", NAMESPACE, "middleware.io/runtime-version-")
    manifest["spec"]["runtimeVersion"] = "7.0"
    kube.apply(manifest)
    app.message("spec.runtimeVersion: cannot go back from 8.0 to 7.0", node)
    manifest["spec"]["runtimeVersion"] = "8.0"
    manifest["spec"]["deletionPolicy"] = "Delete"
    kube.apply(manifest)
    app.settled(120)
    assert app.client().get("book") == "kept"
    kube.delete("app.middleware.io", name, NAMESPACE)
