"""The agents of an App's nodes, by the Pods that run now, as the shared watch has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from activities.agents.node_state import NodeState, node_state
from activities.cluster.gather import together
from activities.dependencies import Platform
from api.names import app_labels
from api.steps import Target
from clients.agents import AgentError, AgentTarget
from proto import agent_pb2

_ASK_TIMEOUT = 3.0


def node_states(platform: Platform, namespace: str, app: str, nodes: Iterable[str]) -> dict[str, NodeState]:
    pods = platform.pods.list(namespace, app_labels(app))
    return {name: node_state(name, platform.deployments.get(namespace, name), pods) for name in nodes}


def agent_of(target: Target, state: NodeState) -> AgentTarget:
    return AgentTarget(target.namespace, target.app, state.node, state.address)


def reachable(platform: Platform, target: Target, nodes: Iterable[str]) -> dict[str, AgentTarget]:
    """By node name, those whose containers run."""
    states = node_states(platform, target.namespace, target.app, nodes)
    return {name: agent_of(target, state) for name, state in states.items() if state.running and state.address}


async def reports(
    platform: Platform, agents: Mapping[str, AgentTarget], *, timeout: float = _ASK_TIMEOUT
) -> dict[str, agent_pb2.RoleReport]:
    """What each agent says of its node's role, by node name; without those that do not answer in time."""

    async def ask(agent: AgentTarget) -> agent_pb2.RoleReport | None:
        try:
            return await platform.agents.role(agent, timeout=timeout)
        except AgentError:
            return None

    answers = await together(ask(agent) for agent in agents.values())
    return {name: report for name, report in zip(agents, answers, strict=True) if report is not None}


async def volume_records(
    platform: Platform, agents: Mapping[str, AgentTarget], *, timeout: float = _ASK_TIMEOUT
) -> dict[str, agent_pb2.VolumeRecord]:
    """What each node's volume remembers, by node name; without those whose agent does not answer in time."""

    async def ask(agent: AgentTarget) -> agent_pb2.VolumeRecord | None:
        try:
            return (await platform.agents.status(agent, timeout=timeout)).volume
        except AgentError:
            return None

    answers = await together(ask(agent) for agent in agents.values())
    return {name: record for name, record in zip(agents, answers, strict=True) if record is not None}


def could_not_write(report: agent_pb2.RoleReport) -> str:
    """Why the node's engine could not take writes, were it to hold a writable role; empty where it could."""
    if report.writes == agent_pb2.WRITES_REFUSED_HERE:
        return report.refusal or "it refuses writes"
    return "its volume is full" if report.volume_full else ""
