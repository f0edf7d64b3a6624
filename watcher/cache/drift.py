"""Which changes of an App's objects somebody else made. Pure.

Only what the platform decides is compared (spec, data, labels, owner): controllers write status, revisions and bound
volumes into the same objects all day. Who made a change is told from ``managedFields``; both are reduced to a short
fingerprint before an object is kept, so that the watcher never holds an App's rendered files.

Secrets are not watched: list and watch would let the watcher read every Secret of the cluster, and a lost Secret hurts
only at the next restart of a Pod, long after the periodic resync has seen it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from api.names import (
    ANNOTATION_ADDRESS,
    ANNOTATION_EFFECTIVE,
    FIELD_MANAGER,
    LABEL_APP,
    STATUS_FIELD_MANAGER,
    metadata_name,
)
from clients.resources import Manifest
from clients.shared_watch import Change, WatchEvent

_OWN_MANAGERS = frozenset({FIELD_MANAGER, STATUS_FIELD_MANAGER})
_DECIDED_FIELDS: dict[str, tuple[tuple[str, ...], ...]] = {
    # A claim's volumeName is set by the binder; its class by admission.
    "PersistentVolumeClaim": (("spec", "resources"),),
    "ConfigMap": (("data",), ("binaryData",), ("immutable",)),
}
_DEFAULT_FIELDS: tuple[tuple[str, ...], ...] = (("spec",),)

_NOTES = {"Deployment": ANNOTATION_ADDRESS, "ConfigMap": ANNOTATION_EFFECTIVE}

FINGERPRINT = "fingerprint"
AUTHORS = "authors"
NOTE = "note"
"""Keys put beside ``metadata``: no Kubernetes object has such fields there."""


def trim(manifest: Manifest) -> None:
    """Replaces what an object holds by its fingerprint and authors; idempotent. ``spec`` of our own resources stays."""
    if FINGERPRINT in manifest:
        return
    metadata = manifest["metadata"]
    parts: list[Any] = [
        sorted((metadata.get("labels") or {}).items()),
        sorted(str(owner.get("uid")) for owner in metadata.get("ownerReferences") or []),
    ]
    kind = str(manifest.get("kind"))
    for path in _DECIDED_FIELDS.get(kind, _DEFAULT_FIELDS):
        value: Any = manifest
        for step in path:
            value = (value or {}).get(step)
        parts.append(value)
    manifest[FINGERPRINT] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    manifest[AUTHORS] = _authors(metadata.get("managedFields") or [])
    manifest[NOTE] = str((metadata.pop("annotations", None) or {}).get(_NOTES.get(kind, ""), ""))
    for field in ("data", "binaryData"):
        manifest.pop(field, None)
    if kind in ("Deployment", "PersistentVolumeClaim", "PodDisruptionBudget"):
        manifest.pop("spec", None)
        manifest.pop("status", None)


def note_of(manifest: Manifest) -> str:
    """What the activities have noted on the object, of what the App's status tells; empty where nothing is."""
    return str(manifest.get(NOTE) or "")


def describe(event: WatchEvent) -> str | None:
    """A phrase on what somebody else did to the object, or None where nobody did anything of interest."""
    name = f"{event.object.get('kind')} {event.object['metadata']['name']}"
    if event.change is Change.DELETED:
        return f"{name} was deleted, or lost its labels"
    if event.change is Change.ADDED or event.before is None:
        return None
    if event.before["metadata"].get("uid") != event.object["metadata"].get("uid"):
        return f"{name} was made anew"
    if event.before.get(FINGERPRINT) == event.object.get(FINGERPRINT):
        return None
    before, after = event.before.get(AUTHORS) or {}, event.object.get(AUTHORS) or {}
    changed = {key.split("|", 1)[0] for key, time in after.items() if before.get(key) != time}
    managers = changed or {key.split("|", 1)[0] for key in after}  # times have whole seconds: several in one show none
    if managers and managers <= _OWN_MANAGERS:
        return None
    foreign = sorted(changed - _OWN_MANAGERS)
    return f"{name} was changed by {', '.join(foreign) if foreign else 'somebody unknown'}"


def is_output(manifest: Manifest) -> bool:
    """Whether it is an App's metadata ConfigMap: the watcher writes it anew by itself, and nothing is planned for
    that."""
    key = app_of(manifest)
    is_config_map = manifest.get("kind") == "ConfigMap"
    return key is not None and is_config_map and manifest["metadata"]["name"] == metadata_name(key[1])


def app_of(manifest: Manifest) -> tuple[str, str] | None:
    """Namespace and name of the App whose label the object carries."""
    metadata = manifest["metadata"]
    app = (metadata.get("labels") or {}).get(LABEL_APP)
    return (str(metadata["namespace"]), str(app)) if app and metadata.get("namespace") else None


def belongs_to(manifest: Manifest, app: Manifest) -> bool:
    """False for what an earlier App of the same name left, or another App of a colliding name owns."""
    owners = [o for o in manifest["metadata"].get("ownerReferences") or [] if o.get("kind") == "App"]
    return not owners or any(o.get("uid") == app["metadata"].get("uid") for o in owners)


def _authors(managed: list[dict[str, Any]]) -> dict[str, str]:
    """``manager|operation`` -> when it last changed something but status."""
    return {
        f"{entry.get('manager')}|{entry.get('operation')}": str(entry.get("time"))
        for entry in managed
        if entry.get("subresource") != "status"
    }
