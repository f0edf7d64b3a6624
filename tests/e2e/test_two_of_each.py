"""Two workers and two watchers side by side, and one of each killed at work: nothing happens twice."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from deploy.local.instance import Instance
from tests.e2e.support import platform
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, Manifest, eventually
from tests.e2e.support.platform import Temporal

pytestmark = [pytest.mark.e2e, pytest.mark.exclusive]
NAMESPACE, SYSTEM = "two-of-each", "middleware-system"
APPS = ("left", "right")


def pollers(temporal: Temporal) -> set[str]:
    """Who asks Temporal for decisions to make, as ``pid@host``."""
    text = temporal.run("task-queue", "describe", "--task-queue", "middleware", "-o", "json")
    return {str(each["identity"]) for each in json.loads(text)["pollers"]}


def scale_workers(kube: Kube, count: int) -> None:
    kube.run("scale", "deployment/middleware-worker", "-n", SYSTEM, f"--replicas={count}")
    selector = "app.kubernetes.io/component=worker"
    eventually(f"{count} workers", lambda: len(kube.find("pod", SYSTEM, selector)) == count, timeout=90)


@pytest.fixture(scope="module", autouse=True)
def two_of_each(kube: Kube, temporal: Temporal, instance: Instance) -> Iterator[None]:
    kube.namespace(NAMESPACE)
    scale_workers(kube, 2)
    hosts = {p["metadata"]["name"] for p in kube.find("pod", SYSTEM, "app.kubernetes.io/component=worker")}
    eventually("both workers take work", lambda: hosts <= {p.partition("@")[2] for p in pollers(temporal)}, timeout=60)
    eventually("two watchers run", lambda: len(platform.processes("watcher", instance.name)) == 2, timeout=60)
    yield
    for app in kube.find("app.middleware.io", NAMESPACE):
        kube.discard(app["metadata"]["name"], NAMESPACE)
    scale_workers(kube, 1)


def leader(kube: Kube) -> str:
    """The Pod of the watcher that acts."""
    lease = kube.get("lease", "middleware-watcher", SYSTEM)
    return str(lease["spec"]["holderIdentity"]) if lease else ""


def assert_deployed_once(kube: Kube, temporal: Temporal, app: Manifest) -> None:
    name, uid = app["metadata"]["name"], app["metadata"]["uid"]
    deployments = kube.find("deployment", NAMESPACE, f"middleware.io/app={name}")
    # Of a Deployment an annotation counts as well.
    written = [d["metadata"]["generation"] for d in deployments]
    assert written == [2] * 5, "each Deployment was made once, and its node's address noted on it once"
    assert len(kube.find("pod", NAMESPACE, f"middleware.io/app={name}")) == 5
    found = temporal.workflows(f'MiddlewareApp="{name}" AND MiddlewareNamespace="{NAMESPACE}"')
    own = [w for w in found if f"/{uid}/" in w["execution"]["workflowId"]]
    types = sorted(w["type"]["name"] for w in own)
    assert types == ["Component", "Component", "Deploy", "Group", "Group"]
    events = [e for e in kube.events(name, NAMESPACE) if e["involvedObject"]["uid"] == uid]
    for reason in ("DeployStarted", "DeployCompleted"):
        assert len([e for e in events if e["reason"] == reason]) == 1, reason


def test_a_worker_and_the_leading_watcher_die_at_work(kube: Kube, instance: Instance, temporal: Temporal) -> None:
    kube.apply(*(redis_app(name, NAMESPACE, "sentinel") for name in APPS))
    eventually("both Deploys are at work", lambda: all(kube.pods(NAMESPACE, name) for name in APPS), timeout=60)
    (watcher,) = platform.processes("watcher", instance.name, pod=leader(kube))
    os.kill(watcher, signal.SIGKILL)
    os.kill(platform.processes("worker", instance.name)[0], signal.SIGKILL)
    for name in APPS:
        app = RunningApp(kube, NAMESPACE, name)
        settled = app.settled()
        eventually(f"an Event says that the Deploy of {name} has ended", lambda app=app: app.events("DeployCompleted"))  # type: ignore[misc]
        assert_deployed_once(kube, temporal, settled)


def test_the_other_watcher_follows_roles_when_the_first_goes(kube: Kube) -> None:
    name, first = APPS[0], leader(kube)
    kube.run("delete", "pod", first, "-n", SYSTEM, "--wait=false")
    eventually("the other watcher leads", lambda: leader(kube) not in ("", first), timeout=30)
    old = kube.pods(NAMESPACE, name, role="master")[0]["metadata"]["name"]
    kube.run("delete", "pod", old, "-n", NAMESPACE, "--wait=false")

    def replaced() -> bool:
        return [p["metadata"]["name"] for p in kube.pods(NAMESPACE, name, role="master")] not in ([], [old])

    eventually("another Pod is master", replaced, timeout=60)
    kube.wait_ready(name, NAMESPACE)
