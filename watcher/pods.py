"""What the watcher reads of a Pod: to whom it belongs, whether it serves, and why it does not. Pure."""

from __future__ import annotations

from typing import Any

from api.names import LABEL_APP, LABEL_COMPONENT, LABEL_NODE, LABEL_ROLE
from clients.machines import machine_of
from clients.resources import Manifest

_KEPT_STATUS = ("phase", "podIP", "conditions", "containerStatuses", "initContainerStatuses")


def trim(pod: Manifest) -> None:
    """Keeps what the functions below read, and the machine; idempotent."""
    pod["spec"] = {"nodeName": machine_of(pod)}
    pod["metadata"].pop("annotations", None)
    status = pod.get("status") or {}
    pod["status"] = {key: status[key] for key in _KEPT_STATUS if key in status}


def label(pod: Manifest, key: str) -> str:
    return str((pod["metadata"].get("labels") or {}).get(key) or "")


def component_of(pod: Manifest) -> tuple[str, str, str] | None:
    """Namespace, App and component; None for a Pod that is no node of ours."""
    app, component = label(pod, LABEL_APP), label(pod, LABEL_COMPONENT)
    if not app or not component or not label(pod, LABEL_NODE):
        return None
    return str(pod["metadata"]["namespace"]), app, component


def role_of(pod: Manifest) -> str | None:
    return label(pod, LABEL_ROLE) or None


def exists(pod: Manifest) -> bool:
    """False for an evicted or failed Pod too: its containers are gone though the object stays."""
    return (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")


def is_terminating(pod: Manifest) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def address(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("podIP") or "")


def is_ready(pod: Manifest) -> bool:
    """Takes part in Services: ready, and not on its way out."""
    return not is_terminating(pod) and exists(pod) and _condition(pod, "Ready").get("status") == "True"


def newest(pods: list[Manifest]) -> Manifest | None:
    """Of a node's Pods the one that counts: the successor, where one still terminates."""
    ranked = sorted(pods, key=lambda p: (exists(p) and not is_terminating(p), _created(p)))
    return ranked[-1] if ranked else None


def trouble(pod: Manifest) -> str:
    """Why the Pod does not serve, in Kubernetes' own words; empty where nothing special is known."""
    if is_ready(pod):
        return ""
    status = pod.get("status") or {}
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"cannot be scheduled: {scheduled.get('message', '')}".strip()
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            message = f": {waiting['message']}" if waiting.get("message") else ""
            return f"container {container.get('name')}: {waiting['reason']}{message}"
    if is_terminating(pod):
        return "is being stopped"
    if not exists(pod):
        return f"the Pod has ended ({status.get('phase')})"
    return ""


def _condition(pod: Manifest, kind: str) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = (pod.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})


def _created(pod: Manifest) -> str:
    return str(pod["metadata"].get("creationTimestamp") or "")
