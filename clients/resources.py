"""The kinds that the platform reads and writes, and the paths under which the API server serves them.

Names come from objects that tenants may write, and from whoever may start a workflow. One with a slash, or ``..``,
would lead a call of the platform, with the platform's rights, to another object. So a path is only made of what the API
server itself takes for a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from api.names import API_VERSION
from clients.errors import InvalidNameError

Manifest = dict[str, Any]
"""A Kubernetes object as a raw dictionary: turning watched objects into models is what costs."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""As the API server has it for every kind below (RFC 1123 subdomain), so it never refuses what exists."""
_LONGEST_NAME = 253


def _segment(kind: str, name: str) -> str:
    """The name as a part of a path. Raises InvalidNameError."""
    if len(name) > _LONGEST_NAME or _NAME.fullmatch(name) is None:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        raise InvalidNameError(f"addressing a {kind}", 0, "InvalidName", f"{shown!r} is no name of a {kind}")
    return quote(name, safe="")


@dataclass(frozen=True)
class Resource:
    """One kind and its path."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of one object, of all objects of a namespace, or (``namespace`` None) of the whole cluster. Raises
        InvalidNameError."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        parts = [root]
        if namespace is not None:
            parts += ["namespaces", _segment("Namespace", namespace)]
        parts.append(self.plural)
        if name is not None:
            parts.append(_segment(self.kind, name))
        if subresource is not None:
            parts.append(quote(subresource, safe=""))
        return "/".join(parts)


CONFIG_MAP = Resource("v1", "ConfigMap", "configmaps")
SECRET = Resource("v1", "Secret", "secrets")
SERVICE = Resource("v1", "Service", "services")
POD = Resource("v1", "Pod", "pods")
MACHINE = Resource("v1", "Node", "nodes")
"""What Kubernetes calls a Node; ours are an App's."""
EVENT = Resource("v1", "Event", "events")
STORAGE_CLASS = Resource("storage.k8s.io/v1", "StorageClass", "storageclasses")
NAMESPACE = Resource("v1", "Namespace", "namespaces")
VOLUME_CLAIM = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT = Resource("apps/v1", "Deployment", "deployments")
CONTROLLER_REVISION = Resource("apps/v1", "ControllerRevision", "controllerrevisions")
LEASE = Resource("coordination.k8s.io/v1", "Lease", "leases")
DISRUPTION_BUDGET = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
DISRUPTION_BUDGET_BETA = Resource("policy/v1beta1", "PodDisruptionBudget", "poddisruptionbudgets")
"""All that an API server before 1.21 serves; gone from 1.25 on."""
APP = Resource(API_VERSION, "App", "apps")
COMPONENT = Resource(API_VERSION, "Component", "components")
GROUP = Resource(API_VERSION, "Group", "groups")

_KNOWN: Mapping[tuple[str, str], Resource] = {
    (resource.api_version, resource.kind): resource
    for resource in (
        CONFIG_MAP,
        SECRET,
        SERVICE,
        POD,
        MACHINE,
        EVENT,
        NAMESPACE,
        VOLUME_CLAIM,
        DEPLOYMENT,
        CONTROLLER_REVISION,
        LEASE,
        DISRUPTION_BUDGET,
        DISRUPTION_BUDGET_BETA,
        APP,
        COMPONENT,
        GROUP,
    )
}


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """The kind of a manifest. Raises ValueError for a kind that this platform never writes."""
    key = (str(manifest.get("apiVersion")), str(manifest.get("kind")))
    if key not in _KNOWN:
        raise ValueError(f"{key[1]} in {key[0]} is not a kind that the platform writes; add it to clients/resources.py")
    return _KNOWN[key]
