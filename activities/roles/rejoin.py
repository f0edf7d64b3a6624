"""``readmit``: who was replaced as primary starts as a replica, and is trusted again.

Its engine may have run on, cut off: it is stopped first, so that what it has alone is set aside by its start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable
from activities.agents.config_maps import rendered_config_maps
from activities.agents.push import release
from activities.agents.request_ids import request_id
from activities.app.desired import StepContext
from activities.app.node_services import restored_addresses
from activities.cluster.events import tell
from activities.cluster.status import ConditionChange, StatusChange, tell_step
from activities.roles import fencing
from activities.roles.failover_base import ASK_WITHIN, START_WITHIN, FailoverBase
from activities.roles.role_moves import not_following, writable_roles
from api.app import Phase
from api.failover import ReadmitRequest
from api.steps import Step
from clients.agents import AgentError, AgentTarget
from clients.resources import CONFIG_MAP
from render.desired.app import DesiredComponent
from render.manifests.lists import revision_of

_ANSWERS_WITHIN = 3.0
_RELEASED_WITHIN = 20.0


class Rejoin(FailoverBase):
    @activity.defn(name=Step.READMIT)
    async def readmit(self, request: ReadmitRequest) -> str:
        """A sentence on what became of the source."""
        takeover = request.takeover
        target = takeover.target
        want = await self.running(target)
        component = want.desired.component(takeover.component)
        await tell_step(self.platform, target, f"{takeover.source}: take it in again")
        addresses = await restored_addresses(self.platform, target, want.desired)
        moved, without = takeover.source != request.primary, {takeover.source, request.primary}
        failures: dict[str, str] = {}
        if moved:
            # Also who could not be told when the role moved, and before the old one, which may take its time or fail.
            failures = await self.follow_all(target, component, without, addresses[request.primary])
        agents = reachable(self.platform, target, [takeover.source])
        agent = agents.get(takeover.source)
        if agent is None:
            message = f"{takeover.source} does not run now; it is taken in again when it is back"
        elif moved and not await self._answers(agent):
            # Not waited for: the role has moved, and the watcher tells when it is heard again.
            message = f"{takeover.source} cannot be reached now; it is taken in again when it is back"
        else:
            message = await self._take_in(request, want, component, agent, addresses)
        if not moved:
            failures = await self.follow_all(target, component, without, addresses[request.primary])
        if behind := not_following(failures, request.primary):
            message = f"{message}; {behind}"
            await tell(self.platform, target, "DoesNotFollow", behind, warning=True)
        if request.lost:
            await tell(self.platform, target, "WritesSetAside", f"{takeover.source}: {request.lost}", warning=True)
        await tell(self.platform, target, "FailoverCompleted", message)
        change = StatusChange(
            # Whether more is to be done, the next look at the App says.
            phase=Phase.UPDATING if want.live.deployed is not None else Phase.DEPLOYING,
            message=message,
            operation={"state": "Completed"},
            conditions={"Progressing": ConditionChange(False, "Settled")},
        )
        await tell_step(self.platform, target, "", change)
        return message

    async def _release(
        self, agent: AgentTarget, want: StepContext, component: DesiredComponent, addresses: Mapping[str, str]
    ) -> None:
        """It is held where another was to take over (``activities.roles.promote``)."""
        node = next(each for each in component.nodes if each.name == agent.node)
        free = replace(want.desired, replaced=want.desired.replaced - {node.name})
        live = await self.platform.kubernetes.get(CONFIG_MAP, node.name, want.desired.namespace)
        known = {node.name: live} if live is not None else {}
        rendered = await rendered_config_maps(free, component, [node], addresses, known, bootstrap=None)
        asked = request_id("release", node.name)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _RELEASED_WITHIN
        for _, manifest, changed in rendered:
            while True:
                try:
                    has = (await self.platform.agents.status(agent, timeout=_ANSWERS_WITHIN)).revision
                    if changed or has < revision_of(manifest):
                        await release(self.platform, agent, manifest, asked)
                    break
                except AgentError as error:  # agent 2 of a Pod that is just back comes after agent 1
                    if loop.time() > deadline:
                        raise ApplicationError(f"{agent.node} cannot be released yet: {error}") from error
                    await asyncio.sleep(0.3)

    async def _answers(self, agent: AgentTarget) -> bool:
        try:
            await self.platform.agents.status(agent, timeout=_ANSWERS_WITHIN)
        except AgentError:
            return False
        return True

    async def _take_in(
        self,
        request: ReadmitRequest,
        want: StepContext,
        component: DesiredComponent,
        agent: AgentTarget,
        addresses: Mapping[str, str],
    ) -> str:
        source, primary, target = request.takeover.source, request.primary, request.takeover.target
        if source == primary:
            await self._release(agent, want, component, addresses)
            # One that took over and ended before it had saved does not begin by its own record.
            writable = writable_roles(component)
            report = await self.lead(agent, lambda each: each.role in writable)
            if report is None or report.role not in writable:
                said = report.message if report is not None and report.message else "it does not say why"
                raise ApplicationError(f"{source} does not become primary again: {said}; waiting until it does")
            await fencing.unmark(self.platform, target, source)
            return f"{source} is primary again"
        nodes = await self.nodes(target, component, timeout=ASK_WITHIN)
        if source in nodes.holders():
            await self._stop(agent)
        await self._release(agent, want, component, addresses)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_WITHIN
        await self.start(agent)
        while True:
            nodes = await self.nodes(target, component, timeout=ASK_WITHIN)
            report = nodes.reports.get(source)
            if report is not None and report.role:
                # Also where it follows already: it may hold a fence of its own, and clients that took it for writable.
                await self.follow(agent, addresses[primary])
                if report.role not in nodes.writable:
                    break
            if not reachable(self.platform, target, [primary]):
                # Not waited for: no Repair, which would make its Pod anew, interrupts a Failover.
                return f"{primary} does not run now; {source} is taken in again when it does"
            if loop.time() > deadline:
                raise ApplicationError(f"{source} does not become a replica of {primary}; waiting until it does")
            await asyncio.sleep(0.3)
        await fencing.unmark(self.platform, target, source)
        return f"{source} follows {primary}"

    async def _stop(self, agent: AgentTarget) -> None:
        asked = request_id("stop", agent.node)
        try:
            await self.platform.agents.stop(agent, asked, grace=fencing.STOP_GRACE, timeout=START_WITHIN)
        except AgentError as error:
            raise ApplicationError(f"{agent.node} does not stop yet: {error}") from error
