"""Replicas that wait for a primary before their engines start: only their agents 1 can be asked, and told.

Such a one may find the lost primary at any moment, follow it and so renew its lease. So, as others are detached, it is
stopped before anybody takes over; it starts again when there is a primary, or when there will be none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from temporalio import activity

from activities.cluster.gather import together
from activities.dependencies import Platform
from activities.roles import fencing
from api.steps import Target
from clients.agents import AgentError, AgentTarget
from clients.resources import APP
from proto import agent_pb2

ASK_WITHIN = 2.0
START_WITHIN = 5.0
_WAITS = frozenset({agent_pb2.STARTING, agent_pb2.BACKOFF, agent_pb2.CRASH_LOOP, agent_pb2.STOPPED, agent_pb2.WAITING})

Statuses = Mapping[str, agent_pb2.ProcessStatus]


async def waiting(platform: Platform, agents: Mapping[str, AgentTarget]) -> dict[str, agent_pb2.ProcessStatus]:
    """By name, of those among ``agents`` whose engine does not run and is not about to without somebody's word."""
    found = await together(_status(platform, agent) for agent in agents.values())
    return {name: status for name, status in zip(agents, found, strict=True) if status is not None and _waits(status)}


async def keep_from_following(platform: Platform, agent: AgentTarget) -> agent_pb2.ProcessStatus | None:
    """Stops one that waits, which its volume remembers. None where its engine runs, or nobody answers."""
    status = await _status(platform, agent)
    if status is None or not _waits(status):
        return None
    try:
        status = await platform.agents.stop(agent, "", grace=fencing.STOP_GRACE, timeout=fencing.STOP_WITHIN)
    except AgentError:
        return None
    return status if status.state == agent_pb2.STOPPED else None


async def start_again(platform: Platform, target: Target, agents: Mapping[str, AgentTarget]) -> None:
    """Those among ``agents`` that stand still, but for whom ``status.fenced`` names. Who cannot be told is told by the
    next failover, or when the one that was replaced is taken in again."""
    stopped = {n: s for n, s in (await waiting(platform, agents)).items() if s.state == agent_pb2.STOPPED}
    if not stopped:
        return
    fenced = await _fenced(platform, target)
    await together(_start(platform, agents[name]) for name in stopped if name not in fenced)


async def _start(platform: Platform, agent: AgentTarget) -> None:
    try:
        await platform.agents.start(agent, "", timeout=START_WITHIN)
    except AgentError as error:
        activity.logger.warning("%s waits to be started again: %s", agent.node, error)


async def _fenced(platform: Platform, target: Target) -> Collection[str]:
    app = await platform.kubernetes.get(APP, target.app, target.namespace)
    return {each["node"] for each in fencing.fenced_nodes(app)} if app is not None else ()


async def _status(platform: Platform, agent: AgentTarget) -> agent_pb2.ProcessStatus | None:
    try:
        return await platform.agents.status(agent, timeout=ASK_WITHIN)
    except AgentError:
        return None


def _waits(status: agent_pb2.ProcessStatus) -> bool:
    return not status.pid and status.state in _WAITS
