"""``mw uninstall`` on a real cluster: what it refuses, what goes, what stays, and that an installation finds it again.

One story, as each part takes the platform from the cluster; it is installed again whatever comes of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local import platform as local_platform
from deploy.local.instance import Instance
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import KIND, RunningApp
from tests.e2e.support.kube import Kube, eventually
from tests.e2e.support.mw import mw
from tests.e2e.test_delete import KINDS

pytestmark = [pytest.mark.e2e, pytest.mark.exclusive]
NAMESPACE, SYSTEM = "leaving", "middleware-system"
STAYS, GOES = "archive", "scratch"
TRACKED_BY = ("app.kubernetes.io/instance", "argocd.argoproj.io", "fluxcd.io", "meta.helm.sh")
MW_CRDS = {f"{kind}.middleware.io" for kind in ("apps", "components", "groups")}


@pytest.fixture(scope="module")
def apps(kube: Kube, instance: Instance) -> Iterator[dict[str, RunningApp]]:
    kube.namespace(NAMESPACE)
    for name, policy in ((STAYS, "Retain"), (GOES, "Delete")):
        kube.apply(redis_app(name, NAMESPACE, "standalone", 1, deletion_policy=policy))
    found = {name: RunningApp(kube, NAMESPACE, name) for name in (STAYS, GOES)}
    try:
        for app in found.values():
            app.settled(120)
        yield found
    finally:
        local_platform.install(instance)
        for name in (STAYS, GOES):
            kube.delete(KIND, name, NAMESPACE)
        kube.run("delete", "pvc", "--all", "-n", NAMESPACE)


def pods(kube: Kube, app: str) -> list[str]:
    return [pod["metadata"]["uid"] for pod in kube.pods(NAMESPACE, app)]


def names(kube: Kube, kind: str, namespace: str = NAMESPACE) -> set[str]:
    return {each["metadata"]["name"] for each in kube.find(kind, namespace)}


def crds(kube: Kube) -> set[str]:
    listed = kube.run("get", "crd", "-o", "name").split()
    return {name.rpartition("/")[2] for name in listed} & MW_CRDS


def test_nothing_of_an_app_looks_as_if_a_gitops_tool_had_applied_it(apps: dict[str, RunningApp], kube: Kube) -> None:
    """Volumes and passwords have no owner that would tell it otherwise, so they would be pruned. As it is in the
    cluster, with what Kubernetes' own controllers have written."""
    ownerless = set()
    for kind in (*KINDS, "controllerrevision", "endpointslice"):
        for each in kube.find(kind, NAMESPACE, f"middleware.io/app={STAYS}"):
            metadata = each["metadata"]
            written = {*metadata.get("labels", {}), *metadata.get("annotations", {})}
            assert not [key for key in written if any(mark in key for mark in TRACKED_BY)], metadata["name"]
            if not metadata.get("ownerReferences"):
                ownerless.add(kind)
    assert ownerless == {"persistentvolumeclaim", "secret"}, "all else goes with the App"


def test_uninstalling(apps: dict[str, RunningApp], kube: Kube, instance: Instance) -> None:
    apps[STAYS].client().set("book", "kept")
    before = pods(kube, STAYS)

    refused = mw(instance, "uninstall", codes=(1,))
    assert "are still there; say what becomes of them: --apps delete" in refused.stderr
    assert {"middleware-watcher", "middleware-worker"} <= names(kube, "deployment", SYSTEM)

    mw(instance, "uninstall", "--apps", "keep")
    assert names(kube, "deployment", SYSTEM) == set()
    assert crds(kube) == MW_CRDS
    assert apps[STAYS].manifest()["metadata"].get("finalizers", []) == []
    assert apps[STAYS].client().get("book") == "kept", "it runs on"

    # By hand, with nobody to remove a finalizer: what the App owns goes with it, data stay.
    kube.delete(KIND, GOES, NAMESPACE, timeout=30)
    eventually("its Pods are gone", lambda: pods(kube, GOES) == [], 90)
    assert f"{GOES}-redis-server-data-0" in names(kube, "pvc")

    local_platform.install(instance)
    apps[STAYS].settled(120)
    assert pods(kube, STAYS) == before, "it was found as it was"
    eventually("it has its finalizer again", lambda: apps[STAYS].manifest()["metadata"].get("finalizers"), 60)

    mw(instance, "uninstall", "--apps", "delete")
    assert crds(kube) == set()
    assert names(kube, "deployment", SYSTEM) == set()
    assert not {"platform-ca", "platform-client"} & names(kube, "secret", SYSTEM)
    assert not [name for name in names(kube, "configmap", SYSTEM) if name.startswith("plugin")]
    assert names(kube, "deployment") == set()
    assert f"{STAYS}-redis-server-data-0" in names(kube, "pvc")

    local_platform.install(instance)
    kube.apply(redis_app(STAYS, NAMESPACE, "standalone", 1, deletion_policy="Delete"))
    apps[STAYS].settled(180)
    assert apps[STAYS].client().get("book") == "kept", "its volume outlived the platform"
