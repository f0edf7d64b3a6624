"""The Deployment of one node, and its Pod: the same for every middleware, made from the Group's record alone.

Plugins do not template it, so that a plugin hot upgrade cannot change it and restart a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.app import Resources
from api.meta import parse_quantity
from api.names import (
    AGENT_PORTS,
    MANAGER_HEALTH_PORT,
    MANAGER_PORT,
    MIDDLEWARE_CONTAINER,
    TOOLS_CONTAINER,
    TOOLS_HEALTH_PORT,
    TOOLS_PORT,
    agent_tls_name,
    app_labels,
    credentials_name,
)
from render.desired.app import DesiredApp, DesiredComponent, DesiredGroup, DesiredNode
from render.manifests.labels import metadata, object_labels
from render.manifests.local_ports import local_port_range

_INSTALL_RESOURCES = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}
_TOOLS_RESOURCES = {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}}
"""Agent 2 with room for a tool that runs one of the engine's own programs."""


def node_deployment(
    desired: DesiredApp, component: DesiredComponent, group: DesiredGroup, node: DesiredNode
) -> dict[str, Any]:
    """The node's Deployment: one replica, replaced and never doubled (strategy Recreate)."""
    selector = app_labels(desired.name, component.name, group.name, node.name)
    labels = object_labels(desired, component.name, group.name, node.name, group.spec)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(desired, node.name, labels),
        "spec": {
            "replicas": 1,
            "paused": False,
            "revisionHistoryLimit": 1,
            "minReadySeconds": group.spec.rolling_update.min_ready_seconds,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec(desired, component, group, node)},
        },
    }


def node_pod(
    desired: DesiredApp, component: DesiredComponent, group: DesiredGroup, node: DesiredNode
) -> dict[str, Any]:
    """A Pod as the Deployment would make it, to ask whether it would be admitted. Its name is no node's, nor one that a
    Deployment gives."""
    labels = object_labels(desired, component.name, group.name, node.name, group.spec)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{node.name}.dry-run", "namespace": desired.namespace, "labels": labels},
        "spec": _pod_spec(desired, component, group, node),
    }


def _pod_spec(
    desired: DesiredApp, component: DesiredComponent, group: DesiredGroup, node: DesiredNode
) -> dict[str, Any]:
    spec = group.spec
    result: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.termination_grace_period_seconds,
        "securityContext": {
            "runAsUser": spec.user,
            "runAsGroup": spec.user,
            "runAsNonRoot": True,
            "fsGroup": spec.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": _local_port_range(group)}],
        },
        "initContainers": [] if group.spec.agent.mounted else [_install_container(group)],
        "containers": [_middleware_container(group), _tools_container(group)],
        "volumes": _volumes(desired, group, node),
        "affinity": {**_apart(desired, component), **(spec.affinity or {})},
        "topologySpreadConstraints": spec.topology_spread_constraints or [_evenly(desired, component)],
        # Also where it is empty: a label that somebody adds keeps the Pod from every machine.
        "nodeSelector": dict(spec.node_selector),
    }
    if spec.tolerations:
        result["tolerations"] = spec.tolerations
    return result


def _local_port_range(group: DesiredGroup) -> str:
    return local_port_range([*AGENT_PORTS, *(port.port for port in group.spec.ports)])


def _apart(desired: DesiredApp, component: DesiredComponent) -> dict[str, Any]:
    """Each on a machine of its own, in a zone of its own where machines are labelled with one. Preferred, not required:
    on a cluster with fewer machines than nodes the App still starts. The App's affinity goes first, kind by kind."""
    preferred = [
        {"weight": weight, "podAffinityTerm": {"labelSelector": _of_component(desired, component), "topologyKey": key}}
        for key, weight in (("kubernetes.io/hostname", 100), ("topology.kubernetes.io/zone", 50))
    ]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _evenly(desired: DesiredApp, component: DesiredComponent) -> dict[str, Any]:
    """Of more nodes than machines no machine gets two more than another. Not by zone too: a machine that has not
    the label of each constraint is left out of all of them."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": _of_component(desired, component),
    }


def _of_component(desired: DesiredApp, component: DesiredComponent) -> dict[str, Any]:
    return {"matchLabels": app_labels(desired.name, component.name)}


def _install_container(group: DesiredGroup) -> dict[str, Any]:
    """Copies the agent into the Pod, so that the engine's own image needs to hold nothing of ours."""
    return {
        "name": "install",
        "image": group.spec.agent.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/agent/bin/install", "/opt/agent"],
        "resources": _with_own(_INSTALL_RESOURCES, group),
        "securityContext": _container_security(),
        "volumeMounts": [{"name": "agent", "mountPath": "/opt/agent"}],
    }


def _middleware_container(group: DesiredGroup) -> dict[str, Any]:
    spec = group.spec
    ports = [{"name": p.name, "containerPort": p.port, "protocol": "TCP"} for p in spec.ports]
    ports.append({"name": "agent-manager", "containerPort": MANAGER_PORT, "protocol": "TCP"})
    return {
        "name": MIDDLEWARE_CONTAINER,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/agent/bin/agent", "manager"],
        "env": [*_pod_identity(), {"name": "MW_ENGINE_VERSION", "value": spec.runtime_version}],
        "ports": ports,
        "resources": spec.resources.model_dump(exclude_defaults=True),
        "securityContext": _container_security(),
        "livenessProbe": _liveness(MANAGER_HEALTH_PORT),
        "volumeMounts": _mounts("tmp-middleware", group),
    }


def _tools_container(group: DesiredGroup) -> dict[str, Any]:
    return {
        "name": TOOLS_CONTAINER,
        "image": group.spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/agent/bin/agent", "tools"],
        "env": _pod_identity(),
        "ports": [{"name": "agent-tools", "containerPort": TOOLS_PORT, "protocol": "TCP"}],
        "resources": _with_own(_TOOLS_RESOURCES, group),
        "securityContext": _container_security(),
        "livenessProbe": _liveness(TOOLS_HEALTH_PORT),
        "readinessProbe": _probe("/readyz", TOOLS_HEALTH_PORT, period=1, failures=2),
        "volumeMounts": _mounts("tmp-tools", group),
    }


def _with_own(default: Mapping[str, Mapping[str, str]], group: DesiredGroup) -> dict[str, dict[str, str]]:
    """The amounts of one of the agents' containers, the App's over ours. A request of ours never stands above a limit
    of the App's."""
    own = group.spec.agent_resources or Resources()
    limits = {**default["limits"], **own.limits}
    requests = {**default["requests"], **own.requests}
    for name in default["requests"].keys() - own.requests.keys():
        if name in own.limits:
            requests[name] = min(requests[name], own.limits[name], key=parse_quantity)
    for name in default["limits"].keys() - own.limits.keys():
        if name in own.requests:
            limits[name] = max(limits[name], own.requests[name], key=parse_quantity)
    return {"requests": requests, "limits": limits}


def _liveness(port: int) -> dict[str, Any]:
    """An agent that hangs for half a minute is started anew. The first question would come before it can answer, and
    the kubelet would write an Event of it for each container that starts. It has all its period for an answer: one that
    is slow, since somebody floods its port, does not hang, and its end would be its engine's."""
    return _probe("/livez", port, period=10, failures=3) | {"initialDelaySeconds": 10, "timeoutSeconds": 10}


def _probe(path: str, port: int, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _container_security() -> dict[str, Any]:
    return {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def _pod_identity() -> list[dict[str, Any]]:
    fields = {"POD_NAME": "metadata.name", "POD_UID": "metadata.uid", "POD_IP": "status.podIP"}
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]


def _mounts(tmp: str, group: DesiredGroup) -> list[dict[str, Any]]:
    agent: dict[str, Any] = {"name": "agent", "mountPath": "/agent", "readOnly": True}
    if group.spec.agent.mounted:
        agent["subPath"] = "agent"
    return [
        agent,
        {"name": "middleware", "mountPath": "/middleware"},
        {"name": "scripts", "mountPath": "/scripts"},
        {"name": tmp, "mountPath": "/tmp"},  # noqa: S108 - the container's own, in a volume
        {"name": "config", "mountPath": "/etc/middleware", "readOnly": True},
        {"name": "secrets", "mountPath": "/etc/middleware-secrets", "readOnly": True},
        {"name": "tls", "mountPath": "/etc/middleware-tls", "readOnly": True},
    ]


def _volumes(desired: DesiredApp, group: DesiredGroup, node: DesiredNode) -> list[dict[str, Any]]:
    """The credentials are optional because some plugins have none; where a file wants one that is missing, the agent
    does not start the engine."""
    bundle = group.spec.agent
    agent: dict[str, Any] = {"emptyDir": {}}
    if bundle.mounted:
        agent = {"image": {"reference": bundle.image, "pullPolicy": "IfNotPresent"}}
    data: dict[str, Any] = {"emptyDir": {}}
    if group.spec.storage is not None:
        data = {"persistentVolumeClaim": {"claimName": node.name}}
    return [
        {"name": "agent", **agent},
        {"name": "middleware", **data},
        {"name": "scripts", "emptyDir": {}},
        {"name": "tmp-middleware", "emptyDir": {}},
        {"name": "tmp-tools", "emptyDir": {}},
        {"name": "config", "configMap": {"name": node.name}},
        {
            "name": "secrets",
            "secret": {"secretName": credentials_name(desired.name), "optional": True, "defaultMode": 0o440},
        },
        {"name": "tls", "secret": {"secretName": agent_tls_name(desired.name), "defaultMode": 0o440}},
    ]
