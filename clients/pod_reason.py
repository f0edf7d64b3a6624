"""Why a Pod is not ready, as its status tells, in a sentence that names what a person could do about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clients.resources import Manifest

_HARMLESS = frozenset({"ContainerCreating", "PodInitializing"})
"""Waiting reasons that every start goes through."""


def condition_of(pod: Manifest, kind: str) -> Mapping[str, Any]:
    """The Pod's condition of that type; empty where it has none."""
    for each in (pod.get("status") or {}).get("conditions") or []:
        if each.get("type") == kind:
            found: Mapping[str, Any] = each
            return found
    return {}


def container_status(pod: Manifest, name: str) -> Mapping[str, Any]:
    """Of one container, as the machine reports it; empty where it has not."""
    for each in (pod.get("status") or {}).get("containerStatuses") or []:
        if each.get("name") == name:
            found: Mapping[str, Any] = each
            return found
    return {}


def why_not_ready(pod: Manifest) -> str:
    """Empty where nothing is wrong, or nothing is known to be."""
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"cannot be scheduled: {scheduled.get('message', scheduled.get('reason', ''))}"
    status = pod.get("status") or {}
    for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        reason = _container_reason(each, _memory_limit(pod, str(each.get("name"))))
        if reason:
            return reason
    return ""


def memory_limits(pod: Manifest) -> list[dict[str, Any]]:
    """Of ``spec.containers`` what is read here: for whoever keeps a Pod without its spec."""
    found = {str(each["name"]): each.get("resources") or {} for each in (pod.get("spec") or {}).get("containers") or []}
    limits = {name: (resources.get("limits") or {}).get("memory") for name, resources in found.items()}
    return [{"name": name, "resources": {"limits": {"memory": limit}}} for name, limit in limits.items() if limit]


def _memory_limit(pod: Manifest, container: str) -> str:
    found = (each for each in memory_limits(pod) if each["name"] == container)
    return next((str(each["resources"]["limits"]["memory"]) for each in found), "")


def _container_reason(status: Mapping[str, Any], memory_limit: str) -> str:
    name, state = status.get("name"), status.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        return f"the image {status.get('image')} cannot be pulled ({reason}): {message}"
    last = (status.get("lastState") or {}).get("terminated") or {}
    if reason == "CrashLoopBackOff":
        ended = f", last with exit code {last.get('exitCode')}{_kind_of_end(last, memory_limit)}" if last else ""
        tail = f": {str(last['message']).strip()}" if last.get("message") else ""
        return f"container {name} keeps ending ({status.get('restartCount', 0)} restarts{ended}){tail}"
    if reason and reason not in _HARMLESS:
        return f"container {name} cannot start ({reason}): {message}"
    return ""


def _kind_of_end(terminated: Mapping[str, Any], memory_limit: str) -> str:
    reason = terminated.get("reason") or ""
    if reason == "OOMKilled":
        return f": out of memory (limit {memory_limit})" if memory_limit else ": out of memory"
    return f" ({reason})" if reason not in ("", "Error", "Completed") else ""
