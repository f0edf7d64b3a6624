"""Volumes that grow: which StorageClasses can, asking for more, and waiting until it is there."""

from __future__ import annotations

from collections.abc import Collection

from activities.platform import Platform
from activities.together import together
from api.meta import parse_quantity
from clients.resources import STORAGE_CLASS, VOLUME_CLAIM, Manifest
from render.desired import DesiredApp, DesiredGroup
from render.stages import Deployed


def _growing(wanted: DesiredApp, deployed: Deployed) -> list[DesiredGroup]:
    found = []
    for component in wanted.components:
        for group in component.groups:
            record = deployed.recorded.groups.get(group.resource_name)
            if record is None or record.storage is None or group.spec.storage is None:
                continue
            if parse_quantity(group.spec.storage.size) > parse_quantity(record.storage.size):
                found.append(group)
    return found


async def expandable_groups(platform: Platform, wanted: DesiredApp, deployed: Deployed) -> Collection[str] | None:
    """Resource names of the growing groups of which every claim's class can grow; None where none is to grow."""
    growing = _growing(wanted, deployed)
    if not growing:
        return None
    classes, _ = await platform.kubernetes.list(STORAGE_CLASS, None)
    able = {str(each["metadata"]["name"]) for each in classes if each.get("allowVolumeExpansion") is True}
    found = set()
    for group in growing:
        claims = await claims_of(platform, wanted.namespace, [node.name for node in group.nodes])
        if all(str(claim["spec"].get("storageClassName") or "") in able for claim in claims):
            found.add(group.resource_name)
    return found


async def claims_of(platform: Platform, namespace: str, names: Collection[str]) -> list[Manifest]:
    """Those of the named claims that exist."""
    found = await together(platform.kubernetes.get(VOLUME_CLAIM, name, namespace) for name in names)
    return [claim for claim in found if claim is not None]
