"""What the watcher reads of a Pod: to whom it belongs, whether it serves, and why it does not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.names import LABEL_APP, LABEL_COMPONENT, LABEL_NODE, LABEL_ROLE, MIDDLEWARE_CONTAINER
from clients.machines import machine_of
from clients.pod_reason import condition_of, container_status, memory_limits, why_not_ready
from clients.resources import Manifest

_KEPT_STATUS = ("phase", "podIP", "conditions", "containerStatuses", "initContainerStatuses")


def trim(pod: Manifest) -> None:
    """Keeps what the functions below read, and the machine; idempotent."""
    pod["spec"] = {"nodeName": machine_of(pod), "containers": memory_limits(pod)}
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


def runs(pod: Manifest) -> bool:
    """Whether the machine says that the engine's container runs."""
    return "running" in _engine_state(pod)


def has_ended(pod: Manifest) -> bool:
    """Whether the machine says that the engine's container has run, and runs no more for now."""
    status = _engine_status(pod)
    waits_again = "waiting" in _engine_state(pod) and int(status.get("restartCount") or 0) > 0
    return "terminated" in _engine_state(pod) or waits_again


def is_terminating(pod: Manifest) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def address(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("podIP") or "")


def is_ready(pod: Manifest) -> bool:
    """Takes part in Services: ready, and not on its way out."""
    return not is_terminating(pod) and exists(pod) and condition_of(pod, "Ready").get("status") == "True"


def newest(pods: list[Manifest]) -> Manifest | None:
    """Of a node's Pods the one that counts: the successor, where one still terminates."""
    ranked = sorted(pods, key=rank)
    return ranked[-1] if ranked else None


def rank(pod: Manifest) -> tuple[bool, str]:
    """Sorts the Pod of a node that counts last."""
    return exists(pod) and not is_terminating(pod), _created(pod)


def trouble(pod: Manifest) -> str:
    """Why the Pod does not serve; empty where nothing special is known."""
    if is_ready(pod):
        return ""
    if reason := why_not_ready(pod):
        return reason
    if is_terminating(pod):
        return "is being stopped"
    if not exists(pod):
        return f"the Pod has ended ({(pod.get('status') or {}).get('phase')})"
    return ""


def _engine_status(pod: Manifest) -> Mapping[str, Any]:
    return container_status(pod, MIDDLEWARE_CONTAINER)


def _engine_state(pod: Manifest) -> Mapping[str, Any]:
    state: Mapping[str, Any] = _engine_status(pod).get("state") or {}
    return state


def _created(pod: Manifest) -> str:
    return str(pod["metadata"].get("creationTimestamp") or "")
