"""``promote``: the chosen node becomes writable, the label follows, the others follow it, and exactly one is writable.

One that waits for a primary before it starts begins as one, by the platform's word, which agent 1 heeds in that start
only. The one before is held from then on: its engine starts when it is taken in again, and not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable, reports
from activities.agents.config_maps import rendered_config_maps
from activities.app.desired import StepContext
from activities.app.node_services import restored_addresses
from activities.cluster.apply import put
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.cluster.moving import Noted, end_left, end_moves, moves_of, note_move
from activities.cluster.status import tell_step
from activities.dependencies import permanent
from activities.roles import fencing
from activities.roles.blocked_replicas import waiting
from activities.roles.candidates import able_to_lead
from activities.roles.failover_base import ASK_WITHIN, FailoverBase
from activities.roles.role_moves import said, to_its_end, writable_roles
from api.failover import PromoteRequest, Takeover
from api.steps import ErrorType, Step
from api.tools import ToolName
from clients.agents import AgentTarget
from clients.resources import CONFIG_MAP
from render.desired.app import DesiredComponent

CANDIDATE_WITHIN = 5.0
"""Seconds in which a chosen node that does not run must be back."""
BACK_WITHIN = 15.0
"""The same once it may have been asked: its container may be started anew. Then the Failover ends, for what keeps its
Pod away may be for a Repair to put back."""


class Promote(FailoverBase):
    @activity.defn(name=Step.PROMOTE)
    async def promote(self, request: PromoteRequest) -> None:
        """Makes the chosen node writable and everybody follow it."""
        takeover, chosen = request.takeover, request.chosen
        want = await self.running(takeover.target)
        component = want.desired.component(takeover.component)
        await self.finish_giving_up(takeover, want, component)
        await tell_step(self.platform, takeover.target, f"{chosen.candidate} takes over from {takeover.source}")
        # Asked to become writable by an earlier attempt, it may be: then there is no way back to the old one.
        if fencing.successor_of(want.manifest, takeover.source) != chosen.candidate:
            await self._await_candidate(request, want, component)
        addresses = await restored_addresses(self.platform, takeover.target, want.desired)
        noted = fencing.note_successor(self.platform, takeover, chosen.candidate)
        await together([noted, self._hold(takeover, want, component, addresses)])
        await to_its_end(self._promote(request, component, addresses))
        if takeover.force:  # a person has decided whose writes count
            await end_left(self.platform, takeover.target, moves_of(want.manifest, component.name))
        message = f"{chosen.candidate} has taken over from {takeover.source}: {chosen.message}"
        await tell(self.platform, takeover.target, "FailedOver", message)

    async def _hold(
        self, takeover: Takeover, want: StepContext, component: DesiredComponent, addresses: Mapping[str, str]
    ) -> None:
        """Should the source return while its successor and the platform are down, it must not start by its own record:
        its successor would follow it. A ConfigMap is mounted before a container starts, so whoever returns has it."""
        node = next(each for each in component.nodes if each.name == takeover.source)
        live = await self.platform.kubernetes.get(CONFIG_MAP, node.name, takeover.target.namespace)
        known = {node.name: live} if live is not None else {}
        for _, manifest, changed in await rendered_config_maps(
            want.desired, component, [node], addresses, known, bootstrap=None, held=frozenset({node.name})
        ):
            if changed:
                await put(self.platform, manifest)

    async def _await_candidate(self, request: PromoteRequest, want: StepContext, component: DesiredComponent) -> None:
        """Until its engine runs, or waits and can begin as primary. Should it have ended just now, and not be one that
        can, it comes back only when there is a primary: then the source has to be it again. Raises NoCandidate."""
        takeover, candidate = request.takeover, request.chosen.candidate
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CANDIDATE_WITHIN
        while True:
            agents = reachable(self.platform, takeover.target, [candidate])
            if candidate in await reports(self.platform, agents, timeout=ASK_WITHIN):
                return
            waits = await waiting(self.platform, agents)
            if able_to_lead(self.judged(want, component, takeover, waits), lossy=True):
                return
            if loop.time() > deadline:
                message = f"{candidate} was chosen and has ended before it took over; {takeover.source} serves again"
                await self.give_up(takeover, want, component, message)
                raise permanent(ErrorType.NO_CANDIDATE, message)
            await asyncio.sleep(0.2)

    async def _promote(
        self, request: PromoteRequest, component: DesiredComponent, addresses: Mapping[str, str]
    ) -> None:
        takeover, candidate = request.takeover, request.chosen.candidate
        target = takeover.target
        others = [node.name for node in component.nodes if node.name != takeover.source]
        agents = await self._running_or_end(takeover, component, candidate, others)
        noted = await note_move(self.platform, target, component.name, takeover.source, candidate)
        await self.note_final(target, candidate)
        await self._make_writable(request, component, agents[candidate], addresses[takeover.source], noted)
        await self.labelled(target, component, candidate)
        await self.follow_all(target, component, {candidate, takeover.source}, addresses[candidate])
        holders = (await self.nodes(target, component, timeout=ASK_WITHIN, without=takeover.source)).holders()
        if holders != [candidate]:
            raise ApplicationError(f"after the move {said(holders)}; it should be {candidate} alone")
        # The source stays fenced until it has been taken in again.
        await end_moves(self.platform, target, [candidate])

    async def _running_or_end(
        self, takeover: Takeover, component: DesiredComponent, candidate: str, others: list[str]
    ) -> Mapping[str, AgentTarget]:
        """All that run, the candidate among them. Raises NoCandidate: there is no way back to the source any more, but
        nothing is to be waited for here."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BACK_WITHIN
        while candidate not in (agents := reachable(self.platform, takeover.target, others)):
            if loop.time() > deadline:
                message = f"{candidate} was chosen and does not run; it is looked for anew when it does"
                await self.end_without(takeover, component, message)
            await asyncio.sleep(0.2)
        return agents

    async def _make_writable(
        self, request: PromoteRequest, component: DesiredComponent, agent: AgentTarget, former: str, noted: Noted
    ) -> None:
        """``former``: address of the one before."""
        report = (await reports(self.platform, {agent.node: agent}, timeout=ASK_WITHIN)).get(agent.node)
        if report is None:
            report = await self.lead(agent, lambda each: bool(each.role))
            if report is None or not report.role:
                raise ApplicationError(f"{agent.node} was told to begin as primary and does not run yet")
            if report.role in writable_roles(component):
                return
        if request.fenced.by_lease and report.role not in writable_roles(component):
            # It may have found the old one, which nobody else reaches, and have renewed its lease by following it.
            await self.run(agent, ToolName.DETACH, {})
            if report.ready:
                await asyncio.sleep(fencing.LEASE_OUT_AFTER)
        await self.fail_over(noted, agent, former)
