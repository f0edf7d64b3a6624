"""PodDisruptionBudgets: how many nodes of a component an eviction (``kubectl drain``) may take away. Pure.

1. A component whose exclusive writable role can be moved has two. One forbids the eviction of whoever holds the role:
   the platform moves the role first, then the Pod is an ordinary one. The other counts the rest: at most the App's
   ``maxUnavailable`` of them at once, and never all of them: see ``spared``.
2. Any other component is taken for one that needs a majority of itself: ``minAvailable`` keeps that, whatever
   ``maxUnavailable`` says, and counts nodes that have no Pod at all.
3. A single node has none. It cannot be spared, so a budget would only hold up the drain for ever.
4. Where the plugin has ``safeToStop``, one more forbids the eviction of each node that says no. The watcher gives its
   Pod a label (``watcher.roles.stops``), by which the Pod leaves the budget of the others; whoever holds a writable
   role stays in the first.

Those of one component never select the same Pod: the eviction API answers such a Pod with an error for good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from api.meta import Manifest
from api.names import LABEL_ROLE, LABEL_STOP, app_labels, unsafe_budget_name, writable_budget_name
from api.tools import ToolName
from render.desired.app import DesiredApp, DesiredComponent
from render.manifests.labels import metadata, object_labels
from render.manifests.node import render_tools, stand_in_addresses, template_context


def disruption_budgets(
    desired: DesiredApp, component: DesiredComponent, api_version: str = "policy/v1"
) -> list[Manifest]:
    """``api_version`` as the API server has it: ``policy/v1``, before Kubernetes 1.21 ``policy/v1beta1``. Raises
    TemplateFailure."""
    nodes = len(component.nodes)
    if nodes < 2:
        return []
    most = min(group.spec.rolling_update.max_unavailable for group in component.groups)
    labels = app_labels(desired.name, component.name)
    roles = moved_roles(desired, component)
    others = [_with_role("NotIn", roles)] if roles else []
    asked = ToolName.SAFE_TO_STOP in _tools(desired, component)
    may_stop = [{"key": LABEL_STOP, "operator": "DoesNotExist"}] if asked else []
    # With roles not minAvailable: for a moment nobody may hold the role, and then one Pod more is counted here.
    most = min(most, spared(component) if roles else minority(nodes))
    counted = {"maxUnavailable": most} if roles else {"minAvailable": nodes - most}
    specs = {component.resource_name: {**counted, "selector": _selector(labels, [*others, *may_stop])}}
    if roles:
        name = writable_budget_name(desired.name, component.name)
        specs[name] = {"maxUnavailable": 0, "selector": _selector(labels, [_with_role("In", roles)])}
    if asked:
        name = unsafe_budget_name(desired.name, component.name)
        refusing = {"key": LABEL_STOP, "operator": "Exists"}
        specs[name] = {"maxUnavailable": 0, "selector": _selector(labels, [*others, refusing])}
    return [
        {
            "apiVersion": api_version,
            "kind": "PodDisruptionBudget",
            "metadata": metadata(desired, name, object_labels(desired, component.name)),
            "spec": spec,
        }
        for name, spec in specs.items()
    ]


def spared(component: DesiredComponent) -> int:
    """How many of a component's nodes may be down at once, whatever the App says. Of those that may have to vote a
    minority. Of others as many as leave one beside the writable one: it could take its place, and many an engine takes
    no writes without it. Where there is no third, that one too: else nothing could ever be done to it."""
    nodes = len(component.nodes)
    return max(nodes - 2, 1) if exclusive_roles(component) else minority(nodes)


def minority(nodes: int) -> int:
    """How many of so many voters may be down at once; of two one, else nothing could ever be done to either."""
    return max((nodes - 1) // 2, 1)


def _selector(labels: dict[str, str], expressions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"matchLabels": labels, **({"matchExpressions": expressions} if expressions else {})}


def _with_role(operator: str, roles: list[str]) -> dict[str, Any]:
    """``NotIn`` also selects Pods without a role: those that have just started, or whose engine is down."""
    return {"key": LABEL_ROLE, "operator": operator, "values": roles}


def exclusive_roles(component: DesiredComponent) -> list[str]:
    """Writable roles that one node at most may hold."""
    return sorted(role.name for role in component.definition.roles if role.writable and role.exclusive)


def moved_roles(desired: DesiredApp, component: DesiredComponent) -> list[str]:
    """Those of them that a Switchover can move: the component has another node, and the topology the tools for it."""
    roles, nodes = exclusive_roles(component), component.nodes
    if not roles or len(nodes) < 2:
        return []
    return roles if ToolName.FENCE in _tools(desired, component) else []


def _tools(desired: DesiredApp, component: DesiredComponent) -> frozenset[str]:
    """Names of those that the component's nodes have."""
    nodes = component.nodes
    key = (desired.bundle.digest, desired.topology, component.name, nodes[0].runtime_version, len(nodes))
    return _names_of_tools(_Question(*key, asked=(desired, component)))


@dataclass(frozen=True)
class _Question:
    """What the answer depends on: rendering tools at every look at an App would cost. ``asked`` is one who asks."""

    digest: str
    topology: str
    component: str
    runtime_version: str
    nodes: int
    asked: tuple[DesiredApp, DesiredComponent] = field(compare=False)


@lru_cache(maxsize=256)
def _names_of_tools(question: _Question) -> frozenset[str]:
    desired, component = question.asked
    addresses = stand_in_addresses(desired)
    context = template_context(desired, component, component.nodes[0], addresses=addresses, bootstrap=None)
    return frozenset(map(str, render_tools(desired, component, context).tools))
