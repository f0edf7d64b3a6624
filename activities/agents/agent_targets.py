"""The agents of an App's nodes, by the Pods that run now, as the shared watch has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from activities.agents.node_state import NodeState, node_state
from activities.cluster.gather import together
from activities.dependencies import Platform
from api.names import app_labels
from api.steps import Target
from clients.agents import AgentError, AgentTarget
from language.positions import Position, PositionError
from proto import agent_pb2

_ASK_TIMEOUT = 3.0
T = TypeVar("T")


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
    return await _answers(agents, lambda agent: platform.agents.role(agent, timeout=timeout))


async def volume_records(
    platform: Platform, agents: Mapping[str, AgentTarget], *, timeout: float = _ASK_TIMEOUT
) -> dict[str, agent_pb2.VolumeRecord]:
    """What each node's volume remembers, by node name; without those whose agent does not answer in time."""
    found = await _answers(agents, lambda agent: platform.agents.status(agent, timeout=timeout))
    return {name: status.volume for name, status in found.items()}


async def _answers(agents: Mapping[str, AgentTarget], ask: Callable[[AgentTarget], Awaitable[T]]) -> dict[str, T]:
    async def answer(agent: AgentTarget) -> T | None:
        try:
            return await ask(agent)
        except AgentError:
            return None

    found = await together(answer(agent) for agent in agents.values())
    return {name: each for name, each in zip(agents, found, strict=True) if each is not None}


def could_not_write(report: agent_pb2.RoleReport) -> str:
    """Why the node's engine could not take writes, were it to hold a writable role; empty where it could."""
    if report.writes == agent_pb2.WRITES_REFUSED_HERE:
        return report.refusal or "it refuses writes"
    return "its volume is full" if report.volume_full else ""


def remembered_position(volume: agent_pb2.VolumeRecord) -> Position:
    """How far a volume's data have come; none where what stands there is no position."""
    try:
        return Position.parse(volume.position)
    except PositionError:
        return Position()
