"""The agents of an App's nodes, by the Pods that run now, as the shared watch has them."""

from __future__ import annotations

from collections.abc import Iterable

from activities.platform import Platform
from activities.readiness import NodeState, node_state
from api.names import app_labels
from api.steps import Target
from clients.agents import AgentTarget


def node_states(platform: Platform, namespace: str, app: str, nodes: Iterable[str]) -> dict[str, NodeState]:
    pods = platform.pods.list(namespace, app_labels(app))
    return {name: node_state(name, platform.deployments.get(namespace, name), pods) for name in nodes}


def agent_of(target: Target, state: NodeState) -> AgentTarget:
    return AgentTarget(target.namespace, target.app, state.node, state.address)


def reachable(platform: Platform, target: Target, nodes: Iterable[str]) -> dict[str, AgentTarget]:
    """By node name, those whose containers run."""
    states = node_states(platform, target.namespace, target.app, nodes)
    return {name: agent_of(target, state) for name, state in states.items() if state.running and state.address}
