"""Why a node's volume is not there yet: its StorageClass by name, and what its provisioner says.

The scheduler says of a Pod that its claims are unbound, and of the claims nothing. The cause is in the claim's own
Events, written by whoever is to provision it; where there is none, nobody does.
"""

from __future__ import annotations

from collections.abc import Sequence

from activities.dependencies import Platform
from clients.pod_reason import condition_of
from clients.resources import EVENT, STORAGE_CLASS, VOLUME_CLAIM, Manifest
from render.check.growth import is_default

_SELECTED_MACHINE = "volume.kubernetes.io/selected-node"
_NOBODY = "kubernetes.io/no-provisioner"


def waits_for_a_machine(pod: Manifest | None) -> bool:
    """Whether the scheduler has said that it finds none for the Pod."""
    return pod is not None and condition_of(pod, "PodScheduled").get("status") == "False"


async def why_unbound(platform: Platform, namespace: str, node: str) -> str:
    """A sentence; empty where the node's claim is bound, has none, or waits for the Pod's machine itself."""
    claim = await platform.kubernetes.get(VOLUME_CLAIM, node, namespace)
    if claim is None or (claim.get("status") or {}).get("phase") != "Pending":
        return ""
    classes, _ = await platform.kubernetes.list(STORAGE_CLASS)
    about = f"involvedObject.kind=PersistentVolumeClaim,involvedObject.name={node}"
    events, _ = await platform.kubernetes.list(EVENT, namespace, fields=about)
    return reason(claim, classes, events)


def reason(claim: Manifest, classes: Sequence[Manifest], events: Sequence[Manifest]) -> str:
    """The same from the objects. Pure."""
    metadata, wanted = claim["metadata"], claim["spec"].get("storageClassName")
    found = next((each for each in classes if _is_wanted(each, wanted)), None)
    if found is None:
        named = f"there is no StorageClass {wanted}" if wanted else "the cluster has no default StorageClass"
        return f"its volume cannot be provisioned: {named}"
    name, provisioner = str(found["metadata"]["name"]), str(found.get("provisioner") or "")
    late = found.get("volumeBindingMode") == "WaitForFirstConsumer"
    if late and _SELECTED_MACHINE not in (metadata.get("annotations") or {}):
        return ""  # first a machine must be found, and the scheduler says why there is none
    own = [each for each in events if (each.get("involvedObject") or {}).get("uid") in (None, metadata.get("uid"))]
    latest = max(own, key=_time, default=None)
    if provisioner == _NOBODY:
        why = "nobody provisions its volumes, and none that was made by hand is free and fits"
    elif latest is not None:
        why = f"{latest.get('reason', '')}: {str(latest.get('message', '')).strip()}"
    else:
        why = f"its provisioner {provisioner} says nothing; does it run?"
    return f"its volume is not provisioned yet by StorageClass {name} ({provisioner}): {why}"


def _is_wanted(storage_class: Manifest, wanted: object) -> bool:
    return bool(storage_class["metadata"]["name"] == wanted) if wanted else is_default(storage_class)


def _time(event: Manifest) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")
