"""Which objects an App has, by the step that writes them: the lists of ``render``, and the nodes' Deployments. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from api.names import API_GROUP
from clients.resources import Manifest
from render.desired import DesiredApp, DesiredComponent, DesiredGroup, DesiredNode
from render.manifests import budget_manifests, record_manifests, service_manifests
from render.objects import node_deployment

__all__ = [
    "GROUP_HASH",
    "TEMPLATE_HASH",
    "budget_manifests",
    "deployment_manifest",
    "digest",
    "keeps_template",
    "record_manifests",
    "service_manifests",
]

TEMPLATE_HASH = f"{API_GROUP}/pod-template-hash"
"""On Deployments: of the Pod template as this platform rendered it."""
GROUP_HASH = f"{API_GROUP}/group-hash"
"""On Deployments: of the Group's record from which it was rendered."""


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
            GROUP_HASH: digest(group.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)),
        }
    )
    return manifest


def keeps_template(wanted: Manifest, live: Mapping[str, Any]) -> bool:
    """Whether the live Deployment is of the same record, rendered by another version of the platform.

    Applying it would restart the engine only because the platform was upgraded. Its Pod gets the new template at
    its next planned restart.
    """
    own = wanted["metadata"]["annotations"]
    other = live["metadata"].get("annotations") or {}
    return bool(other.get(GROUP_HASH) == own[GROUP_HASH] and other.get(TEMPLATE_HASH) not in (None, own[TEMPLATE_HASH]))
