"""What a plugin is asked around the planned stop of a node: ``safeToStop``, ``beforeStop``, ``settled``, ``afterRoll``.

1. Before the stop: ``safeToStop`` until it succeeds (in-sync replicas, quorum), then ``beforeStop``, which gives away
   what others can take over at once (leadership), then ``safeToStop`` again, as that may have taken a while.
2. When the node serves again: ``settled`` until it succeeds. The next node's turn comes then, and not before.
3. When a component's last node is done: ``afterRoll`` on one of them.
A tool that fails says "not yet", and why: the operation waits and its status has the sentence. The wait has no end of
its own, as no platform knows how long an engine copies; an operator may abort. A node that has not served for a while
is stopped unasked: it has nothing to give away, and the stop may be its remedy. A moment counts for nothing: a busy
engine misses a probe just when it may not be stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import agent_of, node_states
from activities.agents.node_state import NodeState
from activities.agents.node_tools import node_tools, own_bound
from activities.agents.run_tool import run_tool
from activities.app.desired import desired_for
from activities.cluster.events import tell
from activities.cluster.status import tell_step
from activities.dependencies import Platform
from activities.interceptors.retry_status import tell_going_on, tell_waiting
from activities.tools.run_to_end import run_to_end, tried_often_enough
from api.steps import ComponentStep, ErrorType, Step, Target
from api.tools import Tool, ToolName
from render.desired.app import DesiredApp, DesiredComponent, DesiredNode

ASK_EVERY = 2.0
"""Seconds between two questions."""
_TOLD_AFTER = 5.0
"""Seconds for which the answer is no before people are told: most engines say no for a moment."""
_DOES_NOT_SERVE_AFTER = 30.0
"""Seconds."""
_ONE_BY_ONE = frozenset({ToolName.SAFE_TO_STOP, ToolName.SETTLED})


@dataclass(frozen=True)
class Clearance:
    """Around the stop of one node."""

    platform: Platform
    target: Target
    node: str
    tools: Mapping[str, Tool]

    @property
    def asks(self) -> bool:
        """Whether the plugin has a word in it before a stop."""
        return bool({ToolName.SAFE_TO_STOP, ToolName.BEFORE_STOP} & set(self.tools))

    async def may_stop(self) -> None:
        """Returns when the node may be stopped, or does not serve."""
        serves = await self._asked(ToolName.SAFE_TO_STOP, f"{self.node}: may it stop?", gives_up=True)
        if serves and ToolName.BEFORE_STOP in self.tools:
            await self._asked(ToolName.BEFORE_STOP, f"{self.node}: prepare its stop", gives_up=True)
            await self._asked(ToolName.SAFE_TO_STOP, f"{self.node}: may it stop?", gives_up=True)

    async def has_settled(self) -> None:
        """Returns when the component has recovered, by the word of the node, which serves again."""
        await self._asked(ToolName.SETTLED, f"{self.node}: wait until its component has recovered", gives_up=False)

    async def _asked(self, name: ToolName, doing: str, *, gives_up: bool) -> bool:
        """False where there has been nobody to ask for a while."""
        tool = self.tools.get(name)
        if tool is None:
            return True

        loop = asyncio.get_running_loop()
        served = loop.time()

        async def ask() -> bool:
            nonlocal served
            state = _state(self.platform, self.target, self.node)
            if not state.ready or not state.address:
                if gives_up and loop.time() - served >= _DOES_NOT_SERVE_AFTER:
                    return False
                raise ApplicationError(f"{self.node} does not serve")
            served = loop.time()
            agent = agent_of(self.target, state)
            await run_tool(self.platform, agent, name, {}, timeout=own_bound(tool))
            return True

        return await _until_yes(self.platform, self.target, doing, ask)


async def clearance(
    platform: Platform,
    target: Target,
    desired: DesiredApp,
    component: DesiredComponent,
    node: DesiredNode,
    addresses: Mapping[str, str] | None = None,
) -> Clearance:
    """``addresses``: as for ``node_tools``."""
    return Clearance(platform, target, node.name, await node_tools(platform, desired, component, node, addresses))


def one_by_one(tools: Collection[str]) -> bool:
    """Whether two nodes with these tools are never stopped together: each is asked about a stop of itself alone."""
    return bool(_ONE_BY_ONE & set(tools))


async def _until_yes(platform: Platform, target: Target, doing: str, ask: Callable[[], Awaitable[bool]]) -> bool:
    loop = asyncio.get_running_loop()
    began, told = loop.time(), ""
    while True:
        try:
            served = await ask()
            break
        except ApplicationError as error:
            reason = error.message
        if loop.time() - began >= _TOLD_AFTER and reason != told:
            if not told:
                await tell(platform, target, "Waiting", reason, warning=True)
            await tell_waiting(platform, target, doing, reason)
            told = reason
        await asyncio.sleep(ASK_EVERY)
    if told:
        await tell_going_on(platform, target, doing)
    return served


def _state(platform: Platform, target: Target, node: str) -> NodeState:
    return node_states(platform, target.namespace, target.app, [node])[node]


class AfterRoll:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.AFTER_ROLL)
    async def after_roll(self, step: ComponentStep) -> None:
        """Runs the tool on one node that serves. Raises ToolRefused where it fails: an operator decides."""
        with tried_often_enough():
            await self._after_roll(step)

    async def _after_roll(self, step: ComponentStep) -> None:
        platform, target = self._platform, step.target
        desired = (await desired_for(platform, target)).desired
        component = desired.component(step.component)
        await tell_step(platform, target, f"{component.name}: after the last node")
        await platform.deployments.synced(30)
        await platform.pods.synced(30)
        states = node_states(platform, target.namespace, target.app, [node.name for node in component.nodes])
        serving = [node for node in component.nodes if states[node.name].ready and states[node.name].address]
        if not serving:
            raise ApplicationError(f"no node of {component.name} serves", type=ErrorType.TOOL_REFUSED)
        tool = (await node_tools(platform, desired, component, serving[0])).get(ToolName.AFTER_ROLL)
        if tool is not None:
            await run_to_end(platform, target, serving[0].name, ToolName.AFTER_ROLL, tool, {})
