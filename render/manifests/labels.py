"""Labels and owner of the objects of an App, in one place so that no two kinds of object differ."""

from __future__ import annotations

from typing import Any

from api.group import GroupSpec
from api.names import (
    API_VERSION,
    LABEL_ENGINE_VERSION,
    LABEL_MANAGED_BY,
    LABEL_PLUGIN,
    LABEL_RUNTIME_VERSION,
    MANAGED_BY,
    app_labels,
)
from render.desired.app import DesiredApp


def object_labels(
    desired: DesiredApp,
    component: str | None = None,
    group: str | None = None,
    node: str | None = None,
    spec: GroupSpec | None = None,
) -> dict[str, str]:
    """Ours and the recommended ones. ``spec``: of a Pod, or of what makes it. The plugin's version is not among them: a
    hot upgrade must not change a Pod.

    Nor is ``app.kubernetes.io/instance``: Argo CD tracks by it what it has applied, and prunes what carries it and does
    not stand in Git. Volume claims and passwords have no owner that would tell it otherwise.
    """
    labels = {
        **app_labels(desired.name, component, group, node),
        LABEL_PLUGIN: desired.bundle.name,
        "app.kubernetes.io/name": desired.bundle.name,
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_ENGINE_VERSION: desired.runtime_version,
    }
    if spec is not None:
        labels |= {LABEL_RUNTIME_VERSION: spec.runtime_version, LABEL_ENGINE_VERSION: spec.engine_version}
    elif component is not None:
        labels[LABEL_ENGINE_VERSION] = desired.bundle.engine_version(component, desired.runtime_version)
    if component is not None:
        labels["app.kubernetes.io/component"] = component
    return labels


def owner_references(app: str, uid: str) -> list[dict[str, Any]]:
    """The App owns the object, so that it goes with the App; it does not block the App's deletion."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "App",
            "name": app,
            "uid": uid,
            "controller": False,
            "blockOwnerDeletion": False,
        }
    ]


def metadata(
    desired: DesiredApp,
    name: str,
    labels: dict[str, str],
    *,
    owned: bool = True,
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """``metadata`` of an object of the App."""
    result: dict[str, Any] = {"name": name, "namespace": desired.namespace, "labels": labels}
    if annotations:
        result["annotations"] = annotations
    if owned:
        result["ownerReferences"] = owner_references(desired.name, desired.uid)
    return result
