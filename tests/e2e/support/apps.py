"""The Apps that the end-to-end tests run."""

from __future__ import annotations

from typing import Any

SMALL = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}}
REDIS_PLUGIN = {"name": "redis", "version": "1.0.0"}
ZOOKEEPER_PLUGIN = {"name": "zookeeper", "version": "1.0.0"}


def group(
    name: str, replicas: int, storage: str | None = "256Mi", resources: dict[str, Any] | None = None
) -> dict[str, Any]:
    result: dict[str, Any] = {"name": name, "replicas": replicas, "resources": resources or SMALL}
    if storage:
        result["storage"] = {"size": storage}
    return result


def app(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "middleware.io/v1alpha1",
        "kind": "App",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def redis_app(
    name: str,
    namespace: str,
    topology: str,
    data_nodes: int = 2,
    *,
    deletion_policy: str = "Delete",
    version: str = "7.0",
    config: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A Redis of the given topology; ``sentinel`` gets three sentinels."""
    server = {"name": "redis-server", "config": config or {}, "groups": [group("data", data_nodes)]}
    components: list[dict[str, Any]] = [server]
    if topology == "sentinel":
        components.append({"name": "redis-sentinel", "groups": [group("watch", 3)]})
    return app(
        name,
        namespace,
        plugin=dict(REDIS_PLUGIN),
        runtimeVersion=version,
        topology=topology,
        components=components,
        deletionPolicy=deletion_policy,
    )


def zookeeper_app(name: str, namespace: str) -> dict[str, Any]:
    memory = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}}
    return app(
        name,
        namespace,
        plugin=dict(ZOOKEEPER_PLUGIN),
        components=[{"name": "zookeeper", "groups": [group("ensemble", 3, resources=memory)]}],
        deletionPolicy="Delete",
    )
