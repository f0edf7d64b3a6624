"""An App's nodes and the Pods they have now, for commands that speak to one node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from api.names import LABEL_COMPONENT, LABEL_NODE, MIDDLEWARE_CONTAINER, app_labels
from cli.session import CommandError
from cli.status import Loaded, load_one
from clients.kubernetes import Kubernetes
from clients.pod_reason import condition_of, container_status, why_not_ready
from clients.resources import DEPLOYMENT, GROUP, POD, Manifest
from render.desired.recorded_state import group_status


@dataclass(frozen=True)
class Node:
    name: str
    component: str
    pod: str
    ready: bool
    runs: bool = True
    """Whether its engine's container does."""
    reason: str = ""
    """Why it is not ready, where anything is known to be wrong."""


def current_pods(pods: Iterable[Manifest]) -> dict[str, Manifest]:
    """Node -> its Pod: one that stays rather than one that goes, the newer rather than the older."""

    def order(pod: Manifest) -> tuple[bool, str]:
        return not pod["metadata"].get("deletionTimestamp"), str(pod["metadata"].get("creationTimestamp", ""))

    found: dict[str, Manifest] = {}
    for pod in sorted(pods, key=order):
        node = pod["metadata"].get("labels", {}).get(LABEL_NODE)
        if node:
            found[str(node)] = pod
    return found


def nodes_of(pods: Mapping[str, Manifest]) -> list[Node]:
    return [
        Node(
            name,
            str(pod["metadata"]["labels"].get(LABEL_COMPONENT, "")),
            str(pod["metadata"]["name"]),
            ready=condition_of(pod, "Ready").get("status") == "True",
            runs="running" in (container_status(pod, MIDDLEWARE_CONTAINER).get("state") or {}),
            reason=why_not_ready(pod),
        )
        for name, pod in sorted(pods.items())
    ]


async def app_nodes(kubernetes: Kubernetes, namespace: str, app: str) -> tuple[Loaded, list[Node]]:
    """Raises CommandError where there is no such App, or none of its nodes has a Pod."""
    loaded = await load_one(kubernetes, namespace, app)
    pods, _ = await kubernetes.list(POD, namespace, labels=app_labels(app))
    nodes = nodes_of(current_pods(pods))
    if not nodes:
        raise CommandError(f"no node of {namespace}/{app} has a Pod; see: mw status {app} -n {namespace}")
    return loaded, nodes


def named(nodes: Sequence[Node], app: str, name: str) -> Node:
    """By the full name, or the part behind the App's. Raises CommandError with the names there are."""
    for node in nodes:
        if node.name in (name, f"{app}-{name}"):
            return node
    raise CommandError(f"no node {name} has a Pod; there are {', '.join(node.name for node in nodes)}")


async def full_name(kubernetes: Kubernetes, namespace: str, app: str, name: str) -> str:
    """The same for a node that may have no Pod now, such as a lost primary: by the Deployments and the Groups' members.
    Raises CommandError with the names there are."""
    deployments, _ = await kubernetes.list(DEPLOYMENT, namespace, labels=app_labels(app))
    groups, _ = await kubernetes.list(GROUP, namespace, labels=app_labels(app))
    names = {str(each["metadata"]["name"]) for each in deployments}
    names |= {member.name for group in groups for member in group_status(group).members}
    found = next((each for each in (name, f"{app}-{name}") if each in names), "")
    if not found:
        raise CommandError(f"{namespace}/{app} has no node {name}; it has {', '.join(sorted(names)) or 'none yet'}")
    return found


def primary_of(loaded: Loaded, component: str = "") -> str:
    """The primary of the component, or of the only one that has one; empty where there is none now."""
    return next(
        (
            str(primary)
            for each in loaded.components
            if component in ("", each["spec"]["component"]) and (primary := (each.get("status") or {}).get("primary"))
        ),
        "",
    )
