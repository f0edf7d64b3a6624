"""Labels and owner of the objects of an App, in one place so that no two kinds of object differ."""

from __future__ import annotations

from typing import Any

from api.names import API_VERSION, LABEL_MANAGED_BY, LABEL_PLUGIN, MANAGED_BY, app_labels
from render.desired.app import DesiredApp


def object_labels(
    desired: DesiredApp,
    component: str | None = None,
    group: str | None = None,
    node: str | None = None,
    runtime_version: str | None = None,
) -> dict[str, str]:
    """Ours and the recommended ones. The plugin's version is not among them: a hot upgrade must not change a Pod.

    Nor is ``app.kubernetes.io/instance``: Argo CD tracks by it what it has applied, and prunes what carries it and does
    not stand in Git. Volume claims and passwords have no owner that would tell it otherwise.
    """
    labels = {
        **app_labels(desired.name, component, group, node),
        LABEL_PLUGIN: desired.bundle.name,
        "app.kubernetes.io/name": desired.bundle.name,
        LABEL_MANAGED_BY: MANAGED_BY,
        "app.kubernetes.io/version": runtime_version or desired.runtime_version,
    }
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
