"""The nodes' Deployments, and when a Pod template must be left alone. Pure.

For the steps of operations, the search for drift, and ``mw render``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from api.group import GroupSpec
from api.meta import Manifest
from api.names import API_GROUP
from render.desired.app import DesiredApp, DesiredComponent, DesiredGroup, DesiredNode
from render.desired.spec_parts import pod_facts
from render.manifests.objects import node_deployment

TEMPLATE_HASH = f"{API_GROUP}/pod-template-hash"
"""On Deployments: of the Pod template as this platform rendered it."""
POD_HASH = f"{API_GROUP}/pod-hash"
"""On Deployments: of the facts of the Group's record of which the Pod was made
(``render.desired.spec_parts.pod_facts``)."""
VERSION_LABEL = "app.kubernetes.io/version"


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def deployment_manifest(
    desired: DesiredApp, component: DesiredComponent, group: DesiredGroup, node: DesiredNode
) -> Manifest:
    """The node's Deployment, with hashes that tell a changed record from a platform that renders differently."""
    manifest = node_deployment(desired, component, group, node)
    manifest["metadata"].setdefault("annotations", {}).update(
        {
            TEMPLATE_HASH: digest(manifest["spec"]["template"]),
            POD_HASH: digest(pod_facts(group.spec)),
        }
    )
    return manifest


def is_outdated(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether the live Deployment's Pod is of another record: an operation rolls it, one node after another."""
    return bool(_annotation(live, POD_HASH) != _annotation(wanted, POD_HASH))


def is_of(spec: GroupSpec, live: Mapping[str, Any]) -> bool:
    """Whether the live Deployment's Pod is made of this record."""
    return bool(_annotation(live, POD_HASH) == digest(pod_facts(spec)))


def keeps_template(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether the live Deployment's Pod template must be left alone by all but a rolling operation.

    It is of another record, or of the same record rendered by another version of the platform: applying it would
    restart the engine only because the platform was upgraded. Its Pod gets the new template at its next planned
    restart.
    """
    same = _annotation(live, TEMPLATE_HASH) in (None, _annotation(wanted, TEMPLATE_HASH))
    return is_outdated(wanted, live) or not same


def without_template(deployment: Manifest) -> Manifest:
    """What of a node's Deployment may be put right while its Pod template stays."""
    labels = {key: value for key, value in deployment["metadata"]["labels"].items() if key != VERSION_LABEL}
    metadata = {key: value for key, value in deployment["metadata"].items() if key != "annotations"}
    spec = {key: value for key, value in deployment["spec"].items() if key not in ("template", "selector")}
    return {**deployment, "metadata": {**metadata, "labels": labels}, "spec": spec}


def version_of(deployment: Mapping[str, Any] | None) -> str:
    """The runtime version of a node's Deployment; empty where there is none."""
    return str(((deployment or {}).get("metadata", {}).get("labels") or {}).get(VERSION_LABEL, ""))


def _annotation(deployment: Mapping[str, Any], name: str) -> Any:
    return (deployment["metadata"].get("annotations") or {}).get(name)
