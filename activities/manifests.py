"""Which objects an App has, by the step that writes them. Pure.

Deploy, Repair and the search for drift all go by these lists, so that none of them knows an object that the others
forget.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from api.names import API_GROUP
from clients.resources import Manifest
from render.desired import DesiredApp, DesiredComponent, DesiredGroup, DesiredNode
from render.objects import (
    component_resource,
    component_service,
    group_resource,
    node_deployment,
    node_service,
    pod_disruption_budget,
    role_services,
)

TEMPLATE_HASH = f"{API_GROUP}/pod-template-hash"
"""On Deployments: of the Pod template as this platform rendered it."""
GROUP_HASH = f"{API_GROUP}/group-hash"
"""On Deployments: of the Group's record from which it was rendered."""


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def record_manifests(desired: DesiredApp, kept: frozenset[str] = frozenset()) -> list[Manifest]:
    """Component and Group resources. Of a ``kept`` component the first primary is left open until it was surveyed."""
    manifests: list[Manifest] = []
    for component in desired.components:
        manifest = component_resource(desired, component)
        if component.name in kept and component.recorded_bootstrap is None:
            del manifest["spec"]["bootstrapNode"]
        manifests.append(manifest)
        manifests += [group_resource(desired, component, group) for group in component.groups]
    return manifests


def service_manifests(desired: DesiredApp) -> list[Manifest]:
    manifests: list[Manifest] = []
    for component in desired.components:
        manifests.append(component_service(desired, component))
        manifests += role_services(desired, component)
        manifests += [node_service(desired, component, node) for node in component.nodes]
    return manifests


def budget_manifests(desired: DesiredApp, api_version: str) -> list[Manifest]:
    budgets = (pod_disruption_budget(desired, component, api_version) for component in desired.components)
    return [budget for budget in budgets if budget is not None]


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
