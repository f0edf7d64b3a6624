"""From objects and agents' words to the facts that an App's health is judged by. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from api.app import Phase
from api.meta import service_address
from api.names import LABEL_COMPONENT, LABEL_NODE, component_name, role_service_name
from clients.resources import Manifest
from watcher.cache import apps, pods
from watcher.roles.said import Said
from watcher.status import conditions
from watcher.status.facts import AppFacts, ComponentFacts, Differing, NodeFacts


@dataclass(frozen=True)
class Snapshot:
    """One App and its objects as the caches have them. By Pod name: ``messages``, what its agent says, or why there is
    no word of it; ``said``, the facts in what it says; ``claims``, the role that its engine claims. By component:
    ``writable``, roles in which a node takes writes, and ``exclusive``, roles that only one node may hold. By node:
    ``announced``, the address that its engine was told to announce, and ``differing``.
    ``going``: claims that are being deleted. ``notes``: sentences on primaries that are lost, and why they are not
    replaced."""

    app: Manifest
    components: Sequence[Manifest]
    groups: Sequence[Manifest]
    pods: Sequence[Manifest]
    services: Sequence[Manifest]
    messages: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, Said] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    writable: Mapping[str, frozenset[str]] = field(default_factory=dict)
    exclusive: Mapping[str, frozenset[str]] = field(default_factory=dict)
    announced: Mapping[str, str] = field(default_factory=dict)
    differing: Mapping[str, tuple[Differing, ...]] = field(default_factory=dict)
    going: frozenset[str] = frozenset()
    notes: Sequence[str] = ()


def component_facts(
    snapshot: Snapshot, name: str, expected: Sequence[str], nodes: Mapping[str, Manifest]
) -> ComponentFacts:
    """``expected``: the nodes that the component should have; ``nodes``: the Pod that counts of each."""
    app = str(snapshot.app["metadata"]["name"])
    writable = snapshot.writable.get(name, frozenset())
    # By the plugin's roles, not by the Services that there are: one that somebody has deleted is what is to be told.
    wanted = [component_name(app, name), *(role_service_name(app, name, role) for role in sorted(writable))]
    present = {str(service["metadata"]["name"]) for service in snapshot.services}
    exclusive = snapshot.exclusive.get(name, writable)
    claims, unproven = _claims(snapshot, name, exclusive, nodes)
    return ComponentFacts(
        name,
        tuple(_node(snapshot, node, nodes.get(node), claims.get(node, "")) for node in expected),
        writable,
        exclusive & writable,
        {node: role for node, role in claims.items() if node not in expected},
        unproven,
        tuple(service for service in wanted if service not in present),
    )


def _claims(
    snapshot: Snapshot, component: str, exclusive: frozenset[str], nodes: Mapping[str, Manifest]
) -> tuple[dict[str, str], frozenset[str]]:
    """By node, the role that its engine claims. Then the nodes whose claim to an exclusive role is not counted, as
    nothing shows that they hold it still: a claim outlives the words of the agent that made it."""
    replaced = apps.fenced(snapshot.app)
    claims: dict[str, str] = {}
    unproven: set[str] = set()
    for pod in snapshot.pods:
        role = snapshot.claims.get(str(pod["metadata"]["name"]), "")
        node = pods.label(pod, LABEL_NODE)
        if not role or not pods.exists(pod) or pods.label(pod, LABEL_COMPONENT) != component:
            continue
        if role in exclusive and (node in replaced or _outlived(snapshot, pod, role, nodes.get(node, pod))):
            unproven.add(node)
        elif claims.get(node) not in exclusive:  # of a node that has two Pods for a moment, the claim that matters
            claims[node] = role
    return claims, frozenset(unproven)


def _outlived(snapshot: Snapshot, pod: Manifest, role: str, counts: Manifest) -> bool:
    """Whether the claim is that of a silent Pod to which no client is sent for it, or whose successor is heard.
    ``counts``: the node's Pod that counts."""
    own, newest = (snapshot.said.get(str(each["metadata"]["name"])) for each in (pod, counts))
    if own is None or not own.silence:
        return False
    return pods.role_of(pod) != role or (newest is not None and not newest.silence)


def _node(snapshot: Snapshot, name: str, pod: Manifest | None, claims: str) -> NodeFacts:
    service = next((s for s in snapshot.services if s["metadata"]["name"] == name), None)
    address = service_address(service)
    announced, differing = snapshot.announced.get(name, ""), snapshot.differing.get(name, ())
    known = NodeFacts(
        name,
        claims=claims,
        address=address,
        announced=announced,
        differing=differing,
        volume_going=name in snapshot.going,
    )
    if pod is None:
        return known
    return replace(
        known,
        ready=pods.is_ready(pod),
        role=pods.role_of(pod) or "",
        heard=snapshot.said.get(str(pod["metadata"]["name"])),
    )


def app_facts(snapshot: Snapshot, components: tuple[ComponentFacts, ...]) -> AppFacts:
    app = snapshot.app
    status = app.get("status") or {}
    progress = status.get("progress") or {}
    phase = Phase(progress.get("phase", Phase.PENDING))
    accepted = conditions.find(app, "Accepted")
    operation = apps.operation(app)
    return AppFacts(
        generation=int(app["metadata"].get("generation") or 0),
        seen=int(progress.get("observedGeneration") or 0),
        phase=phase,
        told=str(progress.get("message") or ""),
        began=bool((status.get("deployed") or {}).get("specHash")),
        deleting=bool(app["metadata"].get("deletionTimestamp")),
        refusal=str(accepted.get("message") or "it is refused") if accepted.get("status") == "False" else "",
        operating=operation is not None,
        working=(status.get("operation") or {}).get("state") == "Running",
        components=components,
        replaced=tuple(sorted(apps.fenced(app))) if operation is None else (),
        notes=tuple(snapshot.notes),
    )
