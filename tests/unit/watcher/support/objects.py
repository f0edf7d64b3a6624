"""Objects as the API server gives them, reduced to what the platform sets and the watcher reads."""

from __future__ import annotations

import itertools
from typing import Any

Manifest = dict[str, Any]

_versions = itertools.count(100)
NAMESPACE, APP, UID = "demo", "cache", "11111111-aaaa"


def metadata(name: str, labels: dict[str, str] | None = None, **more: Any) -> Manifest:
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": f"uid-{name}",
        "resourceVersion": str(next(_versions)),
        "labels": labels or {},
        **more,
    }


def app(**status: Any) -> Manifest:
    """``phase``, ``message`` and ``observedGeneration``: of its progress, as the activities write it. ``deployed``:
    left out, its first Deploy has completed where it is Running."""
    told = {key: status.pop(key) for key in ("phase", "message", "observedGeneration") if key in status}
    if told:
        status["progress"] = told
    if told.get("phase") == "Running":
        status.setdefault("deployed", {"specHash": "one"})
    return {
        "apiVersion": "middleware.io/v1alpha1",
        "kind": "App",
        "metadata": {**metadata(APP), "uid": UID, "generation": 1},
        "spec": {"plugin": {"name": "redis", "version": "1.0.0"}},
        "status": status,
    }


def component(name: str) -> Manifest:
    labels = {"middleware.io/app": APP, "middleware.io/component": name}
    return {
        "apiVersion": "middleware.io/v1alpha1",
        "kind": "Component",
        "metadata": metadata(f"{APP}-{name}", labels, generation=1),
        "spec": {"app": APP, "component": name, "groups": ["data"]},
    }


def group(component_name: str, replicas: int, name: str = "data") -> Manifest:
    labels = {"middleware.io/app": APP, "middleware.io/component": component_name, "middleware.io/group": name}
    return {
        "apiVersion": "middleware.io/v1alpha1",
        "kind": "Group",
        "metadata": metadata(f"{APP}-{component_name}-{name}", labels, generation=2),
        "spec": {"app": APP, "component": component_name, "group": name, "replicas": replicas},
    }


def pod(
    component_name: str,
    ordinal: int,
    *,
    ready: bool = True,
    role: str = "",
    group_name: str = "data",
    suffix: str = "a",
) -> Manifest:
    node = f"{APP}-{component_name}-{group_name}-{ordinal}"
    labels = {
        "middleware.io/app": APP,
        "middleware.io/component": component_name,
        "middleware.io/group": group_name,
        "middleware.io/node": node,
    }
    if role:
        labels["middleware.io/role"] = role
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(f"{node}-5458bc4877-{suffix}", labels, creationTimestamp="2025-01-01T00:00:00Z"),
        "spec": {"containers": [{"name": "middleware"}, {"name": "tools"}]},
        "status": {
            "phase": "Running",
            "podIP": f"198.18.0.{ordinal + 2}",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "True" if ready else "False"},
            ],
            "containerStatuses": [{"name": "middleware", "state": {"running": {}}}],
        },
    }


def service(
    name: str, component_name: str, port: int, *, role: str = "", node: str = "", address: str = "198.19.0.7"
) -> Manifest:
    labels = {"middleware.io/app": APP, "middleware.io/component": component_name}
    if role:
        labels["middleware.io/service-role"] = role
    if node:
        labels["middleware.io/node"] = node
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, labels),
        "spec": {"clusterIP": address, "ports": [{"name": "main", "port": port}, {"name": "bus", "port": 1}]},
    }
