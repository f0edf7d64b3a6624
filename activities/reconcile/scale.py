"""``planScale`` and ``joinNodes``: which nodes come and which go, and how new ones are taken in.

New nodes come up as in a Deploy, then ``join``. How a node goes is told in ``activities.reconcile.remove_node``. An
interrupted Scale goes on by the Groups' members: those ``adding`` and ``deleting`` are what it has begun.
"""

from __future__ import annotations

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable
from activities.agents.node_tools import node_tools
from activities.app.desired import desired_for
from activities.app.wait_ready import NodeWaiter
from activities.cluster.status import tell_step
from activities.dependencies import Platform, permanent
from activities.tools.run_to_end import on_nodes, tried_often_enough
from api.group import MemberState
from api.steps import ComponentPlan, ComponentStep, ErrorType, GroupPlan, RollNode, ScalePlan, Step, Target
from api.tools import ToolName


class Scale:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.PLAN_SCALE)
    async def plan_scale(self, target: Target) -> ScalePlan:
        """By the Groups' members: those ``adding`` and ``deleting`` are what an interrupted Scale has begun."""
        want = await desired_for(self._platform, target)
        state = want.live.state
        normal = {node.name for node in state.nodes(MemberState.NORMAL)}
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
            RollNode(node.name, node.component, node.group)
            for node in state.nodes(MemberState.DELETING)
            if node.name not in known
        ]
        # The highest ordinal first, as everybody expects of Kubernetes.
        removing.sort(key=lambda node: (node.component, node.group, -int(node.name.rpartition("-")[2])))
        return ScalePlan(adding, removing, [component.name for component in want.desired.components])

    @activity.defn(name=Step.JOIN_NODES)
    async def join_nodes(self, step: ComponentStep) -> None:
        """Runs ``join`` on every node of the component that runs: it does no harm where it is done. A new node that
        does not run has not joined."""
        with tried_often_enough():
            await self._join(step)

    async def _join(self, step: ComponentStep) -> None:
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        component = want.desired.component(step.component)
        await tell_step(platform, target, f"{component.name}: join")
        tool = (await node_tools(platform, want.desired, component, component.nodes[0])).get(ToolName.JOIN)
        if tool is None:
            return
        agents = reachable(platform, target, [node.name for node in component.nodes])
        new = {node.name for node in want.live.state.nodes(MemberState.ADDING)}
        absent = [node.name for node in component.nodes if node.name in new and node.name not in agents]
        if absent:
            await NodeWaiter(platform, target, f"{component.name}: join", absent).keep()
            raise ApplicationError(f"{', '.join(absent)} does not run, so it cannot join yet")
        failed = await on_nodes(platform, target, list(agents), ToolName.JOIN, tool, {})
        if failed and tool.poll is not None:  # it was waited for long enough
            raise permanent(ErrorType.TOOL_REFUSED, "; ".join(failed))
        if failed:
            raise ApplicationError("; ".join(failed), type=ErrorType.TOOL_REFUSED)
