"""The nodes' stable addresses: ClusterIPs of their Services, read live, since templates write them into engines'
files."""

from __future__ import annotations

from temporalio.exceptions import ApplicationError

from activities.cluster.apply import is_own
from activities.cluster.gather import together
from activities.dependencies import Platform
from api.meta import service_address
from api.names import app_labels
from api.steps import Target
from clients.resources import SERVICE, Manifest
from render.desired.app import DesiredApp


async def node_addresses(platform: Platform, desired: DesiredApp) -> dict[str, str]:
    """By node name, for all nodes. Raises a retryable ApplicationError while one is missing."""
    found = await addresses_so_far(platform, desired)
    missing = [node.name for node in desired.nodes if node.name not in found]
    if missing:
        raise ApplicationError(f"Service {missing[0]} has no address yet")
    return found


async def addresses_so_far(platform: Platform, desired: DesiredApp) -> dict[str, str]:
    """By node name, of the nodes whose Services are there, whoever has taken the labels off one: the address that
    an engine announces is its own all the same, and the way back of an operation must not wait for a Repair."""
    services, _ = await platform.kubernetes.list(SERVICE, desired.namespace, labels=app_labels(desired.name))
    found = {each["metadata"]["name"]: each for each in services}
    unseen = [node.name for node in desired.nodes if node.name not in found]
    for name, live in zip(unseen, await together(_own(platform, desired, name) for name in unseen), strict=True):
        if live is not None:
            found[name] = live
    addresses = {name: service_address(each) for name, each in found.items()}
    return {node.name: addresses[node.name] for node in desired.nodes if addresses.get(node.name)}


async def _own(platform: Platform, desired: DesiredApp, name: str) -> Manifest | None:
    """The App's own Service of the name; what somebody else has made there counts for nothing."""
    live = await platform.kubernetes.get(SERVICE, name, desired.namespace)
    app = Target(desired.namespace, desired.name, desired.uid, "", "", "")
    return live if live is not None and is_own(app, live) else None
