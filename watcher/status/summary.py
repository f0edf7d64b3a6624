"""Sums up: Pods into Groups, Groups into Components, Components into the App. Pure: objects in, status out.

A status holds only the fields that the watcher owns (see ``api.app.AppStatus``); server-side apply leaves the
activities' fields alone. Phase, message and conditions are what ``watcher.status.health`` finds. They carry the
generation that the activities had looked at, so that ``kubectl wait --for=condition=Ready`` after an apply does not
take an old answer for the new spec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.app import EndpointServes
from api.group import node_ordinals
from api.names import (
    LABEL_APP,
    LABEL_COMPONENT,
    LABEL_GROUP,
    LABEL_NODE,
    LABEL_RUNTIME_VERSION,
    LABEL_SERVICE_ROLE,
    app_labels,
    node_name,
)
from clients.resources import Manifest
from watcher.cache import pods
from watcher.status import conditions
from watcher.status.facts import AppFacts, ComponentFacts, NodeFacts
from watcher.status.gather import Snapshot, app_facts, component_facts
from watcher.status.health import Health, counted, health, of_component


@dataclass(frozen=True)
class Statuses:
    """By resource name; ``app`` is the App's. ``health``: what it says, typed. ``facts``: what that follows from."""

    app: dict[str, Any]
    components: Mapping[str, dict[str, Any]]
    groups: Mapping[str, dict[str, Any]]
    health: Health
    facts: AppFacts


def summarize(snapshot: Snapshot, now: str) -> Statuses:
    """``now``: RFC 3339, for conditions that change."""
    nodes = _pods_by_node(snapshot.pods)
    names = {group["metadata"]["name"]: _names(group) for group in snapshot.groups}
    components: dict[str, ComponentFacts] = {}
    for component in snapshot.components:
        name = str(component["spec"]["component"])
        own = [g for g in snapshot.groups if g["spec"]["component"] == name]
        expected = [node for g in own for node in names[g["metadata"]["name"]]]
        components[name] = component_facts(snapshot, name, expected, nodes)
    facts = app_facts(snapshot, tuple(components.values()))
    verdict = health(facts)
    by_node = {node.name: node for component in components.values() for node in component.nodes}
    groups = {
        group["metadata"]["name"]: _group_status(group, names[group["metadata"]["name"]], by_node, nodes, snapshot, now)
        for group in snapshot.groups
    }
    statuses = {
        component["metadata"]["name"]: _component_status(component, components[component["spec"]["component"]], now)
        for component in snapshot.components
    }
    return Statuses(_app_status(snapshot, facts, verdict, now), statuses, groups, verdict, facts)


def _names(group: Manifest) -> list[str]:
    spec = group["spec"]
    ordinals = node_ordinals(int(spec["replicas"]), spec.get("reserveOrdinals") or [])
    return [node_name(spec["app"], spec["component"], spec["group"], ordinal) for ordinal in ordinals]


def _pods_by_node(found: Sequence[Manifest]) -> dict[str, Manifest]:
    by_node: dict[str, list[Manifest]] = {}
    for pod in found:
        by_node.setdefault(pods.label(pod, LABEL_NODE), []).append(pod)
    return {node: newest for node, several in by_node.items() if (newest := pods.newest(several)) is not None}


def _group_status(
    group: Manifest,
    names: Sequence[str],
    facts: Mapping[str, NodeFacts],
    nodes: Mapping[str, Manifest],
    snapshot: Snapshot,
    now: str,
) -> dict[str, Any]:
    spec = group["spec"]
    belonging = {node for node, pod in nodes.items() if pods.label(pod, LABEL_GROUP) == spec["group"]
                 and pods.label(pod, LABEL_COMPONENT) == spec["component"]}  # fmt: skip
    # A Group whose Component is not there yet is counted all the same.
    own = [facts.get(name) or component_facts(snapshot, "", [name], nodes).nodes[0] for name in names]
    labels = app_labels(spec["app"], spec["component"], spec["group"])
    status = {
        "observedGeneration": group["metadata"].get("generation"),
        "replicas": len(belonging),
        "ready": sum(node.ready for node in own),
        "selector": ",".join(f"{key}={value}" for key, value in labels.items()),
        "nodes": [_node_status(node, nodes.get(node.name), snapshot.messages) for node in own],
    }
    return {**status, "conditions": conditions.merged(group, [counted(own)], now)}


def _node_status(node: NodeFacts, pod: Manifest | None, messages: Mapping[str, str]) -> dict[str, Any]:
    if pod is None:
        return {"name": node.name, "role": "", "ready": False, "pod": "", "message": "has no Pod"}
    own = str(pod["metadata"]["name"])
    message = pods.trouble(pod) or messages.get(own, "")
    return {"name": node.name, "role": node.role, "ready": node.ready, "pod": own, "message": message}


def _primary(component: ComponentFacts) -> str | None:
    holders = {role: [n.name for n in component.nodes if n.role == role] for role in sorted(component.writable)}
    return next((held[0] for held in holders.values() if len(held) == 1), None)


def _counts(component: ComponentFacts) -> dict[str, Any]:
    counts: dict[str, Any] = {"ready": sum(node.ready for node in component.nodes), "total": len(component.nodes)}
    primary = _primary(component)
    return {**counts, "primary": primary} if primary is not None else counts


def _component_status(component: Manifest, facts: ComponentFacts, now: str) -> dict[str, Any]:
    status = {"observedGeneration": component["metadata"].get("generation"), **_counts(facts)}
    return {**status, "conditions": conditions.merged(component, [of_component(facts)], now)}


def _app_status(snapshot: Snapshot, facts: AppFacts, verdict: Health, now: str) -> dict[str, Any]:
    nodes = [node for component in facts.components for node in component.nodes]
    # Of the Pods, not of the Groups: those say at once what an upgrade is only about to bring.
    versions = {pods.label(pod, LABEL_RUNTIME_VERSION) for pod in snapshot.pods if pods.exists(pod)} - {""}
    status = {
        "phase": str(verdict.phase),
        "message": verdict.message,
        "ready": f"{sum(node.ready for node in nodes)}/{len(nodes)}",
        "runtimeVersion": ", ".join(sorted(versions)),
        "primary": next((name for c in facts.components if (name := _primary(c)) is not None), ""),
        "components": [{"name": component.name, **_counts(component)} for component in facts.components],
        "endpoints": _endpoints(snapshot.app, snapshot.services),
        "conditions": conditions.merged(snapshot.app, verdict.conditions, now, facts.seen or None),
    }
    return {**status, "observedGeneration": facts.seen} if facts.seen else status


def _endpoints(app: Manifest, services: Sequence[Manifest]) -> list[dict[str, str]]:
    """Services of components and roles with their first port, which is the plugin's main one; not those of nodes."""
    found = []
    for service in services:
        metadata = service["metadata"]
        ports = (service.get("spec") or {}).get("ports") or []
        if not pods.label(service, LABEL_COMPONENT) or pods.label(service, LABEL_NODE) or not ports:
            continue
        if pods.label(service, LABEL_APP) != app["metadata"]["name"]:
            continue
        address = f"{metadata['name']}.{metadata['namespace']}.svc:{ports[0]['port']}"
        role = pods.label(service, LABEL_SERVICE_ROLE)  # only a writable role has a Service
        found.append(
            {
                "name": str(metadata["name"]),
                "address": address,
                "component": pods.label(service, LABEL_COMPONENT),
                "serves": str(EndpointServes.WRITES if role else EndpointServes.ANY_NODE),
            }
        )
    return sorted(found, key=lambda endpoint: endpoint["name"])
