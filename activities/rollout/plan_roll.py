"""``planRoll``: which nodes have to be given another Pod, and in which order.

1. Component by component in start order, never two at once.
2. A node that is not ready comes first: rolling another one beside it would take two down.
3. Then by the roles' upgrade order, the writable node last; its role is moved away before it is touched.
4. The first of a component goes alone: with a Pod that cannot start it is the only one that is down. Of the others
   nodes of one group go together up to its ``maxUnavailable``, the writable one always alone, and never more than the
   component can spare (``render.manifests.budgets.spared``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter

from temporalio import activity

from activities.agents.agent_targets import node_states
from activities.agents.node_state import NodeState
from activities.agents.node_tools import node_tools
from activities.app.desired import desired_for
from activities.app.observed import ObservedApp
from activities.dependencies import Platform, permanent
from activities.rollout.clearance import one_by_one
from activities.rollout.volumes import ungrown
from api.names import LABEL_ROLE, app_labels
from api.operations import OperationType, Scope
from api.steps import ErrorType, RollNode, RollPlan, RollRequest, Step
from api.tools import ToolName
from clients.resources import DEPLOYMENT
from render.check.next_operation import Stale, stale_nodes
from render.desired.app import DesiredApp, DesiredComponent, DesiredNode
from render.desired.spec_parts import Deployed
from render.manifests.budgets import spared
from render.manifests.volumes import needs_start


async def outdated_nodes(platform: Platform, desired: DesiredApp, live: ObservedApp) -> list[Stale]:
    """Nodes whose Deployment is of another record than ``desired``, or that were rolled and not seen to serve since."""
    found, _ = await platform.kubernetes.list(DEPLOYMENT, desired.namespace, labels=app_labels(desired.name))
    deployments = {str(each["metadata"]["name"]): each for each in found}
    return list(stale_nodes(desired, deployments, live.state.members))


def in_scope(nodes: Iterable[DesiredNode], scope: Scope, deployed: Deployed | None) -> list[DesiredNode]:
    """What a Restart by hand has named, all where it named nothing. Raises NoSuchNode where nothing is of that name: to
    restart nothing and say that it is done would be believed. Pure."""
    found, where = list(nodes), ""
    wishes = (
        ("component", scope.component, attrgetter("component")),
        ("group", scope.group, attrgetter("group")),
        ("node", scope.node, attrgetter("name")),
    )
    for field, wish, name_of in wishes:
        if not wish:
            continue
        names = dict.fromkeys(map(name_of, found))
        if wish not in names:
            why = _why_not(wish, deployed) if field == "node" else ""
            message = f"{field}: {why or f'there is no {wish}{where}'}; there are {', '.join(names)}"
            raise permanent(ErrorType.NO_SUCH_NODE, message)
        found = [node for node in found if name_of(node) == wish]
        where = f" in {field} {wish}"
    return found


def _why_not(node: str, deployed: Deployed | None) -> str:
    """What keeps a node from being restarted that is there, or nearly so."""
    if deployed is None:
        return ""
    if node in deployed.removing:
        return f"{node} is leaving: a Scale has begun to remove it"
    joining = {f"{group}-{ordinal}" for group, ordinals in deployed.joining.items() for ordinal in ordinals}
    return f"{node} is still joining: a Scale has begun to add it" if node in joining else ""


def ordered(
    component: DesiredComponent,
    nodes: Iterable[DesiredNode],
    states: Mapping[str, NodeState],
    *,
    one_by_one: bool = False,
) -> list[list[DesiredNode]]:
    """Batches; see the module's description. ``one_by_one``: never two nodes in one. Pure."""
    orders = {role.name: role.upgrade_order for role in component.definition.roles}
    writable = {role.name for role in component.definition.roles if role.writable}

    def role(node: DesiredNode) -> str:
        return _role(node, states)

    def place(node: DesiredNode) -> tuple[bool, bool, int, str]:
        return (role(node) in writable, states[node.name].ready, orders.get(role(node), 0), node.name)

    batches: list[list[DesiredNode]] = []
    for node in sorted(nodes, key=place):
        most = min(component.group(node.group).spec.rolling_update.max_unavailable, spared(component))
        last = batches[-1] if batches else []
        alone = role(node) in writable or any(role(other) in writable for other in last)
        first = one_by_one or len(batches) < 2
        if last and not first and not alone and last[0].group == node.group and len(last) < most:
            last.append(node)
        else:
            batches.append([node])
    return batches


def writable_nodes(
    component: DesiredComponent, nodes: Iterable[DesiredNode], states: Mapping[str, NodeState]
) -> list[str]:
    """Names of those that hold a writable role, by their Pods' labels. Pure."""
    writable = {role.name for role in component.definition.roles if role.writable}
    return [node.name for node in nodes if _role(node, states) in writable]


def _role(node: DesiredNode, states: Mapping[str, NodeState]) -> str:
    pod = states[node.name].pod or {"metadata": {}}
    return str((pod["metadata"].get("labels") or {}).get(LABEL_ROLE, ""))


class Roll:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.PLAN_ROLL)
    async def plan_roll(self, request: RollRequest) -> RollPlan:
        platform, target = self._platform, request.target
        want = await desired_for(platform, target)
        await platform.deployments.synced(30)
        await platform.pods.synced(30)
        outdated = {each.node.name for each in await outdated_nodes(platform, want.desired, want.live)}
        resizes = target.operation == OperationType.RESIZE and target.stage != OperationType.REPAIR
        growing = await ungrown(platform, want.desired) if resizes else {}
        lack_a_start = {name for name, volume in growing.items() if needs_start(volume.claim)}
        if target.operation == OperationType.RESTART:
            names = {node.name for node in in_scope(want.desired.nodes, request.scope, want.live.deployed)}
        else:
            names = outdated | lack_a_start
        batches: list[list[RollNode]] = []
        after: list[str] = []
        for component in want.desired.components:
            chosen = [node for node in component.nodes if node.name in names]
            if not chosen:
                continue
            states = node_states(platform, target.namespace, target.app, [node.name for node in chosen])
            tools = await node_tools(platform, want.desired, component, chosen[0])
            for batch in ordered(component, chosen, states, one_by_one=one_by_one(tools)):
                batches.append([_roll_node(node, states) for node in batch])
            if ToolName.AFTER_ROLL in tools:
                after.append(component.name)
        return RollPlan(batches, after)


def _roll_node(node: DesiredNode, states: Mapping[str, NodeState]) -> RollNode:
    return RollNode(node.name, node.component, node.group, states[node.name].uid)
