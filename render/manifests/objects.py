"""Manifests of everything but Pods and rendered files: our resources, Services, volume claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.component import ComponentSpec
from api.meta import Model
from api.names import (
    ANNOTATION_APP_UID,
    API_VERSION,
    LABEL_APP,
    LABEL_COMPONENT,
    LABEL_GROUP,
    LABEL_MANAGED_BY,
    LABEL_PLUGIN_VERSION,
    LABEL_ROLE,
    LABEL_SERVICE_ROLE,
    app_labels,
    metadata_name,
)
from api.plugin import Port
from render.desired.app import DesiredApp, DesiredComponent, DesiredGroup, DesiredNode
from render.desired.revisions import revision_data, revision_name
from render.manifests.labels import metadata, object_labels
from render.manifests.pod import node_deployment

__all__ = [
    "component_resource",
    "component_service",
    "group_resource",
    "metadata_config_map",
    "node_deployment",
    "node_service",
    "node_volume_claim",
    "revision",
    "role_services",
]

_REVISION_LABELS = (LABEL_APP, LABEL_COMPONENT, LABEL_GROUP, LABEL_MANAGED_BY)


def component_resource(
    desired: DesiredApp, component: DesiredComponent, bootstrap: str | None = None
) -> dict[str, Any]:
    """The Component resource. ``bootstrap``: the chosen node where it is not the recorded or first one. Its label says
    which plugin version it is of, should the App's status be lost."""
    labels = {**object_labels(desired, component.name), LABEL_PLUGIN_VERSION: desired.bundle.version}
    spec = ComponentSpec(
        app=desired.name,
        component=component.name,
        topology=desired.topology,
        config=dict(component.config),
        groups=[group.name for group in component.groups],
        bootstrap_node=bootstrap or component.bootstrap_node,
    )
    return {
        "apiVersion": API_VERSION,
        "kind": "Component",
        "metadata": metadata(desired, component.resource_name, labels),
        "spec": _spec(spec),
    }


def group_resource(desired: DesiredApp, component: DesiredComponent, group: DesiredGroup) -> dict[str, Any]:
    """The Group resource. What counts is its revision, of the same spec."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Group",
        "metadata": metadata(desired, group.resource_name, object_labels(desired, component.name, group.name)),
        "spec": _spec(group.spec),
    }


def revision(owner: Mapping[str, Any], spec: Model, number: int) -> dict[str, Any]:
    """An immutable copy of what ``owner``, a Component or Group as it is live, is recorded with. The App owns it too:
    it outlives a Group that somebody removes, which is then made again as it was."""
    live = owner["metadata"]
    owns = {"apiVersion": API_VERSION, "kind": owner["kind"], "name": live["name"], "uid": live["uid"]}
    own_labels = {key: value for key, value in (live.get("labels") or {}).items() if key in _REVISION_LABELS}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision_name(live["name"], spec),
            "namespace": live["namespace"],
            "labels": own_labels,
            "ownerReferences": [
                *(each for each in live.get("ownerReferences") or [] if each.get("kind") == "App"),
                {**owns, "controller": True, "blockOwnerDeletion": False},
            ],
        },
        "data": revision_data(spec),
        "revision": number,
    }


def _spec(model: Model) -> dict[str, Any]:
    """As it is applied. An empty map is left out: server-side apply takes one that had keys before for null, which the
    schema refuses (a node selector could not be removed)."""
    dumped: dict[str, Any] = model.model_dump(by_alias=True, mode="json", exclude_none=True)
    return _without_empty_maps(dumped)


def _without_empty_maps(value: dict[str, Any]) -> dict[str, Any]:
    filled = {key: _without_empty_maps(each) if isinstance(each, dict) else each for key, each in value.items()}
    return {key: each for key, each in filled.items() if each != {}}


def node_service(desired: DesiredApp, component: DesiredComponent, node: DesiredNode) -> dict[str, Any]:
    """The node's stable address. Not-ready nodes are published: peers must reach a node before it can become ready."""
    ports = component.group(node.group).spec.ports
    labels = object_labels(desired, component.name, node.group, node.name)
    selector = app_labels(desired.name, component.name, node.group, node.name)
    spec = {**_service_spec(selector, ports), "publishNotReadyAddresses": True}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(desired, node.name, labels), "spec": spec}


def component_service(desired: DesiredApp, component: DesiredComponent) -> dict[str, Any]:
    """All ready nodes of the component."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(desired, component.resource_name, object_labels(desired, component.name)),
        "spec": _service_spec(app_labels(desired.name, component.name), component.groups[0].spec.ports),
    }


def role_services(desired: DesiredApp, component: DesiredComponent) -> list[dict[str, Any]]:
    """For each writable role the Service of the nodes that hold it, by the label that the watcher puts on Pods."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(desired, name, {**object_labels(desired, component.name), LABEL_SERVICE_ROLE: role}),
            "spec": _service_spec(
                {**app_labels(desired.name, component.name), LABEL_ROLE: role}, component.groups[0].spec.ports
            ),
        }
        for role, name in component.role_services.items()
    ]


def _service_spec(selector: dict[str, str], ports: list[Port]) -> dict[str, Any]:
    return {
        "type": "ClusterIP",
        "selector": selector,
        "ports": [{"name": p.name, "port": p.port, "targetPort": p.port, "protocol": "TCP"} for p in ports],
    }


def node_volume_claim(
    desired: DesiredApp, component: DesiredComponent, group: DesiredGroup, node: DesiredNode
) -> dict[str, Any] | None:
    """The node's volume claim, or None where the group has no storage. Without owner: the deletion policy decides on
    it.

    Its annotation names the App that uses it: apply it only after having looked at the uid that an existing claim
    carries.
    """
    storage = group.spec.storage
    if storage is None:
        return None
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.storage_class_name is not None:
        spec["storageClassName"] = storage.storage_class_name
    labels = object_labels(desired, component.name, group.name, node.name)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(desired, node.name, labels, owned=False, annotations={ANNOTATION_APP_UID: desired.uid}),
        "spec": spec,
    }


def metadata_config_map(desired: DesiredApp) -> dict[str, Any]:
    """The App's metadata ConfigMap without its parts: each part is written by its own activity."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(desired, metadata_name(desired.name), object_labels(desired)),
    }
