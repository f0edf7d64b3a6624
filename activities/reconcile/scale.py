"""``planScale``, ``joinNodes``, ``removeNode``, ``forgetNode``: nodes that come and nodes that go.

New nodes come up as in a Deploy, then ``join``. A node that goes gives its writable role away first (a step of its
own), is marked ``deleting``, leaves, and ends with its Deployment (agent 1 stops the engine in order). When its Pod is
gone the nodes that stay forget it, one after another. What belonged to it goes last, its volume by the App's
``deletionPolicy``, and only then it is gone from the metadata: an interrupted removal is found there and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable
from activities.agents.run_tool import run_tool
from activities.app.desired import StepContext, desired_for
from activities.cluster import metadata_edits
from activities.cluster.apply import check_owner
from activities.cluster.events import tell
from activities.cluster.metadata import read_part, update_metadata
from activities.cluster.status import tell_step
from activities.dependencies import Platform
from activities.roles import fencing
from api.app import DeletionPolicy
from api.names import app_labels
from api.steps import ComponentPlan, ComponentStep, GroupPlan, NodeStep, RollNode, ScalePlan, Step, Target
from api.tools import ToolName
from clients.agents import AgentTarget
from clients.resources import CONFIG_MAP, DEPLOYMENT, SERVICE, VOLUME_CLAIM, Manifest, Resource
from render.desired.recorded_state import lists

_TOOL_TIMEOUT = 95.0
"""Above the longest of the plugins' tools: Sentinel's ``forget`` takes up to 90 s where it must wait for others."""
_GONE_WITHIN = 30.0
"""Seconds beyond a Pod's grace period after which it is not waited for."""


class Scale:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.PLAN_SCALE)
    async def plan_scale(self, target: Target) -> ScalePlan:
        """By the metadata: ``adding`` and ``deleting`` say what an interrupted Scale has begun."""
        want = await desired_for(self._platform, target)
        nodes = lists(read_part(want.live.metadata, "nodes"))
        normal = {node["name"] for node in nodes["normal"]}
        adding, removing = [], []
        for component in want.desired.components:
            groups = []
            for group in component.groups:
                ordinals = frozenset(group.spec.ordinals)
                new = [n.name for n in group.nodes if n.ordinal in ordinals and n.name not in normal]
                if new:
                    groups.append(GroupPlan(group.name, new))
                removing += [RollNode(n.name, n.component, n.group) for n in group.leaving]
            if groups:
                adding.append(ComponentPlan(component.name, groups))
        known = {node.name for node in removing}
        removing += [
            RollNode(node["name"], node["component"], node["group"])
            for node in nodes["deleting"]
            if node["name"] not in known
        ]
        # The highest ordinal first, as everybody expects of Kubernetes.
        removing.sort(key=lambda node: (node.component, node.group, -int(node.name.rpartition("-")[2])))
        return ScalePlan(adding, removing, [component.name for component in want.desired.components])

    @activity.defn(name=Step.JOIN_NODES)
    async def join_nodes(self, step: ComponentStep) -> None:
        """Runs ``join`` on every node of the component, the new ones among them: it does no harm where it is done."""
        want = await desired_for(self._platform, step.target)
        component = want.desired.component(step.component)
        await tell_step(self._platform, step.target, f"{component.name}: join")
        agents = reachable(self._platform, step.target, [node.name for node in component.nodes])
        for agent in agents.values():
            await run_tool(self._platform, agent, ToolName.JOIN, {}, timeout=_TOOL_TIMEOUT)

    @activity.defn(name=Step.REMOVE_NODE)
    async def remove_node(self, step: NodeStep) -> None:
        """Marks, leaves, stops; returns when the Pod is gone."""
        platform, target = self._platform, step.target
        await desired_for(platform, target)
        await tell_step(platform, target, f"{step.node}: remove")
        await update_metadata(
            platform,
            target.namespace,
            target.app,
            {"nodes": lambda before: metadata_edits.deleting(before, {step.node})},
        )
        await platform.deployments.synced(30)
        await platform.pods.synced(30)
        agent = reachable(platform, target, [step.node]).get(step.node)
        if agent is not None:
            await self._leave(step, agent)
        if await self._owned(target, DEPLOYMENT, step.node) is not None:
            await platform.kubernetes.delete(DEPLOYMENT, step.node, target.namespace)
        await tell_step(platform, target, f"{step.node}: wait until it has stopped")
        await self._stopped(step)

    async def _stopped(self, step: NodeStep) -> None:
        """Until its Pod is gone. The Deployment is gone at once, while the engine runs on until its Pod has ended: who
        forgot the node before that would find it again."""
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
            # Its machine is gone, most likely: then it is removed all the same, as where it cannot leave.
            message = f"the Pod of {step.node} did not end in {grace + _GONE_WITHIN:.0f} s and is left behind"
            await tell(self._platform, target, "PodLeftBehind", message, warning=True)

    async def _leave(self, step: NodeStep, agent: AgentTarget) -> None:
        """A node that cannot leave any more (its engine is down) is removed all the same."""
        try:
            await run_tool(self._platform, agent, ToolName.LEAVE, {}, timeout=_TOOL_TIMEOUT)
        except ApplicationError as error:
            await tell(self._platform, step.target, "LeaveFailed", f"{step.node}: {error}", warning=True)

    @activity.defn(name=Step.FORGET_NODE)
    async def forget_node(self, step: NodeStep) -> None:
        """The nodes that stay forget it, then what belonged to it goes."""
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        await tell_step(platform, target, f"{step.node}: forget")
        service = await self._owned(target, SERVICE, step.node)
        if service is not None:
            arguments = {"node": step.node, "address": str(service["spec"].get("clusterIP", ""))}
            for agent in self._stayers(want, step).values():
                await run_tool(self._platform, agent, ToolName.FORGET, arguments, timeout=_TOOL_TIMEOUT)
        for resource in self._belongings(want):
            live = await self._owned(target, resource, step.node)
            if live is not None:
                await platform.kubernetes.delete(resource, step.node, target.namespace)
        await update_metadata(
            platform, target.namespace, target.app, {"nodes": lambda before: metadata_edits.gone(before, {step.node})}
        )
        # Or a later node of the name would never get a writable role.
        await fencing.unmark(platform, target, step.node)
        await tell(platform, target, "NodeRemoved", f"{step.node} is gone")

    def _belongings(self, want: StepContext) -> tuple[Resource, ...]:
        """The Service last: its address is what the others know the node by, also for a repeat of the step."""
        if want.app.spec.deletion_policy == DeletionPolicy.DELETE:
            return (CONFIG_MAP, VOLUME_CLAIM, SERVICE)
        return (CONFIG_MAP, SERVICE)

    def _stayers(self, want: StepContext, step: NodeStep) -> Mapping[str, AgentTarget]:
        names = [node.name for node in want.desired.nodes if node.name != step.node]
        return reachable(self._platform, step.target, names)

    async def _owned(self, target: Target, resource: Resource, name: str) -> Manifest | None:
        live = await self._platform.kubernetes.get(resource, name, target.namespace)
        if live is not None:
            check_owner(target, live)
        return live
