"""Until when a node may begin as first primary without having found another.

It may while the first Deploy is at work and nobody else can have data: until that Deploy has completed, or a Failover
has begun before. A component that has had a primary whose volume is gone by now has other nodes with its data: it is a
Failover that makes one of them primary.
"""

from __future__ import annotations

from collections.abc import Collection

from activities import parts
from activities.addresses import node_addresses
from activities.metadata import read_part, update_metadata
from activities.nodes import rendered_config_maps
from activities.platform import Platform
from activities.together import together
from activities.wanted import Live
from api.names import app_labels
from api.steps import Target
from clients.resources import CONFIG_MAP, Manifest
from render.desired import DesiredApp, DesiredComponent


def over(live: Live) -> bool:
    """Whether no node may begin so any more."""
    return live.deployed is not None or bool(live.basic.get(parts.FAILED_OVER))


def has_lost_its_volume(live: Live, component: DesiredComponent, claims: Collection[str]) -> bool:
    """Whether the component has had a primary and the node that would begin has no volume. ``claims``: by name."""
    first = next((node for node in component.nodes if node.name == component.bootstrap_node), None)
    stored = first is not None and component.group(first.group).spec.storage is not None
    return stored and component.bootstrap_node not in claims and component.name in holders(live.metadata)


def holders(metadata: Manifest | None) -> dict[str, str]:
    """Component -> who held its writable role last, of components whose primary the platform replaces; the watcher
    writes it."""
    part = read_part(metadata, "holders")
    found = [each for each in part if isinstance(each, dict)] if isinstance(part, list) else []
    return {str(each.get("component")): str(each.get("node")) for each in found}


async def end(
    platform: Platform, target: Target, desired: DesiredApp, components: tuple[DesiredComponent, ...]
) -> None:
    """No node of the components may begin so from now on. Nodes that have no ConfigMap yet get none."""
    addresses = await node_addresses(platform, desired)
    found, _ = await platform.kubernetes.list(CONFIG_MAP, target.namespace, labels=app_labels(target.app))
    live = {str(each["metadata"]["name"]): each for each in found}
    for component in components:
        nodes = [node for node in component.nodes if node.name in live]
        rendered = await rendered_config_maps(desired, component, nodes, addresses, live, bootstrap=None)
        await together(platform.kubernetes.apply(manifest) for _, manifest, changed in rendered if changed)


async def end_by_failover(platform: Platform, target: Target, desired: DesiredApp, component: DesiredComponent) -> None:
    """Before the first Deploy has completed, which must not name a first primary again."""
    await update_metadata(platform, target.namespace, target.app, {"basic": parts.failed_over})
    await end(platform, target, desired, (component,))
