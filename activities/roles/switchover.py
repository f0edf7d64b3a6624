"""``planMove`` and ``switchover``: a writable role goes from one living node to another, and no write is lost.

1. ``planMove`` names both nodes; so a repeat of ``switchover`` knows which way it was going.
2. The candidate prepares itself (``prepareFailover``), while writes still flow.
3. The source is fenced: it acknowledges no write from then on. Its position is what the candidate must reach.
4. The candidate becomes writable. Only while the fence surely still holds: otherwise the source would acknowledge
   writes that the candidate never sees. From here on nothing interrupts the step.
5. When the Service's label has followed, the source is told to follow and its clients are disconnected; they find the
   new one. Then the others: all are asked, whatever one of them says, and the step fails with the names of those that
   do not follow.
6. Exactly one node is writable, or the step fails and says who is.
Any failure before 4 lifts the fence and leaves everything as it was. So does a candidate whose agent refuses before its
tool runs, and one whose ``failover`` fails and says that nothing comes of it (a step's ``asks``). Where it has asked,
of a Sentinel say, or does not tell, the candidate is looked at for a while: if it has taken over, the step goes on.
Else the fence stays until it lifts itself, or until a later attempt: what was asked for may still come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.addresses import node_addresses
from activities.agents.agent_targets import could_not_write, node_states
from activities.agents.node_tools import bound, node_tools
from activities.agents.run_tool import run_tool, told_position
from activities.app.desired import StepContext, desired_for
from activities.cluster.events import tell
from activities.cluster.moving import Noted, end_left, end_moves, may_be_under_way, moves_of, note_move
from activities.cluster.state import update_deployed
from activities.cluster.status import tell_step
from activities.dependencies import permanent
from activities.roles.drain import closed_machines, machine
from activities.roles.role_moves import (
    Nodes,
    NothingAskedError,
    RoleMover,
    component_of,
    how_it_ended_is_known,
    not_following,
    said,
    to_its_end,
)
from api.app import RoleMove
from api.operations import OperationType
from api.steps import ErrorType, Move, MoveRequest, Step
from api.tools import LONGEST, ToolName
from clients.agents import AgentTarget
from language.positions import Position, furthest
from proto import agent_pb2
from render.desired.app import DesiredComponent
from render.desired.state_edits import stayed_writable
from render.manifests.deployments import version_of

FENCE_SECONDS = 60
"""The fence lifts itself after this, should all of the platform be gone. Longer than it takes to notice that a worker
died (20 s) and to end its switchover elsewhere: else the source would acknowledge writes beside the candidate."""
PROMOTE_WITHIN = 10.0
"""Seconds after the fence within which the candidate must be level and the promotion begin."""
ASK_WITHIN = FENCE_SECONDS - 2 * LONGEST[ToolName.FAILOVER]
"""Seconds after the fence within which the candidate may still be asked, whatever has held the step up since: it has
its time to take over, and the source is fenced until then."""
_ATTEMPTS = 6
"""Before the role has moved. Afterwards there is no end of trying: two nodes may hold it until the source follows."""
_FOLLOW_ATTEMPTS = 2 * _ATTEMPTS
"""Then the role has moved for two minutes, and an operator decides about replicas that do not follow. Not about the
source: until it follows it may take itself for writable."""
_LEVEL_EVERY = 0.05
_COMES_WITHIN, _COMES_EVERY = 3.0, 0.3
"""Seconds, of a candidate whose ``failover`` has failed."""
_CANDIDATE_WITHIN = 60.0


@dataclass(frozen=True)
class Fence:
    """A source that acknowledges no write. ``until``: by the loop's clock, when the candidate must have been asked."""

    noted: Noted
    until: float


class Switchover(RoleMover):
    @activity.defn(name=Step.PLAN_MOVE)
    async def plan_move(self, request: MoveRequest) -> Move:
        """Who gives the role to whom. Raises NoCandidate where nobody can take it without losing data."""
        target = request.target
        want = await desired_for(self.platform, target)
        component = component_of(want.desired, request.component)
        nothing = Move(target, component.name)
        nodes = await self.nodes(request.target, component)
        holders = nodes.holders()
        if not nodes.writable:
            return nothing
        if request.node and request.node not in holders:
            report = nodes.reports.get(request.node)
            if len(holders) == 1 or (report is not None and report.role):
                return nothing
            # To be rolled, a node that does not run holds nothing; to be removed, it may have the newest data. One that
            # runs and names no role is busy, with a long script, say: it may be the holder.
            down = request.node not in nodes.agents or (
                report is not None and report.process != agent_pb2.ProcessState.RUNNING
            )
            if down and target.operation != OperationType.SCALE:
                return nothing
            if not await self._can_move(want, component, request.node):
                return nothing
            raise ApplicationError(f"{request.node} does not say whether it is writable; it is not touched until then")
        if request.candidate in holders:
            return Move(target, component.name, message=f"{request.candidate} is writable already")
        if len(holders) != 1:
            raise ApplicationError(f"{component.name}: {said(holders)}; waiting until exactly one is")
        if not await self._can_move(want, component, holders[0]):
            return Move(target, component.name, message=f"{component.name} has no other node that could take over")
        candidate = await self._candidate(request, component, holders[0])
        return Move(target, component.name, holders[0], candidate)

    async def _can_move(self, want: StepContext, component: DesiredComponent, name: str) -> bool:
        """Whether the topology has anything to move a role with: a single node has not. So may be what a node has that
        is on its way out already."""
        node = next((each for each in component.nodes if each.name == name), None)
        return node is None or ToolName.FENCE in await node_tools(self.platform, want.desired, component, node)

    async def _candidate(self, request: MoveRequest, component: DesiredComponent, source: str) -> str:
        """Of the ready nodes the one with the highest position, on a machine that takes Pods before one on a cordoned
        machine; one that was chosen by name must be ready too. A Scale takes none that it removes next."""
        names = {node.name for node in component.nodes}
        scales = request.target.operation == OperationType.SCALE
        going = {node.name for group in component.groups for node in group.leaving} if scales else set()
        if request.candidate and request.candidate not in names - {source}:
            others = ", ".join(sorted(names - {source})) or "none"
            message = f"{request.candidate} is no node that could take over; those of {component.name} are {others}"
            raise permanent(ErrorType.NO_CANDIDATE, message)
        # Away from one node by a Switchover is off its machine: onto another that is emptied it would go for nothing.
        off = request.target.operation == OperationType.SWITCHOVER and bool(request.node)
        deadline = asyncio.get_running_loop().time() + _CANDIDATE_WITHIN
        while True:
            nodes = await self.nodes(request.target, component)
            closed = await self._closed(request, component)
            unable = _unable(request, source, nodes.reports)
            able = {
                name: report
                for name, report in nodes.reports.items()
                if report.role not in nodes.writable and request.candidate in ("", name) and name not in going
                if name not in unable
            }
            ready = {
                name: told_position(name, ToolName.GET_ROLE, report.position)
                for name, report in able.items()
                if report.ready and not report.unsaved
            }
            chosen = preferred(ready, closed, only_open=off)
            if chosen:
                return chosen
            if asyncio.get_running_loop().time() > deadline:
                whys = {n: r.message or r.unsaved for n, r in sorted(nodes.reports.items()) if not r.ready or r.unsaved}
                whys |= {n: f"it could not take writes: {why}" for n, why in unable.items()}
                whys |= dict.fromkeys(sorted(closed & set(ready)), "its machine is cordoned")
                whys |= dict.fromkeys(sorted(going - {source}), "it is to be removed too")
                why = "; ".join(f"{name}: {said}" for name, said in whys.items())
                message = f"no node of {component.name} is ready to take over from {source}; {why or 'none answers'}"
                if any(report.unsaved for report in able.values()):
                    raise ApplicationError(message)  # it will have saved some time: to be asked again
                raise permanent(ErrorType.NO_CANDIDATE, message)
            await asyncio.sleep(1.0)

    async def _closed(self, request: MoveRequest, component: DesiredComponent) -> frozenset[str]:
        """Names of nodes on machines that take no Pods any more."""
        names = [node.name for node in component.nodes]
        states = node_states(self.platform, request.target.namespace, request.target.app, names)
        closed = await closed_machines(self.platform, map(machine, states.values()))
        return frozenset(name for name, state in states.items() if machine(state) in closed)

    @activity.defn(name=Step.SWITCHOVER)
    async def switchover(self, move: Move) -> None:
        target = move.target
        want = await desired_for(self.platform, target)
        component = want.desired.component(move.component)
        await tell_step(self.platform, target, f"{move.source}: move its role to {move.candidate}")
        nodes = await self.nodes(move.target, component)
        moved = move.candidate in nodes.holders()
        if not moved:
            await self._bounded(move, nodes, moves_of(want.manifest, component.name))
        needed = {move.candidate} if moved else {move.source, move.candidate}
        missing = sorted(needed - set(nodes.reports))
        if missing:
            raise ApplicationError(f"{', '.join(missing)} does not answer; waiting until it does")
        addresses = await node_addresses(self.platform, want.desired)
        fence = None if moved else await self._fence(move, nodes)
        await to_its_end(self._move(move, component, nodes, addresses, fence))
        await tell(self.platform, target, "Switchover", f"{move.candidate} has taken over from {move.source}")

    async def _move(
        self,
        move: Move,
        component: DesiredComponent,
        nodes: Nodes,
        addresses: Mapping[str, str],
        fence: Fence | None,
    ) -> None:
        """``fence``: None where an earlier attempt has moved the role."""
        await self.note_final(move.target, move.candidate)
        if fence is not None:
            if asyncio.get_running_loop().time() > fence.until:  # an API server that hangs, say
                await self._undo_fence(move, nodes.agents[move.source], fence.noted)
                message = f"{move.candidate} could not be asked while {move.source} was surely fenced"
                raise ApplicationError(f"{message}; nothing was moved")
            try:
                await self.fail_over(fence.noted, nodes.agents[move.candidate], addresses[move.source])
            except NothingAskedError:
                if fence.noted.first:  # else an earlier attempt may have asked it
                    await self._undo_fence(move, nodes.agents[move.source], fence.noted)
                raise
            except ApplicationError:
                if not await self._has_taken_over(move, component):
                    raise
        await self.labelled(move.target, component, move.candidate)
        failures = await self._follow(move, nodes, addresses[move.candidate])
        await self._verify(move, component)
        if move.source not in failures:
            await end_moves(self.platform, move.target, [move.candidate])
        if behind := not_following(failures, move.candidate):
            message = f"{move.candidate} has taken over from {move.source}, but {behind}"
            if move.source not in failures and activity.info().attempt > _FOLLOW_ATTEMPTS:
                raise permanent(ErrorType.TOOL_REFUSED, message)
            raise ApplicationError(message)

    async def _has_taken_over(self, move: Move, component: DesiredComponent) -> bool:
        """Though ``failover`` has failed: what it asked for may have come meanwhile, or come soon."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _COMES_WITHIN
        while True:
            if move.candidate in (await self.nodes(move.target, component)).holders():
                return True
            if loop.time() > deadline:
                return False
            await asyncio.sleep(_COMES_EVERY)

    async def _bounded(self, move: Move, nodes: Nodes, moves: Sequence[RoleMove]) -> None:
        """Until the role has moved there is an end of trying; then an operator decides, and the way back is open.
        ``moves``: those that are noted. One of which the candidate may still be at it stays so; a look ends it."""
        if activity.info().attempt <= _ATTEMPTS:
            return
        if nodes.holders() == [move.source]:
            await self._reopen(move)
        message = f"{move.candidate} did not take over from {move.source} in {_ATTEMPTS} attempts"
        if silent := ", ".join(sorted({move.source, move.candidate} - set(nodes.reports))):
            message = f"{message}; {silent} does not answer"
        now, noted = datetime.now(UTC), [each for each in moves if each.candidate == move.candidate]
        names = {move.source, move.candidate}
        if all(not may_be_under_way(each, now) and how_it_ended_is_known(each, names, nodes) for each in noted):
            await end_left(self.platform, move.target, noted)
            message = f"{message}; nothing was moved"
        raise permanent(ErrorType.NO_CANDIDATE, message)

    async def _reopen(self, move: Move) -> None:
        version = version_of(self.platform.deployments.get(move.target.namespace, move.source))
        await update_deployed(self.platform, move.target, lambda before: stayed_writable(before, version))

    async def _fence(self, move: Move, nodes: Nodes) -> Fence:
        """Returns with the source fenced and the candidate level with it; a failure leaves neither. The move is noted
        before the fence: a source that ends behind it is not to begin again beside its successor."""
        source, candidate = nodes.agents[move.source], nodes.agents[move.candidate]
        await run_tool(
            self.platform, candidate, ToolName.PREPARE_FAILOVER, {}, timeout=bound(ToolName.PREPARE_FAILOVER)
        )
        noted = await note_move(self.platform, move.target, move.component, move.source, move.candidate)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            fenced = await self.run(source, ToolName.FENCE, {"seconds": str(FENCE_SECONDS)})
            level = told_position(source.node, ToolName.FENCE, fenced.get("position", ""))
            await self._level(candidate, level, began + PROMOTE_WITHIN)
        except BaseException:
            # Shielded: a cancelled step must not leave the clients waiting for the fence's own end.
            await asyncio.shield(self._undo_fence(move, source, noted))
            raise
        return Fence(noted, began + ASK_WITHIN)

    async def _level(self, candidate: AgentTarget, position: Position, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            report = await self.platform.agents.role(candidate, timeout=3.0)
            reached = told_position(candidate.node, ToolName.GET_ROLE, report.position)
            if not position and reached:
                message = "fence gives no position, so nobody knows whether the candidate has all of its data"
                raise ApplicationError(f"{message}; nothing was moved")
            if reached.reaches(position):
                return
            if loop.time() > deadline:
                stands = reached.beside(position)
                raise ApplicationError(f"{candidate.node} is {stands} and does not catch up; nothing was moved")
            await asyncio.sleep(_LEVEL_EVERY)

    async def _undo_fence(self, move: Move, source: AgentTarget, noted: Noted) -> None:
        await self._unfence(source)
        if noted.first:  # nobody has asked the candidate yet
            await end_moves(self.platform, move.target, [move.candidate])

    async def _unfence(self, source: AgentTarget) -> None:
        try:
            await self.run(source, ToolName.UNFENCE, {})
        except ApplicationError:
            return  # it lifts itself

    async def _follow(self, move: Move, nodes: Nodes, primary: str) -> dict[str, str]:
        """Why not, by name, of those that do not follow: one that cannot keeps no other from hearing of it."""
        failures = {}
        # The one that was writable first: until then its clients wait behind the fence.
        if move.source in nodes.reports:
            failures = await self.follow_each([nodes.agents[move.source]], primary)
        else:
            failures[move.source] = "it does not answer"
        others = [name for name in nodes.reports if name not in (move.source, move.candidate)]
        return failures | await self.follow_each([nodes.agents[name] for name in others], primary)

    async def _verify(self, move: Move, component: DesiredComponent) -> None:
        holders = (await self.nodes(move.target, component)).holders()
        if holders != [move.candidate]:
            raise ApplicationError(f"after the move {said(holders)}; it should be {move.candidate} alone")


def _unable(request: MoveRequest, source: str, reports: Mapping[str, agent_pb2.RoleReport]) -> dict[str, str]:
    """By name, why nodes could not take writes. Where the source's volume is full, the others' mostly are as well: that
    keeps the source from being rolled, to give it more room, no more than it keeps it from serving. A Switchover has no
    other purpose than the new primary, so for that it counts."""
    full = source in reports and reports[source].volume_full and request.target.operation != OperationType.SWITCHOVER
    counts = {n: r for n, r in sorted(reports.items()) if not full or r.writes == agent_pb2.WRITES_REFUSED_HERE}
    return {name: why for name, report in counts.items() if name != source and (why := could_not_write(report))}


def preferred(ready: Mapping[str, Position], closed: Collection[str], *, only_open: bool) -> str:
    """The node with the highest position, of those whose machine is not ``closed`` where there is one, or of them only;
    empty for none. Of two that have diverged the first by name: it has to come up with the fenced source all the same.
    Pure."""
    open_ones = {name: position for name, position in ready.items() if name not in closed}
    chosen = open_ones if open_ones or only_open else ready
    return next(iter(furthest(chosen)), "")
