"""Until when a node may begin as first primary without having found another.

It may while the first Deploy is at work and nobody else can have data: until that Deploy has completed, or a Failover
has begun before. A component that has had a primary whose volume is gone by now has other nodes with its data: it is a
Failover that makes one of them primary.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

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
    """Whether the node that would begin has no volume (``claims``: by name), and others may have data: somebody has had
    the writable role, or another node has one."""
    first = next((node for node in component.nodes if node.name == component.bootstrap_node), None)
    if first is None or component.group(first.group).spec.storage is None or first.name in claims:
        return False
    serve = {str(each.get("node")) for each in _entries(live.metadata, "roles")} - {first.name}
    return component.name in holders(live.metadata) or any(node.name in serve for node in component.nodes)


def holders(metadata: Manifest | None) -> dict[str, str]:
    """Component -> who held its writable role last, of components whose primary the platform replaces."""
    return {str(each.get("component")): str(each.get("node")) for each in _entries(metadata, "holders")}


def _entries(metadata: Manifest | None, name: str) -> list[dict[str, Any]]:
    """Of a part that the watcher writes."""
    part = read_part(metadata, name)
    return [each for each in part if isinstance(each, dict)] if isinstance(part, list) else []


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
