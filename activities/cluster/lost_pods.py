"""Pods of a node that its Deployment has let go of, since somebody took or changed their labels.

Such a Pod runs on with the node's volume. The Deployment makes another one, which waits for the data directory for
ever, and no client reaches the first one. So a node has one Pod, and the one without labels goes.
"""

from __future__ import annotations

from collections.abc import Collection

from activities.cluster.events import tell
from activities.dependencies import Platform
from api.names import MIDDLEWARE_CONTAINER, TOOLS_CONTAINER
from api.steps import Target
from clients.resources import POD, Manifest

_CONTAINERS = frozenset({MIDDLEWARE_CONTAINER, TOOLS_CONTAINER})


async def lost_pods(platform: Platform, namespace: str, nodes: Collection[str]) -> dict[str, Manifest]:
    """By name of the node. One list of the namespace, as no selector finds what has lost its labels."""
    found, _ = await platform.kubernetes.list(POD, namespace)
    return {node: pod for pod in found for node in _lost_by(pod) & set(nodes)}


async def remove_lost_pods(platform: Platform, target: Target, nodes: Collection[str]) -> int:
    """How many there were. Each is stopped in order, as any Pod that is deleted."""
    lost = await lost_pods(platform, target.namespace, nodes)
    for node, pod in sorted(lost.items()):
        name, uid = str(pod["metadata"]["name"]), str(pod["metadata"]["uid"])
        await platform.kubernetes.delete(POD, name, target.namespace, uid=uid)
        said = f"Pod {name} had lost its labels, so {node} had another one, which waited for its data"
        await tell(platform, target, "LostPodRemoved", said, warning=True)
    return len(lost)


def _lost_by(pod: Manifest) -> set[str]:
    """Of which nodes it may be a Pod that nobody owns. By what it is made of: the containers of a node, and the node's
    own ConfigMap."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    ended = (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")
    if metadata.get("ownerReferences") or metadata.get("deletionTimestamp") or ended:
        return set()
    if not {str(each.get("name")) for each in spec.get("containers") or []} >= _CONTAINERS:
        return set()
    return {str((each.get("configMap") or {}).get("name") or "") for each in spec.get("volumes") or []}
