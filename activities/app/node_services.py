"""Services, above all those of nodes, whose addresses engines announce to peers and clients.

A Service that was deleted would come back with another ClusterIP, and nobody would tell the engine: after the next
failover two nodes call themselves primary, each where others do not look for it. So the address that a node's engine
announces is recorded on the node's Deployment, and its Service is given that one again. Where somebody else has the
address by now, the Service gets another, and the engine's start is noted as out of date: a Reconfigure restarts it, one
node after another, its role moved away first, and it announces the new address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from temporalio.exceptions import ApplicationError

from activities.agents.addresses import addresses_so_far, node_addresses
from activities.app.applied_config import note_effective
from activities.cluster.apply import apply_owned, check_owner
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.dependencies import Platform
from api.effective import Effective, noted
from api.meta import service_address
from api.names import ANNOTATION_ADDRESS, app_labels
from api.steps import Target
from clients.errors import InvalidError
from clients.resources import CONFIG_MAP, DEPLOYMENT, SERVICE, Manifest
from render.desired.app import DesiredApp, DesiredComponent
from render.manifests.lists import service_manifests

_GONE_WITHIN = 10.0


def announced(deployment: Mapping[str, object] | None) -> str:
    """The address that the node's engine announces; empty where none is recorded."""
    metadata = (deployment or {}).get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return str((annotations or {}).get(ANNOTATION_ADDRESS) or "")


async def apply_services(platform: Platform, target: Target, desired: DesiredApp) -> int:
    """All Services of the App, those of nodes with the addresses that were recorded. How many had to be written."""
    found, _ = await platform.kubernetes.list(DEPLOYMENT, target.namespace, labels=app_labels(target.app))
    recorded = {str(each["metadata"]["name"]): address for each in found if (address := announced(each))}
    return sum(
        await together(
            _apply(platform, target, manifest, recorded.get(str(manifest["metadata"]["name"]), ""))
            for manifest in service_manifests(desired)
        )
    )


async def restored_addresses(platform: Platform, target: Target, desired: DesiredApp) -> dict[str, str]:
    """By node name, for all nodes; Services that are missing are put back first. For a Failover, which no Repair
    interrupts: it waited without end for a Service that somebody had deleted. Raises a retryable ApplicationError."""
    found = await addresses_so_far(platform, desired)
    if all(node.name in found for node in desired.nodes):
        return found
    await apply_services(platform, target, desired)
    return await node_addresses(platform, desired)


async def _apply(platform: Platform, target: Target, manifest: Manifest, address: str) -> bool:
    if not address:
        return (await apply_owned(platform, target, manifest))[1]
    name = str(manifest["metadata"]["name"])
    live = await platform.kubernetes.get(SERVICE, name, target.namespace)
    if live is not None and await _announces_it(platform, target, live, address):
        return (await apply_owned(platform, target, manifest))[1]
    if live is not None:
        check_owner(target, live)
        # An address cannot be changed.
        await platform.kubernetes.delete(SERVICE, name, target.namespace, uid=str(live["metadata"]["uid"]))
        await _gone(platform, target, name)
    try:
        await platform.kubernetes.apply({**manifest, "spec": {**manifest["spec"], "clusterIP": address}})
    except InvalidError as error:
        message = f"the Service of {name} cannot have its address {address} again, so {name} is restarted: {error}"
        await tell(platform, target, "AddressChanged", message, warning=True)
        await _must_restart(platform, target, name)
        await platform.kubernetes.apply(manifest)
    else:
        await tell(platform, target, "AddressKept", f"the Service of {name} has its address {address} again")
    return True


async def _announces_it(platform: Platform, target: Target, live: Manifest, address: str) -> bool:
    """Whether there is nothing to put right: it has the address, or its engine is to announce another."""
    if service_address(live) == address:
        return True
    config_map = await platform.kubernetes.get(CONFIG_MAP, str(live["metadata"]["name"]), target.namespace)
    return _restarts(noted(config_map)) and bool(service_address(live))


def _restarts(note: Effective | None) -> bool:
    """Whether a Reconfigure is to restart the engine: it then announces the address that its Service has."""
    return note is not None and not note.restart


async def _must_restart(platform: Platform, target: Target, node: str) -> None:
    """So that what a Reconfigure compares says that the engine does not run with its files."""
    note = noted(await platform.kubernetes.get(CONFIG_MAP, node, target.namespace))
    if note is not None:
        await note_effective(platform, target.namespace, node, replace(note, restart=""))


async def _gone(platform: Platform, target: Target, name: str) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _GONE_WITHIN
    while await platform.kubernetes.get(SERVICE, name, target.namespace) is not None:
        if loop.time() > deadline:
            raise ApplicationError(f"Service {target.namespace}/{name} is being deleted; waiting until it is gone")
        await asyncio.sleep(0.1)


async def record_addresses(
    platform: Platform,
    target: Target,
    component: DesiredComponent,
    addresses: Mapping[str, str],
    notes: Mapping[str, Effective | None],
) -> None:
    """On the Deployments of nodes whose engines run with their files, and so announce the addresses in them. ``notes``:
    by node, what is noted on its ConfigMap."""
    labels = app_labels(target.app, component.name)
    deployments, _ = await platform.kubernetes.list(DEPLOYMENT, target.namespace, labels=labels)
    known = {str(each["metadata"]["name"]): announced(each) for each in deployments}

    async def record(node: str) -> None:
        change = {"metadata": {"annotations": {ANNOTATION_ADDRESS: addresses[node]}}}
        await platform.kubernetes.patch(DEPLOYMENT, node, target.namespace, change)

    await together(
        record(node.name)
        for node in component.nodes
        if node.name in known and not _restarts(notes.get(node.name)) and known[node.name] != addresses[node.name]
    )


def changed_addresses(
    nodes: list[str],
    services: Mapping[str, Manifest],
    deployments: Mapping[str, Manifest],
    maps: Mapping[str, Manifest],
) -> list[str]:
    """A sentence for each node whose Service has another address than its engine announces, and is to have that one
    again. Pure."""
    found = []
    for node in nodes:
        told, note = announced(deployments.get(node)), noted(maps.get(node))
        has = service_address(services.get(node))
        if node in services and told and has != told and not _restarts(note):
            found.append(f"Service {node} has the address {has or 'none'}, and its engine announces {told}")
    return found
