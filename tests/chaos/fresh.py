"""Pods as at their first start: the kubelet starts a container that has died before only after ever longer pauses, and
the next case would measure those."""

from __future__ import annotations

from api.names import SYSTEM_NAMESPACE
from clients.pod_reason import condition_of
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, Manifest, eventually


def fresh_pods(app: RunningApp) -> None:
    """Replaces the App's Pods whose containers have died."""
    for name in ("redis-server", "redis-sentinel"):
        for pod in app.pods(name).values():
            if has_died(pod):
                app.kube.run("delete", "pod", pod["metadata"]["name"], "-n", app.namespace, timeout=120)
                app.settled()


def fresh_platform(kube: Kube) -> None:
    """The same of watchers and workers."""
    died = [pod["metadata"]["name"] for pod in kube.find("pod", SYSTEM_NAMESPACE) if has_died(pod)]
    if not died:
        return
    kube.run("delete", "pod", *died, "-n", SYSTEM_NAMESPACE, timeout=120)

    def all_ready() -> bool:
        pods = kube.find("pod", SYSTEM_NAMESPACE)
        return bool(pods) and all(condition_of(pod, "Ready").get("status") == "True" for pod in pods)

    eventually("the platform's new Pods are ready", all_ready, timeout=120)


def controllers_at_work(app: RunningApp) -> None:
    """Until Kubernetes follows its Pods with Services, and Deployments with what belongs to them: after an outage of
    the API server its controllers pause for up to half a minute each, and a case that comes then would measure that."""
    name = f"{app.name}-probe"
    try:
        _services_are_followed(app, name)
        _deployments_are_followed(app, name)
    finally:
        app.kube.delete("service,deployment", name, app.namespace)


def _services_are_followed(app: RunningApp, name: str) -> None:
    selector = {"middleware.io/app": app.name}
    spec = {"selector": selector, "clusterIP": "None", "ports": [{"port": 6379}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": app.namespace}}
    app.kube.apply({**service, "spec": spec})

    def followed() -> bool:
        slices = app.kube.find("endpointslice", app.namespace, f"kubernetes.io/service-name={name}")
        return any(each.get("endpoints") for each in slices)

    eventually("a new Service is followed", followed, timeout=120)


def _deployments_are_followed(app: RunningApp, name: str) -> None:
    """Without a Pod: it is about the ReplicaSet, which is made, and collected as garbage."""
    labels = {"probe": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "none", "image": "none"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": app.namespace}}
    app.kube.apply({**deployment, "spec": spec})

    def owned() -> list[Manifest]:
        return app.kube.find("replicaset", app.namespace, f"probe={name}")

    eventually("a new Deployment has its ReplicaSet", owned, timeout=120)
    app.kube.delete("deployment", name, app.namespace, "--wait=false")
    eventually("what a deleted Deployment had is collected", lambda: not owned(), timeout=120)


def has_died(pod: Manifest) -> bool:
    return any(each["restartCount"] for each in pod["status"].get("containerStatuses", []))
