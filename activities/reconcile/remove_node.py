"""``leaveNode``, ``removeNode``, ``forgetNode``, ``discardNode``: how a node goes, and why nothing is lost with it.

1. ``leaveNode``: the node gives away whatever only it has (the plugin's ``leave``), while it serves like any other. A
   tool that fails refuses, and so does a node that cannot be asked: the operation stops for an operator, and the node
   stays. ``leave`` may take as long as the plugin says.
2. ``removeNode``: it is marked ``deleting``: it has left, or an operator has said to go on without. Its engine stops in
   order, with its Pod, and then its Deployment goes.
3. ``forgetNode``: the nodes that stay forget it, one after another.
4. ``discardNode``: what belonged to it goes last, its volume by the App's ``deletionPolicy``, and only then it is no
   member of its Group any more: an interrupted removal is found there and goes on.

The deletion of a whole App asks no node to leave: nobody stays to whom anything could be given.
"""

from __future__ import annotations

from collections.abc import Iterator

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable
from activities.agents.node_tools import node_tools
from activities.app.desired import StepContext, desired_for
from activities.app.wait_ready import NodeWaiter
from activities.cluster.apply import check_own
from activities.cluster.events import tell
from activities.cluster.state import update_members
from activities.cluster.status import tell_step
from activities.dependencies import Platform, permanent
from activities.roles import fencing
from activities.rollout.clearance import Clearance
from activities.tools.run_to_end import on_nodes, run_to_end, tried_often_enough
from api.app import DeletionPolicy
from api.group import MemberState
from api.meta import service_address
from api.names import app_labels, group_name, node_ordinal
from api.steps import ErrorType, NodeStep, Step, Target
from api.tools import Tool, ToolName
from clients.resources import CONFIG_MAP, DEPLOYMENT, SERVICE, VOLUME_CLAIM, Manifest, Resource
from render.desired.app import DesiredComponent, node_id
from render.desired.state_edits import deleting, gone

_GONE_WITHIN = 30.0
"""Seconds beyond a Pod's grace period after which it is not waited for."""


class RemoveNode:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.LEAVE_NODE)
    async def leave_node(self, step: NodeStep) -> None:
        """Returns when nothing is lost with the node. Raises ToolRefused where its tool says otherwise, ToolStalled
        where it makes no progress."""
        with tried_often_enough():
            await self._leave(step)

    async def _leave(self, step: NodeStep) -> None:
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        check_leaves(want, step)
        member = want.live.state.members.get(step.node)
        if member is not None and member.state == MemberState.DELETING:
            return  # it had left when it was marked
        component = want.desired.component(step.component)
        tool = await self._leave_of(want, component, step.node)
        if tool is None:
            return
        await tell_step(platform, target, f"{step.node}: leave")
        await platform.deployments.synced(30)
        await platform.pods.synced(30)
        if step.node not in reachable(platform, target, [step.node]):
            new = member is not None and member.state == MemberState.ADDING
            if new and not await self._may_hold_data(step):
                return
            if tool.poll is None:
                raise ApplicationError(f"{step.node} does not run, so it cannot give away what only it has")
        try:
            await run_to_end(platform, target, step.node, ToolName.LEAVE, tool, {})
        except ApplicationError as error:
            if error.type != ErrorType.TOOL_REFUSED:
                raise
            raise permanent(ErrorType.TOOL_REFUSED, error.message) from error

    async def _leave_of(self, want: StepContext, component: DesiredComponent, name: str) -> Tool | None:
        node = next((each for each in component.nodes if each.name == name), component.nodes[0])
        return (await node_tools(self._platform, want.desired, component, node)).get(ToolName.LEAVE)

    async def _may_hold_data(self, step: NodeStep) -> bool:
        """Not a new node whose claim never had a volume, since no machine takes it, say. Of one without a claim, or
        with a volume, an earlier Pod may have run."""
        claim = await self._owned(step.target, VOLUME_CLAIM, step.node)
        return claim is None or bool(claim["spec"].get("volumeName"))

    @activity.defn(name=Step.REMOVE_NODE)
    async def remove_node(self, step: NodeStep) -> None:
        """Marks and stops it; returns when the Pod is gone."""
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        check_leaves(want, step)
        await tell_step(platform, target, f"{step.node}: remove")
        await update_members(platform, target.namespace, _group_of(step), lambda before: deleting(before, {step.node}))
        await platform.deployments.synced(30)
        await platform.pods.synced(30)
        deployment = await self._owned(target, DEPLOYMENT, step.node)
        if deployment is not None:
            await self._may_stop(want, step)
            # It outlives its Pod: of a Pod without one the budget's controller warns that nobody controls it.
            await platform.kubernetes.patch(DEPLOYMENT, step.node, target.namespace, {"spec": {"replicas": 0}})
        await tell_step(platform, target, f"{step.node}: wait until it has stopped")
        await self._stopped(step)
        if deployment is not None:
            await platform.kubernetes.delete(DEPLOYMENT, step.node, target.namespace, uid=deployment["metadata"]["uid"])

    async def _may_stop(self, want: StepContext, step: NodeStep) -> None:
        component = want.desired.component(step.component)
        node = next((each for each in component.nodes if each.name == step.node), component.nodes[0])
        tools = await node_tools(self._platform, want.desired, component, node)
        await Clearance(self._platform, step.target, step.node, tools).may_stop()

    async def _stopped(self, step: NodeStep) -> None:
        """Until its Pod is gone: who forgot the node before that would find it again."""
        pods, target = self._platform.pods, step.target
        labels = app_labels(target.app, step.component, step.group, step.node)
        found = pods.list(target.namespace, labels)
        grace = max((float(pod["spec"].get("terminationGracePeriodSeconds", 30)) for pod in found), default=0.0)
        try:
            await pods.wait_for(
                lambda: None if pods.list(target.namespace, labels) else True,
                grace + _GONE_WITHIN,
                namespace=target.namespace,
                labels=labels,
            )
        except TimeoutError:
            # Its machine is gone, most likely. Nothing is lost with it: it has left.
            message = f"the Pod of {step.node} did not end in {grace + _GONE_WITHIN:.0f} s and is left behind"
            await tell(self._platform, target, "PodLeftBehind", message, warning=True)

    @activity.defn(name=Step.FORGET_NODE)
    async def forget_node(self, step: NodeStep) -> None:
        """Each node that stays forgets it. All are asked, and then it fails with what each said that does not."""
        with tried_often_enough():
            await self._forget(step)

    async def _forget(self, step: NodeStep) -> None:
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        check_leaves(want, step)
        await tell_step(platform, target, f"{step.node}: forget")
        service = await self._owned(target, SERVICE, step.node)
        if service is None:
            return  # it was forgotten: its address is what the others know it by, and goes last
        arguments = {
            "node": step.node,
            "address": service_address(service),
            "id": str(_id_of(want, step)),
        }
        failed = []
        for component in want.desired.components:
            tool = (await node_tools(platform, want.desired, component, component.nodes[0])).get(ToolName.FORGET)
            if tool is None:
                continue
            names = [node.name for node in component.nodes if node.name != step.node]
            failed += await on_nodes(platform, target, names, ToolName.FORGET, tool, arguments)
        if failed:
            staying = [node.name for node in want.desired.nodes if node.name != step.node]
            await NodeWaiter(platform, target, f"{step.node}: forget", staying).keep()
            raise ApplicationError(f"{step.node} is not forgotten by all yet: {'; '.join(failed)}")

    @activity.defn(name=Step.DISCARD_NODE)
    async def discard_node(self, step: NodeStep) -> None:
        """What belonged to it goes, if it was marked: a volume is deleted of no node that has not left."""
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        check_leaves(want, step)
        member = want.live.state.members.get(step.node)
        if member is None or member.state != MemberState.DELETING:
            return  # an earlier attempt came to the end
        for resource in _belongings(want):
            if (live := await self._owned(target, resource, step.node)) is not None:
                await platform.kubernetes.delete(resource, step.node, target.namespace, uid=live["metadata"]["uid"])
        # Or a later node of the name would never get a writable role.
        await fencing.unmark(platform, target, step.node)
        await update_members(platform, target.namespace, _group_of(step), lambda before: gone(before, {step.node}))
        await tell(platform, target, "NodeRemoved", f"{step.node} is gone")

    async def _owned(self, target: Target, resource: Resource, name: str) -> Manifest | None:
        live = await self._platform.kubernetes.get(resource, name, target.namespace)
        if live is not None:
            check_own(target, live)
        return live


def _group_of(step: NodeStep) -> str:
    return group_name(step.target.app, step.component, step.group)


def check_leaves(want: StepContext, step: NodeStep) -> None:
    """Whether the live spec has no place for the node: that decides, and not what the step was given. Raises
    ApplicationError NoSuchNode, or SpecChanged for one that is to stay."""
    app = want.app
    groups = [
        group
        for component in want.desired.components
        for group in component.groups
        if (component.name, group.name) == (step.component, step.group)
    ]
    ordinal = node_ordinal(app.name, step.component, step.group, step.node)
    if not groups or ordinal is None:
        raise permanent(ErrorType.NO_SUCH_NODE, f"App {app.namespace}/{app.name} can have no node {step.node!r}")
    if ordinal in groups[0].spec.ordinals:
        raise permanent(ErrorType.SPEC_CHANGED, f"the App's spec wants {step.node}; it stays")


def _id_of(want: StepContext, step: NodeStep) -> int:
    """The id that the engine knows the node by."""
    ordinal = node_ordinal(want.app.name, step.component, step.group, step.node)
    assert ordinal is not None  # checked before
    component = want.desired.component(step.component)
    return node_id(ordinal, step.group, sorted(each.name for each in component.groups), component.definition.id_base)


def _belongings(want: StepContext) -> Iterator[Resource]:
    """The volume last of what could hold data, and the Service last of all: its address is what the others know the
    node by, also for a repeat of ``forgetNode``."""
    yield CONFIG_MAP
    if want.app.spec.deletion_policy == DeletionPolicy.DELETE:
        yield VOLUME_CLAIM
    yield SERVICE
