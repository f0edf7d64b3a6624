"""Sums up: Pods into Groups, Groups into Components, Components into the App. Pure: objects in, status out.

A status holds only the fields that the watcher owns (see ``api.app.AppStatus``); server-side apply leaves the
activities' fields alone. ``App.status.observedGeneration`` is theirs too: Ready and Degraded carry the generation that
they had looked at, so that ``kubectl wait --for=condition=Ready`` after an apply does not take an old answer for the
new spec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.app import Phase
from api.group import node_ordinals
from api.names import LABEL_APP, LABEL_COMPONENT, LABEL_GROUP, LABEL_NODE, LABEL_SERVICE_ROLE, app_labels, node_name
from clients.resources import Manifest
from watcher.cache import pods
from watcher.status import conditions
from watcher.status.conditions import Condition

LABEL_VERSION = "app.kubernetes.io/version"


@dataclass(frozen=True)
class Snapshot:
    """One App and its objects as the caches have them. ``messages``: Pod name -> what its agent says, or why there is
    no word of it. ``notes``: sentences on primaries that are lost, and why they are not replaced."""

    app: Manifest
    components: Sequence[Manifest]
    groups: Sequence[Manifest]
    pods: Sequence[Manifest]
    services: Sequence[Manifest]
    messages: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Statuses:
    """By resource name; ``app`` is the App's."""

    app: dict[str, Any]
    components: Mapping[str, dict[str, Any]]
    groups: Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class _Component:
    name: str
    ready: int
    total: int
    primary: str | None
    vacant: tuple[str, ...]
    """Writable roles that nobody holds."""
    missing: tuple[str, ...]
    """Nodes that are not ready."""


def summarize(snapshot: Snapshot, now: str) -> Statuses:
    """``now``: RFC 3339, for conditions that change."""
    groups: dict[str, dict[str, Any]] = {}
    components: dict[str, dict[str, Any]] = {}
    sums: list[_Component] = []
    nodes = _pods_by_node(snapshot.pods)
    for group in snapshot.groups:
        groups[group["metadata"]["name"]] = _group_status(group, nodes, snapshot.messages, now)
    for component in snapshot.components:
        own = [g for g in snapshot.groups if g["spec"]["component"] == component["spec"]["component"]]
        total = _sum(component, own, groups, snapshot.services)
        sums.append(total)
        components[component["metadata"]["name"]] = _component_status(component, total, now)
    return Statuses(_app_status(snapshot, sums, now), components, groups)


def _pods_by_node(found: Sequence[Manifest]) -> dict[str, Manifest]:
    by_node: dict[str, list[Manifest]] = {}
    for pod in found:
        by_node.setdefault(pods.label(pod, LABEL_NODE), []).append(pod)
    return {node: newest for node, several in by_node.items() if (newest := pods.newest(several)) is not None}


def _group_status(
    group: Manifest, nodes: Mapping[str, Manifest], messages: Mapping[str, str], now: str
) -> dict[str, Any]:
    spec = group["spec"]
    ordinals = node_ordinals(int(spec["replicas"]), spec.get("reserveOrdinals") or [])
    names = [node_name(spec["app"], spec["component"], spec["group"], ordinal) for ordinal in ordinals]
    belonging = {node for node, pod in nodes.items() if pods.label(pod, LABEL_GROUP) == spec["group"]
                 and pods.label(pod, LABEL_COMPONENT) == spec["component"]}  # fmt: skip
    entries = [_node_status(name, nodes.get(name), messages) for name in names]
    ready = sum(entry["ready"] for entry in entries)
    labels = app_labels(spec["app"], spec["component"], spec["group"])
    status = {
        "observedGeneration": group["metadata"].get("generation"),
        "replicas": len(belonging),
        "ready": ready,
        "selector": ",".join(f"{key}={value}" for key, value in labels.items()),
        "nodes": entries,
    }
    missing = [entry["name"] for entry in entries if not entry["ready"]]
    return {**status, "conditions": conditions.merged(group, [_counted(ready, len(entries), missing, ())], now)}


def _node_status(name: str, pod: Manifest | None, messages: Mapping[str, str]) -> dict[str, Any]:
    if pod is None:
        return {"name": name, "role": "", "ready": False, "pod": "", "message": "has no Pod"}
    own = str(pod["metadata"]["name"])
    ready = pods.is_ready(pod)
    message = pods.trouble(pod) or messages.get(own, "")
    return {"name": name, "role": pods.role_of(pod) or "", "ready": ready, "pod": own, "message": message}


def _sum(
    component: Manifest,
    groups: Sequence[Manifest],
    statuses: Mapping[str, dict[str, Any]],
    services: Sequence[Manifest],
) -> _Component:
    name = str(component["spec"]["component"])
    nodes = [node for g in groups for node in statuses[g["metadata"]["name"]]["nodes"]]
    writable = sorted(
        role for s in services
        if pods.label(s, LABEL_COMPONENT) == name and (role := pods.label(s, LABEL_SERVICE_ROLE))
    )  # fmt: skip
    holders = {role: [n["name"] for n in nodes if n["role"] == role] for role in writable}
    primary = next((held[0] for held in holders.values() if len(held) == 1), None)
    return _Component(
        name,
        ready=sum(n["ready"] for n in nodes),
        total=len(nodes),
        primary=primary,
        vacant=tuple(role for role, held in holders.items() if not held),
        missing=tuple(n["name"] for n in nodes if not n["ready"]),
    )


def _component_status(component: Manifest, total: _Component, now: str) -> dict[str, Any]:
    status: dict[str, Any] = {
        "observedGeneration": component["metadata"].get("generation"),
        "ready": total.ready,
        "total": total.total,
    }
    if total.primary is not None:
        status["primary"] = total.primary
    condition = _counted(total.ready, total.total, total.missing, total.vacant)
    return {**status, "conditions": conditions.merged(component, [condition], now)}


def _counted(ready: int, total: int, missing: Sequence[str], vacant: Sequence[str]) -> Condition:
    """Condition Ready by counts alone."""
    if missing or total == 0:
        named = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        return Condition("Ready", False, "NodesNotReady", f"{ready} of {total} nodes are ready; not ready: {named}"
                         if missing else "there are no nodes yet")  # fmt: skip
    if vacant:
        return Condition("Ready", False, "RoleVacant", f"no node holds the role {' or '.join(vacant)}")
    return Condition("Ready", True, "AllNodesReady", f"{ready} of {total} nodes are ready")


def _app_status(snapshot: Snapshot, sums: Sequence[_Component], now: str) -> dict[str, Any]:
    app = snapshot.app
    ready, total = sum(s.ready for s in sums), sum(s.total for s in sums)
    missing = [name for s in sums for name in s.missing]
    vacant = [role for s in sums for role in s.vacant]
    counted = _counted(ready, total, missing, vacant)
    summaries = []
    for s in sums:
        entry: dict[str, Any] = {"name": s.name, "ready": s.ready, "total": s.total}
        summaries.append({**entry, "primary": s.primary} if s.primary is not None else entry)
    verdict = _ready(app, counted)
    deployed = verdict.reason not in ("Deploying", "Deleting")
    degraded = Condition("Degraded", not counted.true, counted.reason, counted.message)
    if snapshot.notes:
        said = ". ".join(snapshot.notes if counted.true else (counted.message, *snapshot.notes))
        degraded = Condition("Degraded", True, "PrimaryInDoubt", said)
    if not deployed or (total == 0 and verdict.reason == "InvalidSpec"):  # never ran, so nothing of it is lost
        degraded = Condition("Degraded", False, verdict.reason, verdict.message)
    observed = (app.get("status") or {}).get("observedGeneration")
    # Of the Pods, not of the Groups: those say at once what an upgrade is only about to bring.
    versions = {pods.label(pod, LABEL_VERSION) for pod in snapshot.pods if pods.exists(pod)} - {""}
    return {
        "ready": f"{ready}/{total}",
        "runtimeVersion": ", ".join(sorted(versions)),
        "primary": next((s.primary for s in sums if s.primary is not None), ""),
        "components": summaries,
        "endpoints": _endpoints(app, snapshot.services),
        "conditions": conditions.merged(app, [verdict, degraded], now, observed),
    }


def _ready(app: Manifest, counted: Condition) -> Condition:
    status = app.get("status") or {}
    if app["metadata"].get("deletionTimestamp"):
        return Condition("Ready", False, "Deleting", "the App is being deleted")
    accepted = conditions.find(app, "Accepted")
    if accepted.get("status") == "False":
        # Also while a newer spec waits to be looked at: until then nothing says that it is right.
        return Condition("Ready", False, "InvalidSpec", str(accepted.get("message", "")))
    phase = status.get("phase", Phase.PENDING)
    earlier = conditions.find(app, "Ready").get("reason")
    first = phase in (Phase.PENDING, Phase.DEPLOYING)
    interrupted = phase in (Phase.WAITING, Phase.PAUSED, Phase.REFUSED) and earlier in (None, "Deploying")
    if first or interrupted:
        message = str(status.get("message") or "the first deploy has not ended yet")
        return Condition("Ready", False, "Deploying", message)
    return counted


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
        found.append({"name": str(metadata["name"]), "address": address})
    return sorted(found, key=lambda endpoint: endpoint["name"])
