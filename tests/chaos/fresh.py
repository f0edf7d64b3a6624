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
    """Until Kubernetes follows its Pods with Services: after an outage of the API server its controllers pause for up
    to half a minute, and a case that comes then would measure that."""
    name = f"{app.name}-probe"
    selector = {"middleware.io/app": app.name}
    spec = {"selector": selector, "clusterIP": "None", "ports": [{"port": 6379}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": app.namespace}}
    app.kube.apply({**service, "spec": spec})

    def followed() -> bool:
        slices = app.kube.find("endpointslice", app.namespace, f"kubernetes.io/service-name={name}")
        return any(each.get("endpoints") for each in slices)

    try:
        eventually("a new Service is followed", followed, timeout=120)
    finally:
        app.kube.delete("service", name, app.namespace)


def has_died(pod: Manifest) -> bool:
    return any(each["restartCount"] for each in pod["status"].get("containerStatuses", []))
