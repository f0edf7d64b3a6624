"""What replacing a lost primary and taking it in again have in common, and the way back where nobody can take over.

No Repair interrupts a Failover, so a Failover waits for nothing that only a Repair brings back. Services of nodes it
puts back itself (``restored_addresses``): without their addresses nobody can be told anything. For a node that does not
run, whatever somebody has deleted or spoiled of it (its Deployment, ConfigMap, claim, a Secret, its Pod's labels), it
waits a moment and ends then: a Repair has its turn, and the next Failover goes on by what is noted, with a proof of its
own that the source acknowledges nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable, reports
from activities.agents.request_ids import request_id
from activities.agents.run_tool import run_tool, told_position
from activities.app.desired import StepContext, begun, stage
from activities.app.node_services import restored_addresses
from activities.app.observed import observe
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.cluster.moving import described, moves_of
from activities.cluster.status import tell_step
from activities.dependencies import permanent
from activities.roles import fencing
from activities.roles.blocked_replicas import Statuses, keep_from_following, start_again, waiting
from activities.roles.candidates import Waiting, judged, lossy, unheard
from activities.roles.role_moves import RoleMover, not_following, writable_roles
from api.failover import Takeover
from api.operations import OperationType
from api.steps import ErrorType, Target
from api.tools import LONGEST, ToolName
from clients.agents import AgentError, AgentTarget
from language.positions import Position
from proto import agent_pb2
from render.desired.app import DesiredComponent
from render.validation.app import parse_app

ASK_WITHIN = 1.0
"""Seconds: of several nodes one or two may not answer at all, and clients wait."""
START_WITHIN = 60.0
_DETACH_WITHIN = LONGEST[ToolName.DETACH]
"""Seconds, no grace with them: who has not stopped following by then is asked again, or done without; clients wait."""


@dataclass(frozen=True)
class Detached:
    """Replicas that follow nobody any more: ``positions`` of those that run, which do not move now; ``waiting``: those
    that wait for a primary, and were stopped. ``refused``: why others did not, sentences."""

    positions: Mapping[str, Position]
    waiting: Mapping[str, agent_pb2.ProcessStatus]
    refused: Sequence[str]

    def __len__(self) -> int:
        return len(self.positions) + len(self.waiting)


class FailoverBase(RoleMover):
    async def running(self, target: Target) -> StepContext:
        """The App as it runs, whatever its spec says by now: a failover does not wait for that."""
        live = await observe(self.platform, target.namespace, target.app, target.uid)
        manifest = live.manifest
        app, problems = parse_app(manifest)
        try:
            if app is None:
                raise ValueError("; ".join(map(str, problems)))
            if live.deployed is None:
                return StepContext(manifest, app, await begun(self.platform, app, live), live)
            return StepContext(manifest, app, await stage(self.platform, app, live, OperationType.REPAIR), live)
        except ValueError as error:  # a topology that its plugin does not have, say
            message = f"App {target.namespace}/{target.app} cannot be read: {error}"
            raise permanent(ErrorType.NO_CANDIDATE, message) from error

    async def detach(self, takeover: Takeover, component: DesiredComponent) -> Detached:
        others = [node.name for node in component.nodes if node.name != takeover.source]
        agents = reachable(self.platform, takeover.target, others)
        positions: dict[str, Position] = {}
        waiting: dict[str, agent_pb2.ProcessStatus] = {}
        refused = [f"{name} does not run" for name in others if name not in agents]

        async def detach(agent: AgentTarget) -> None:
            try:
                result = await run_tool(self.platform, agent, ToolName.DETACH, {}, timeout=_DETACH_WITHIN) or {}
                positions[agent.node] = told_position(agent.node, ToolName.DETACH, result.get("position", ""))
            except ApplicationError as error:
                status = await keep_from_following(self.platform, agent)
                if status is None:
                    refused.append(error.message)
                else:
                    waiting[agent.node] = status

        await together(detach(agent) for agent in agents.values())
        return Detached(positions, waiting, refused)

    def judged(
        self, want: StepContext, component: DesiredComponent, takeover: Takeover, waits: Statuses
    ) -> dict[str, Waiting]:
        replaced = {each["node"] for each in fencing.fenced_nodes(want.manifest)}
        return judged(waits, takeover, writable_roles(component), replaced, int(time.time() * 1000))

    async def follow_all(
        self, target: Target, component: DesiredComponent, without: Collection[str], primary: str
    ) -> dict[str, str]:
        """``primary``: address. Who cannot be told now is not waited for: taking the old one in tells them again, and
        a node that starts finds its primary by itself. Whoever was stopped so that he follows nobody starts again.
        Answers as ``follow_each``."""
        names = [node.name for node in component.nodes if node.name not in without]
        agents = reachable(self.platform, target, names)
        failures: dict[str, str] = {}

        async def follow() -> None:
            failures.update(await self.follow_each(agents.values(), primary))

        await together([follow(), start_again(self.platform, target, agents)])
        for name, why in failures.items():
            activity.logger.warning("%s does not follow %s yet: %s", name, primary, why)
        return failures

    async def start(self, agent: AgentTarget, *, lead: bool = False, permit: bool = False) -> agent_pb2.ProcessStatus:
        """``lead``: as primary, where it finds no other. ``permit``: as the primary that it was, where it finds no
        other. Either is the platform's word that it has the lease from now on."""
        asked = request_id("lead" if lead else "permit" if permit else "start", agent.node)
        if lead or permit:
            with suppress(AgentError):  # agent 2 may come later: its engine is fenced until the watcher renews
                await self.platform.agents.renew_lease(agent, timeout=ASK_WITHIN)
        try:
            return await self.platform.agents.start(agent, asked, timeout=START_WITHIN, lead=lead, permit=permit)
        except AgentError as error:
            raise ApplicationError(f"{agent.node} does not start again yet: {error}") from error

    async def lead(
        self, agent: AgentTarget, wanted: Callable[[agent_pb2.RoleReport], bool]
    ) -> agent_pb2.RoleReport | None:
        """Starts it with the word to begin as primary. Its first ``wanted`` report, or its last one after
        ``START_WITHIN``, None where it says nothing."""
        await self.start(agent, lead=True)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_WITHIN
        while True:
            report = (await reports(self.platform, {agent.node: agent}, timeout=ASK_WITHIN)).get(agent.node)
            if (report is not None and wanted(report)) or loop.time() > deadline:
                return report
            await asyncio.sleep(0.2)

    async def give_up(self, takeover: Takeover, want: StepContext, component: DesiredComponent, why: str) -> None:
        """The source is to serve again, and the others to follow it: better the old primary than none.

        From the moment on in which its agent may have been told to start it there is no way forward: a repeat only ends
        what is begun (``finish_giving_up``). It stays fenced until then. Where it does not run now, or its role was on
        its way to a node that may have it: raises NoCandidate, and the next Failover looks anew for who could take
        over, once it has proved anew that the source has stopped.
        """
        agents = reachable(self.platform, takeover.target, [takeover.source])
        if other := await self._may_have_the_role(takeover, want, component):
            await self.end_without(takeover, component, f"{why}; {takeover.source} does not serve again: {other}")
        if takeover.source not in agents:
            message = f"{why}; {takeover.source} does not run now, and serves again when it does"
            await self.end_without(takeover, component, message)
        await tell_step(self.platform, takeover.target, _serving(takeover, why))
        # One that took over and ended before it had saved would lack what it acknowledged: as primary only if it may.
        await self.start(agents[takeover.source], lead=lossy(want, takeover), permit=True)
        await fencing.unmark(self.platform, takeover.target, takeover.source)
        addresses = await restored_addresses(self.platform, takeover.target, want.desired)
        failures = await self.follow_all(takeover.target, component, {takeover.source}, addresses[takeover.source])
        if behind := not_following(failures, takeover.source):
            await tell(self.platform, takeover.target, "DoesNotFollow", behind, warning=True)

    async def _may_have_the_role(self, takeover: Takeover, want: StepContext, component: DesiredComponent) -> str:
        """Who else, by what is noted, as a sentence; empty for nobody. Also asked for by force, as long as nobody has
        said by a name whose writes count: beside such a node the source would be a second primary."""
        source, moves = takeover.source, moves_of(want.manifest, component.name)
        if not moves:
            return ""
        nodes = await self.nodes(takeover.target, component, timeout=ASK_WITHIN, without=source)
        heard = {name for name, report in nodes.reports.items() if report.role}
        silent = {name: agent for name, agent in nodes.agents.items() if name not in heard}
        stand = await waiting(self.platform, silent)
        known = heard | {*stand} | fencing.stopped(want.manifest)
        if (found := unheard(moves, source, [node.name for node in component.nodes], known)) is not None:
            return f"{described(found[0])}, and {found[1]} does not answer and may be primary"
        for move in moves:
            status = stand.get(move.candidate)
            if move.candidate in nodes.holders() or (status is not None and status.volume.role in nodes.writable):
                return f"{described(move)}, and {move.candidate} has it, or had it last"
        return ""

    async def end_without(self, takeover: Takeover, component: DesiredComponent, message: str) -> NoReturn:
        """Raises NoCandidate; the replicas that were stopped so that they follow nobody start again first."""
        names = [node.name for node in component.nodes if node.name != takeover.source]
        await start_again(self.platform, takeover.target, reachable(self.platform, takeover.target, names))
        raise permanent(ErrorType.NO_CANDIDATE, message)

    async def finish_giving_up(self, takeover: Takeover, want: StepContext, component: DesiredComponent) -> None:
        """Raises NoCandidate where an earlier attempt has begun to give up."""
        step = str(((want.manifest.get("status") or {}).get("operation") or {}).get("step") or "")
        mark = _serving(takeover, "")
        if not step.startswith(mark):
            return
        why = step.removeprefix(mark)
        await self.give_up(takeover, want, component, why)
        raise permanent(ErrorType.NO_CANDIDATE, why)


def _serving(takeover: Takeover, why: str) -> str:
    return f"{takeover.source} serves again: {why}"
