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
NODES = [f"{NAME}-redis-server-data-{n}" for n in range(2)]


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    (default,) = json.loads(kube.run("get", "storageclass", "-o", "json"))["items"]
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
