"""Which nodes of an App a drain of their machines cannot take away, and which machines are about to be emptied.

Level-triggered, like all that the planner goes by: while a machine is cordoned and holds such a node it is found at
every look, whoever has seen it first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from activities.agents.agent_targets import node_states
from activities.agents.node_state import NodeState
from activities.cluster.gather import together
from activities.dependencies import Platform
from api.look import Evacuation
from api.names import LABEL_ROLE
from clients.machines import machine_of, takes_pods
from clients.resources import MACHINE
from render.desired.app import DesiredApp, DesiredComponent
from render.manifests.budgets import exclusive_roles, moved_roles


async def closed_machines(platform: Platform, names: Iterable[str]) -> frozenset[str]:
    """Those of the named machines that take no Pods any more."""
    asked = sorted({name for name in names if name})
    found = await together(platform.kubernetes.get(MACHINE, name) for name in asked)
    return frozenset(name for name, machine in zip(asked, found, strict=True) if not takes_pods(machine))


async def evacuations(platform: Platform, desired: DesiredApp) -> list[Evacuation]:
    """Of all components, by the labels that the watcher put on Pods: who moves a role asks the engines themselves."""
    await platform.deployments.synced(30)
    await platform.pods.synced(30)
    found = []
    for component in desired.components:
        states = node_states(platform, desired.namespace, desired.name, [node.name for node in component.nodes])
        stay = fixed(component, states)
        closed = await closed_machines(platform, (machine(states[name]) for name in stay))
        if not closed:
            continue
        closed |= await closed_machines(platform, map(machine, states.values()))
        found += [of_node(desired, component, states, name, closed) for name in stay if machine(states[name]) in closed]
    return found


def machine(state: NodeState) -> str:
    """Empty for a node without a Pod, or whose Pod waits for a machine."""
    return machine_of(state.pod) if state.pod is not None else ""


def fixed(component: DesiredComponent, states: Mapping[str, NodeState]) -> list[str]:
    """Names of nodes that cannot just go away: the only one, and whoever holds a role that only one may hold. Pure."""
    if len(component.nodes) == 1:
        return [component.nodes[0].name]
    roles = exclusive_roles(component)
    return [name for name, state in states.items() if _role(state) in roles]


def of_node(
    desired: DesiredApp,
    component: DesiredComponent,
    states: Mapping[str, NodeState],
    name: str,
    closed: frozenset[str],
) -> Evacuation:
    """What is to be done about one of them. ``closed``: machines that take no Pods. Pure."""
    where = machine(states[name])
    said = f"machine {where} is cordoned"
    if len(component.nodes) == 1:
        message = (
            f"{said}: {name} is the only node of {component.name} and is down from its eviction until it runs again"
        )
        return Evacuation(component.name, name, where, message=message)
    role = _role(states[name])
    if role not in moved_roles(desired, component):
        message = f"{said}: {name} is {role} until it is evicted; {component.name} has no tool to move that beforehand"
        return Evacuation(component.name, name, where, message=message)
    others = [state for other, state in states.items() if other != name]
    ready = sorted(state.node for state in others if state.ready and machine(state) not in closed)
    if ready:
        return Evacuation(component.name, name, where, ready[0], f"{said}: {name} is {role}")
    why = _why_nobody(others, closed)
    message = f"{said}: {name} is {role} and stays there, since no other node could take over; {why}"
    return Evacuation(component.name, name, where, message=message)


def _why_nobody(others: Iterable[NodeState], closed: frozenset[str]) -> str:
    return ", ".join(
        f"{state.node} is on {machine(state)}, which is cordoned"
        if state.ready and machine(state) in closed
        else f"{state.node} is not ready"
        for state in others
    )


def _role(state: NodeState) -> str:
    return str(((state.pod or {"metadata": {}})["metadata"].get("labels") or {}).get(LABEL_ROLE, ""))
