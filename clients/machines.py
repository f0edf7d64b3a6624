"""Whether a machine (Kubernetes' own Node) is about to be emptied, as its object tells. Pure.

``kubectl drain`` cordons it first. Autoscalers that empty a machine say so by a taint of their own.
"""

from __future__ import annotations

from clients.resources import Manifest

_EMPTYING_TAINTS = frozenset(
    {
        "node.kubernetes.io/unschedulable",
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
    }
)


def machine_of(pod: Manifest) -> str:
    """Name of the machine that the Pod was given; empty before."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def takes_pods(machine: Manifest | None) -> bool:
    """False for a machine that is cordoned or being emptied, and for one that is gone."""
    if machine is None:
        return False
    spec = machine.get("spec") or {}
    taints = {str(taint.get("key")) for taint in spec.get("taints") or []}
    return not spec.get("unschedulable") and not taints & _EMPTYING_TAINTS
