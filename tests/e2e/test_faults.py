"""kill -9 of each part of the platform in the middle of a Deploy: the operation ends as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploy.local.instance import Instance
from tests.e2e.support import platform
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, eventually
from tests.e2e.support.platform import Temporal

pytestmark = [pytest.mark.e2e, pytest.mark.exclusive]
NAMESPACE = "faults"


def kill_module(module: str) -> Callable[[Instance], None]:
    def inject(instance: Instance) -> None:
        eventually(f"{module} runs", lambda: platform.processes(module, instance.name), timeout=60)
        assert platform.kill(module, instance.name) >= 1

    return inject


def restart(component: str) -> Callable[[Instance], None]:
    def inject(instance: Instance) -> None:
        instance.kill(component)
        instance.start(component)

    return inject


FAULTS: dict[str, Callable[[Instance], None]] = {
    "worker": kill_module("worker"),
    "watcher": kill_module("watcher"),
    "temporal": restart("temporal"),
    "apiserver": restart("apiserver"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_deploy_survives(kube: Kube, instance: Instance, temporal: Temporal, fault: str) -> None:
    name = f"through-{fault}"
    kube.namespace(NAMESPACE)
    kube.apply(redis_app(name, NAMESPACE, "sentinel"))
    eventually("the Deploy is at work", lambda: kube.pods(NAMESPACE, name), timeout=60)
    FAULTS[fault](instance)
    uid = RunningApp(kube, NAMESPACE, name).settled()["metadata"]["uid"]
    deployments = kube.find("deployment", NAMESPACE, f"middleware.io/app={name}")
    assert len(deployments) == 5
    written = {d["metadata"]["generation"] for d in deployments}  # an annotation counts as well
    assert written == {2}, "each Deployment was made once, and its node's address noted on it once"
    deploys = [w for w in temporal.workflows(f'MiddlewareApp="{name}"') if w["type"]["name"] == "Deploy"]
    started = [w for w in deploys if f"/{uid}/" in w["execution"]["workflowId"]]
    assert len(started) == 1
    kube.discard(name, NAMESPACE)


def test_roles_follow_while_temporal_and_the_worker_are_down(kube: Kube, instance: Instance) -> None:
    """Passive high availability needs neither: Sentinel elects, the watcher labels."""
    name = "without-temporal"
    kube.namespace(NAMESPACE)
    kube.apply(redis_app(name, NAMESPACE, "sentinel"))
    kube.wait_ready(name, NAMESPACE)
    old = kube.pods(NAMESPACE, name, role="master")[0]
    instance.kill("temporal")
    try:
        kube.run("delete", "pod", old["metadata"]["name"], "-n", NAMESPACE, "--wait=false")

        def replaced() -> bool:
            names = [p["metadata"]["name"] for p in kube.pods(NAMESPACE, name, role="master")]
            return names not in ([], [old["metadata"]["name"]])

        eventually("another Pod is master", replaced, timeout=60)
    finally:
        instance.start("temporal")
    kube.discard(name, NAMESPACE)
