"""Volumes: whether their StorageClasses exist, which of these can grow, and waiting until what was asked for is there.

The class's driver makes the volume larger, then the kubelet the file system on it: under the running Pod where the
driver can, else at the Pod's next start. Only ``status.capacity`` says that the engine can use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from activities.cluster.gather import together
from activities.dependencies import Platform, permanent
from api.app import App
from api.meta import parse_quantity
from api.names import app_labels
from api.steps import ErrorType
from clients.resources import STORAGE_CLASS, VOLUME_CLAIM, Manifest
from render.check.growth import Ungrown, able_to, class_of, depends_on_classes, expandable, growing, has_grown
from render.desired.app import DesiredApp, DesiredGroup
from render.desired.spec_parts import Deployed
from render.manifests.volumes import condition, needs_start, never_bound
from render.plugin.problems import Problem, listing, near

GROW_WITHIN = 600.0
"""Seconds for a driver to make a volume larger, or for a restarted Pod to have the larger file system."""
ONLINE_WITHIN = 60.0
"""Seconds for the kubelet to grow the file system under the running Pod; then its Pod is restarted for it."""
_LOOK_EVERY = 2.0
_FAILURES = ("ControllerResizeError", "NodeResizeError")


def _larger(wanted: DesiredApp, deployed: Deployed) -> list[DesiredGroup]:
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
    larger = _larger(wanted, deployed)
    if not larger:
        return None
    able = await _able(platform)
    found = set()
    for group in larger:
        claims = await claims_of(platform, wanted.namespace, [node.name for node in group.nodes])
        if all(class_of(claim) in able or never_bound(claim) for claim in claims):
            found.add(group.resource_name)
    return found


async def _able(platform: Platform) -> frozenset[str]:
    """Names of the StorageClasses whose volumes can grow."""
    classes, _ = await platform.kubernetes.list(STORAGE_CLASS, None)
    return expandable(classes)


async def unknown_classes(platform: Platform, app: App) -> list[Problem]:
    """StorageClasses that the App names and that are not there: its volumes would be waited for without end."""
    named = {
        f"spec.components[{at}].groups[{index}].storage.storageClassName": group.storage.storage_class_name
        for at, component in enumerate(app.spec.components)
        for index, group in enumerate(component.groups)
        if group.storage is not None and group.storage.storage_class_name is not None
    }
    if not named:
        return []
    classes, _ = await platform.kubernetes.list(STORAGE_CLASS, None)
    known = [str(each["metadata"]["name"]) for each in classes]
    return [
        Problem(
            path,
            f"there is no StorageClass {name!r}{near(name, known)}; the cluster has {listing(known)}; "
            "write one that exists, or make this one",
        )
        for path, name in named.items()
        if name not in known
    ]


async def claims_of(platform: Platform, namespace: str, names: Collection[str]) -> list[Manifest]:
    """Those of the named claims that exist."""
    found = await together(platform.kubernetes.get(VOLUME_CLAIM, name, namespace) for name in names)
    return [claim for claim in found if claim is not None]


def trouble(claim: Manifest) -> str:
    """What the driver or the kubelet says went wrong; empty where nothing did."""
    said = next((found for kind in _FAILURES if (found := condition(claim, kind))), {})
    return str(said.get("message") or said.get("reason") or said.get("type") or "")


async def ungrown(platform: Platform, desired: DesiredApp) -> dict[str, Ungrown]:
    """By node, volumes of less than their group's size that can grow."""
    if not any(component.stored_nodes for component in desired.components):
        return {}
    labels = app_labels(desired.name)
    items, _ = await platform.kubernetes.list(VOLUME_CLAIM, desired.namespace, labels=labels)
    claims = {str(claim["metadata"]["name"]): claim for claim in items}
    return able_to(growing(desired, items), await growable(platform, desired, claims))


async def growable(platform: Platform, desired: DesiredApp, claims: Mapping[str, Manifest]) -> Collection[str]:
    """Names of the StorageClasses whose volumes can grow; not asked for where nothing depends on them."""
    return await _able(platform) if depends_on_classes(growing(desired, claims.values())) else ()


async def wait_grown(platform: Platform, namespace: str, sizes: Mapping[str, str], *, started: bool = False) -> None:
    """Until the claims have these sizes, or what they lack is a start of their Pod. ``started``: their Pods were
    started since, so nothing is lacking any more. Raises ApplicationError NodeStuck.

    Asks every two seconds: claims are not among the shared watches, for the sake of this one rare wait.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        waited = loop.time() - began
        left = {}
        for claim in await claims_of(platform, namespace, sizes):
            name = str(claim["metadata"]["name"])
            enough = has_grown(claim, sizes[name]) or not Ungrown(claim, sizes[name]).asked_for
            if not enough and (started or waited < ONLINE_WITHIN or not needs_start(claim)):
                left[name] = claim
        if not left:
            return
        if waited >= GROW_WITHIN:
            name = min(left)
            why = trouble(left[name]) or f"its StorageClass {class_of(left[name])} has not said why"
            message = f"the volume of {name} has not grown to {sizes[name]} in {GROW_WITHIN:.0f} s: {why}"
            raise permanent(ErrorType.NODE_STUCK, message)
        await asyncio.sleep(_LOOK_EVERY)
