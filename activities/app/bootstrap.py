"""Until when a node may begin as first primary without having found another.

It may while the first Deploy is at work and nobody else can have data: until that Deploy has completed, or a Failover
of the component has begun before, or a node that has served has lost its volume. From then on, which is noted in the
App's status, a node that begins empty would be followed by those that have the data.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from activities.agents.addresses import node_addresses
from activities.agents.config_maps import rendered_config_maps
from activities.app.observed import ObservedApp
from activities.cluster.apply import put
from activities.cluster.gather import together
from activities.cluster.state import update_deployed
from activities.dependencies import Platform
from api.names import app_labels
from api.node import DOCUMENT_KEY
from api.steps import Target
from clients.resources import CONFIG_MAP
from render.desired.app import DesiredApp, DesiredComponent
from render.desired.state_edits import begin_no_more


def over(live: ObservedApp, component: DesiredComponent) -> bool:
    """Whether none of its nodes may begin so any more."""
    known = live.state.deployed
    return live.deployed is not None or (known is not None and component.name in known.begun)


def has_lost_a_volume(
    live: ObservedApp, component: DesiredComponent, config_maps: Collection[str], claims: Collection[str]
) -> bool:
    """Whether a node that was made has no volume any more, after somebody has had the writable role, or has one: it
    would come up empty, and others may have data. ``config_maps``, ``claims``: by name. Nobody serves before the node
    that begins has been made; where no volume is left there is nothing to protect."""
    stored = [node.name for node in component.stored_nodes]
    made = {*config_maps, component.bootstrap_node}
    lost = [name for name in stored if name in made and name not in claims]
    left = [name for name in stored if name in claims]
    served = component.name in live.holders or any(node.name in live.roles for node in component.nodes)
    return bool(lost and left) and served


def leading(live: ObservedApp, components: Sequence[DesiredComponent]) -> set[str]:
    """Nodes that have a writable role, or had it last."""
    writable = {role.name for component in components for role in component.definition.roles if role.writable}
    return {node for node, role in live.roles.items() if role in writable} | set(live.holders.values())


async def end(
    platform: Platform, target: Target, desired: DesiredApp, components: Sequence[DesiredComponent], *, hold: bool
) -> None:
    """No node of the components may begin so from now on. Nodes that have no ConfigMap yet get none. ``hold``: who is
    held stays so: its volume is an earlier App's, and was not decided about."""
    addresses = await node_addresses(platform, desired)
    found, _ = await platform.kubernetes.list(CONFIG_MAP, target.namespace, labels=app_labels(target.app))
    live = {str(each["metadata"]["name"]): each for each in found}
    for component in components:
        nodes = [node for node in component.nodes if node.name in live]
        held = frozenset(node.name for node in nodes if hold and _is_held(live[node.name]))
        rendered = await rendered_config_maps(desired, component, nodes, addresses, live, bootstrap=None, held=held)
        await together(put(platform, manifest) for _, manifest, changed in rendered if changed)


async def end_before_deployed(
    platform: Platform, target: Target, desired: DesiredApp, component: DesiredComponent
) -> None:
    """The note first: a repeat of whatever comes next goes by it, and so does the next Deploy."""
    await update_deployed(platform, target, lambda before: begin_no_more(before, component.name))
    await end(platform, target, desired, (component,), hold=True)


def _is_held(config_map: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads(config_map["data"][DOCUMENT_KEY]).get("hold"))
    except (KeyError, ValueError, AttributeError):
        return False
