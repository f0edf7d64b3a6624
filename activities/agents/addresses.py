"""The nodes' stable addresses: ClusterIPs of their Services, read live, since templates write them into engines'
files."""

from __future__ import annotations

from temporalio.exceptions import ApplicationError

from activities.dependencies import Platform
from api.names import app_labels
from clients.resources import SERVICE
from render.desired.app import DesiredApp


async def node_addresses(platform: Platform, desired: DesiredApp) -> dict[str, str]:
    """By node name, for all nodes. Raises a retryable ApplicationError while one is missing."""
    found = await addresses_so_far(platform, desired)
    missing = [node.name for node in desired.nodes if node.name not in found]
    if missing:
        raise ApplicationError(f"Service {missing[0]} has no address yet")
    return found


async def addresses_so_far(platform: Platform, desired: DesiredApp) -> dict[str, str]:
    """By node name, of the nodes whose Services are there."""
    services, _ = await platform.kubernetes.list(SERVICE, desired.namespace, labels=app_labels(desired.name))
    found = {each["metadata"]["name"]: str(each["spec"].get("clusterIP") or "") for each in services}
    return {node.name: found[node.name] for node in desired.nodes if found.get(node.name)}
