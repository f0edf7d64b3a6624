"""What a Switchover and a Failover have in common: who is writable, making a node so, and what follows from it.

Whoever moves a role notes it first (``activities.cluster.moving``): ``fail_over`` asks no node without that.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
from temporalio.exceptions import ApplicationError

from activities.agents.agent_targets import reachable, reports
from activities.agents.node_tools import bound
from activities.agents.request_ids import request_id
from activities.agents.run_tool import run_tool
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.cluster.moving import Noted, end_left, may_be_under_way, moves_of
from activities.cluster.state import update_deployed
from activities.dependencies import Platform, permanent
from activities.roles import fencing
from api.app import RoleMove
from api.names import LABEL_NODE, LABEL_ROLE, app_labels
from api.steps import ErrorType, Target
from api.tools import ToolName
from clients.agents import AgentError, AgentTarget
from clients.resources import Manifest
from proto import agent_pb2
from render.desired.app import DesiredApp, DesiredComponent
from render.desired.state_edits import made_writable
from render.manifests.deployments import version_of

_LABEL_WITHIN = 3.0
_BEFORE_THE_TOOL = frozenset({grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNIMPLEMENTED})
"""With which an agent refuses a call before its tool runs."""


class NothingAskedError(ApplicationError):
    """The candidate has not taken over and will not by this call: its agent refused before ``failover`` ran, or that
    failed and says that nothing comes of it. Of any other failure nobody knows that: what the tool has asked for may
    still come."""


@dataclass(frozen=True)
class Nodes:
    """Of one component: agents of the running nodes, and what each said of its role."""

    agents: Mapping[str, AgentTarget]
    reports: Mapping[str, agent_pb2.RoleReport]
    writable: frozenset[str]
    """Names of writable roles."""

    def holders(self) -> list[str]:
        return sorted(name for name, report in self.reports.items() if report.role in self.writable)


class RoleMover:
    """``target`` and ``component``: of whom each method speaks."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    async def nodes(
        self, target: Target, component: DesiredComponent, *, timeout: float = 3.0, without: str = ""
    ) -> Nodes:
        """``timeout``: seconds in which an agent has to answer, and which one that hangs costs: ``without`` is a node
        that need not be asked."""
        await self.platform.deployments.synced(30)
        await self.platform.pods.synced(30)
        agents = reachable(self.platform, target, [node.name for node in component.nodes if node.name != without])
        return Nodes(agents, await reports(self.platform, agents, timeout=timeout), writable_roles(component))

    async def note_final(self, target: Target, candidate: str) -> None:
        """Before the role moves: whatever becomes of the step, the primary may run the candidate's version from now
        on."""
        version = version_of(self.platform.deployments.get(target.namespace, candidate))
        await update_deployed(self.platform, target, lambda before: made_writable(before, version))

    async def known_moves(
        self, target: Target, app: Manifest, component: DesiredComponent, addresses: Mapping[str, str]
    ) -> list[RoleMove]:
        """Moves that nobody is at any more, and of which the nodes say by now how they ended. The engines are asked
        only where a move is noted. ``addresses``: of the nodes."""
        now = datetime.now(UTC)
        left = [each for each in moves_of(app, component.name) if not may_be_under_way(each, now)]
        if not left:
            return []
        nodes = await self.nodes(target, component)
        names = {node.name for node in component.nodes}
        if is_settled(nodes, self.labelled_nodes(target, component), addresses, quorum(component)):
            return left
        return [each for each in left if how_it_ended_is_known(each, names - fencing.stopped(app), nodes)]

    async def end_known(
        self, target: Target, app: Manifest, component: DesiredComponent, addresses: Mapping[str, str]
    ) -> None:
        await end_left(self.platform, target, await self.known_moves(target, app, component, addresses))

    def labelled_nodes(self, target: Target, component: DesiredComponent) -> list[str]:
        """To which the Service of a writable role leads, by name."""
        pods = self.platform.pods.list(target.namespace, app_labels(target.app, component.name))
        labels = [pod["metadata"].get("labels") or {} for pod in pods]
        return sorted({each[LABEL_NODE] for each in labels if each.get(LABEL_ROLE) in writable_roles(component)})

    async def fail_over(self, noted: Noted, candidate: AgentTarget, source: str) -> None:
        """``source``: address; ``noted``: that the role is on its way to the candidate. What failed may happen all the
        same (Sentinel cannot be called back), but for NothingAskedError."""
        if noted.candidate != candidate.node:
            raise ValueError(f"the move to {noted.candidate} is noted, not that to {candidate.node}")
        asked = request_id("failover", candidate.node)
        try:
            result = await self.platform.agents.failover(
                candidate, asked, {"from": source}, timeout=bound(ToolName.FAILOVER)
            )
        except AgentError as error:
            failure = NothingAskedError if error.code in _BEFORE_THE_TOOL else ApplicationError
            raise failure(f"{candidate.node} has not taken over: {error}") from error
        if not result.success:
            failure = NothingAskedError if result.asked == agent_pb2.ASKED_NOTHING else ApplicationError
            raise failure(f"{candidate.node} has not taken over: {result.message}")

    async def labelled(self, target: Target, component: DesiredComponent, candidate: str) -> None:
        """Until the Service leads to the new node. Without a watcher it never will; clients retry until one is back."""
        pods = self.platform.pods
        labels = app_labels(target.app, component.name, node=candidate)
        writable = writable_roles(component)

        def done() -> bool | None:
            found = pods.list(target.namespace, labels)
            return any((pod["metadata"].get("labels") or {}).get(LABEL_ROLE) in writable for pod in found) or None

        try:
            await pods.wait_for(done, _LABEL_WITHIN, namespace=target.namespace, labels=labels)
        except TimeoutError:
            message = f"the role label has not followed to {candidate} yet; is a watcher running?"
            await tell(self.platform, target, "LabelBehind", message, warning=True)

    async def follow(self, agent: AgentTarget, primary: str) -> None:
        """``primary``: address."""
        await self.run(agent, ToolName.FOLLOW, {"primary": primary})

    async def follow_each(self, agents: Iterable[AgentTarget], primary: str) -> dict[str, str]:
        """All are asked, whatever one of them says. Why not, by name, of those that do not follow. ``primary``:
        address."""

        async def follow(agent: AgentTarget) -> tuple[str, str]:
            try:
                await self.follow(agent, primary)
            except ApplicationError as error:
                return agent.node, error.message.removeprefix(f"{agent.node}: ")
            return agent.node, ""

        answers = await together(follow(agent) for agent in agents)
        return {name: why for name, why in answers if why}

    async def run(self, agent: AgentTarget, tool: ToolName, arguments: Mapping[str, str]) -> dict[str, str]:
        return await run_tool(self.platform, agent, tool, arguments, timeout=bound(tool)) or {}


def how_it_ended_is_known(move: RoleMove, names: Collection[str], nodes: Nodes) -> bool:
    """Whether the candidate says that it has not taken the role, or that it has and its former holder that it has it no
    more. A node that was removed has no role. ``names``: of the component's nodes that may have one. Pure."""
    said = {name: report.role for name, report in nodes.reports.items() if report.role}
    if move.candidate not in names:
        return True
    if move.candidate not in said:
        return False
    if said[move.candidate] not in nodes.writable:
        return True
    return move.source not in names or (move.source in said and said[move.source] not in nodes.writable)


def is_settled(nodes: Nodes, labelled: Sequence[str], addresses: Mapping[str, str], enough: int) -> bool:
    """Whether one node alone claims the role and serves, clients are sent to it, and ``enough`` replicas in sync follow
    it. Whoever is silent then has no majority that could renew its lease (``quorum``), so it takes no writes, and has
    none that count beside those of this one: a machine that is gone for good need not be heard. Pure."""
    holders = nodes.holders()
    if len(holders) != 1 or list(labelled) != holders:
        return False
    primary, address = nodes.reports[holders[0]], addresses.get(holders[0])
    follow = [name for name, each in nodes.reports.items() if each.ready and address and each.follows == address]
    return primary.ready and not primary.fenced and len(follow) >= enough


def quorum(component: DesiredComponent) -> int:
    """How many replicas must have stopped following before one becomes writable: with fewer, those that still follow
    the old primary could be the majority that renews its lease."""
    return math.ceil((len(component.nodes) - 1) / 2)


def writable_roles(component: DesiredComponent) -> frozenset[str]:
    return frozenset(role.name for role in component.definition.roles if role.writable)


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """A cancellation is honoured only when ``work`` has ended: half a promotion is two writable nodes.

    There may be a second one: the operation is interrupted, and the worker told to stop.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved; the cancellation is what is told
        raise


def component_of(desired: DesiredApp, name: str) -> DesiredComponent:
    """The named one, else the one that has a writable role, else the first."""
    if name and all(component.name != name for component in desired.components):
        known = ", ".join(component.name for component in desired.components)
        raise permanent(ErrorType.NO_CANDIDATE, f"the App has no component {name}; it has {known}")
    with_role = [c for c in desired.components if any(role.writable for role in c.definition.roles)]
    return desired.component(name) if name else (with_role or list(desired.components))[0]


def not_following(failures: Mapping[str, str], primary: str) -> str:
    """A sentence on who does not follow ``primary``, and why; empty where all do."""
    if not failures:
        return ""
    whys = "; ".join(f"{name}: {why}" for name, why in sorted(failures.items()))
    return f"{', '.join(sorted(failures))} {'does' if len(failures) == 1 else 'do'} not follow {primary} yet ({whys})"


def said(holders: Collection[str]) -> str:
    if not holders:
        return "no node is writable"
    return f"{', '.join(holders)} {'is' if len(holders) == 1 else 'are'} writable"
