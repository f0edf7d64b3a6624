"""Whether a node is ready, and if not, why, in a sentence that names what a person could do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api.names import LABEL_NODE
from clients.pod_reason import condition_of, why_not_ready
from clients.resources import Manifest


@dataclass(frozen=True)
class NodeState:
    """``reason``: why it is not ready; empty while nothing is wrong and it just takes its time. ``available``: it has
    been ready for ``minReadySeconds``; Kubernetes says so a moment after ``ready``, also where they are 0.
    ``keeps_ending``: its engine does, as its agents say. ``unreadable``: see ``EngineState``."""

    node: str
    ready: bool
    reason: str = ""
    pod: Manifest | None = None
    available: bool = False
    keeps_ending: bool = False
    unreadable: str = ""

    @property
    def uid(self) -> str:
        """The Pod's, empty where there is none."""
        return str((self.pod or {"metadata": {}})["metadata"].get("uid", ""))

    @property
    def address(self) -> str:
        """The Pod's IP, empty before it has one."""
        return str(((self.pod or {}).get("status") or {}).get("podIP") or "")

    @property
    def running(self) -> bool:
        """All containers run, so the agents can be asked."""
        statuses = ((self.pod or {}).get("status") or {}).get("containerStatuses") or []
        return bool(statuses) and all("running" in (each.get("state") or {}) for each in statuses)


def node_state(node: str, deployment: Mapping[str, Any] | None, pods: Iterable[Manifest]) -> NodeState:
    """``deployment``: the node's, None where the cache has none (yet). ``pods``: of the App, any nodes'."""
    if deployment is None:
        return NodeState(node, False)
    metadata, status = deployment["metadata"], deployment.get("status") or {}
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        return NodeState(node, False)
    found = living(node, pods)
    if not found:
        return NodeState(node, False, _no_pod(status))
    pod = max(found, key=lambda each: str(each["metadata"].get("creationTimestamp", "")))
    # updatedReplicas: the Pod is of the present template, not of the one before.
    ready = condition_of(pod, "Ready").get("status") == "True" and status.get("updatedReplicas", 0) >= 1
    available = ready and status.get("availableReplicas", 0) >= 1
    return NodeState(node, ready, "" if ready else why_not_ready(pod), pod, available)


def living(node: str, pods: Iterable[Manifest]) -> list[Manifest]:
    """Its Pods that run or are to run, whatever its Deployment says meanwhile."""
    return [
        pod
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get(LABEL_NODE) == node
        and not pod["metadata"].get("deletionTimestamp")
        and (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")
    ]


def _no_pod(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return f"no Pod can be made: {condition.get('message', '')}"
    return ""


def summary(states: Iterable[NodeState]) -> str:
    """One sentence over all nodes that have a reason: the first in full, the others by name."""
    told = [state for state in states if state.reason]
    if not told:
        return ""
    same = [state.node for state in told[1:] if state.reason == told[0].reason]
    other = [state.node for state in told[1:] if state.reason != told[0].reason]
    names = ", ".join([told[0].node, *same])
    rest = f" (also waiting: {', '.join(other)})" if other else ""
    return f"{names}: {told[0].reason}{rest}"
