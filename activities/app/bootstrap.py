"""Until when a node may begin as first primary without having found another.

It may while the first Deploy is at work and nobody else can have data: until that Deploy has completed, or a Failover
of the component has begun before, or a node that has served has lost its volume. From then on, which is noted in the
metadata, a node that begins empty would be followed by those that have the data.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from activities.agents.addresses import node_addresses
from activities.agents.config_maps import rendered_config_maps
from activities.app.observed import ObservedApp
from activities.cluster import metadata_edits
from activities.cluster.gather import together
from activities.cluster.metadata import read_part, update_metadata
from activities.dependencies import Platform
from api.names import app_labels
from api.node import DOCUMENT_KEY
from api.steps import Target
from clients.resources import CONFIG_MAP, Manifest
from render.desired.app import DesiredApp, DesiredComponent


def over(live: ObservedApp, component: DesiredComponent) -> bool:
    """Whether none of its nodes may begin so any more."""
    return live.deployed is not None or component.name in metadata_edits.begun(live.basic)


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
    serve = {str(each.get("node")) for each in _entries(live.metadata, "roles")}
    served = component.name in holders(live.metadata) or any(node.name in serve for node in component.nodes)
    return bool(lost and left) and served


def holders(metadata: Manifest | None) -> dict[str, str]:
    """Component -> who held its writable role last, of components whose primary the platform replaces."""
    return {str(each.get("component")): str(each.get("node")) for each in _entries(metadata, "holders")}


def leading(metadata: Manifest | None, components: Sequence[DesiredComponent]) -> set[str]:
    """Nodes that have a writable role, or had it last."""
    writable = {role.name for component in components for role in component.definition.roles if role.writable}
    now = {str(each.get("node")) for each in _entries(metadata, "roles") if each.get("role") in writable}
    return now | set(holders(metadata).values())


def _entries(metadata: Manifest | None, name: str) -> list[dict[str, Any]]:
    """Of a part that the watcher writes."""
    part = read_part(metadata, name)
    return [each for each in part if isinstance(each, dict)] if isinstance(part, list) else []


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
        await together(platform.kubernetes.apply(manifest) for _, manifest, changed in rendered if changed)


async def end_before_deployed(
    platform: Platform, target: Target, desired: DesiredApp, component: DesiredComponent
) -> None:
    """The note first: a repeat of whatever comes next goes by it, and so does the next Deploy."""
    changes = {"basic": lambda before: metadata_edits.with_begun(before, component.name)}
    await update_metadata(platform, target.namespace, target.app, changes)
    await end(platform, target, desired, (component,), hold=True)


def _is_held(config_map: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads(config_map["data"][DOCUMENT_KEY]).get("hold"))
    except (KeyError, ValueError, AttributeError):
        return False
