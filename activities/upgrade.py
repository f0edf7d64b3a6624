"""``expandVolumes`` and ``rollBack``: what a Resize or an Upgrade needs beside rolling nodes."""

from __future__ import annotations

from temporalio import activity

from activities import parts
from activities.events import tell
from activities.manifests import VERSION_LABEL
from activities.metadata import Part, read_part, update_metadata
from activities.platform import Platform
from activities.status import tell_step
from activities.volumes import ungrown, wait_grown
from activities.wanted import Wanted, wanted
from api.names import LABEL_NODE, LABEL_ROLE, app_labels
from api.operations import OperationType
from api.steps import Applied, RolledBack, Step, Target
from clients.resources import VOLUME_CLAIM
from render.running import PREVIOUS_PLUGIN
from render.templates import version_key


class Upgrade:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.EXPAND_VOLUMES)
    async def expand_volumes(self, target: Target) -> Applied:
        """Asks for larger volumes, how many, and waits until they are there, or are as soon as their Pods are started
        anew: ``planRoll`` finds those."""
        platform = self._platform
        want = await wanted(platform, target)
        growing = await ungrown(platform, want.desired)
        asked = [name for name, volume in sorted(growing.items()) if not volume.asked_for]
        for name in asked:
            size = growing[name].size
            await tell_step(platform, target, f"{name}: expand to {size}")
            change = {"spec": {"resources": {"requests": {"storage": size}}}}
            await platform.kubernetes.patch(VOLUME_CLAIM, name, target.namespace, change)
        if growing:
            await tell_step(platform, target, f"wait until the volumes have grown: {', '.join(sorted(growing))}")
            await wait_grown(platform, target.namespace, {name: each.size for name, each in growing.items()})
        return Applied(len(asked))

    async def _primary_is_new(self, want: Wanted, target: Target, version: str) -> bool:
        """Also an engine's own election may have moved a writable role onto a node of the new version."""
        entries = parts.entries(read_part(want.live.metadata, "nodes"))
        for component in want.desired.components:
            writable = {role.name for role in component.definition.roles if role.writable}
            pods = self._platform.pods.list(target.namespace, app_labels(target.app, component.name))
            for pod in pods:
                labels = pod["metadata"].get("labels") or {}
                data = parts.had(entries.get(labels.get(LABEL_NODE, ""), {}), str(labels.get(VERSION_LABEL, "")))
                if labels.get(LABEL_ROLE) in writable and data and version_key(data) > version_key(version):
                    return True
        return False

    @activity.defn(name=Step.ROLL_BACK)
    async def roll_back(self, target: Target) -> RolledBack:
        """The record is what it was before the operation; rolling, or syncing, then brings the nodes back. Whoever has
        asked once finds nothing to put back the second time, and goes by the nodes."""
        platform = self._platform
        want = await wanted(platform, target)
        basic = want.live.basic
        if target.operation == OperationType.UPGRADE_PLUGIN:
            former = str(basic.get(PREVIOUS_PLUGIN) or basic.get("pluginVersion", ""))
            await self._write(target, {"basic": lambda before: {**(before or {}), "pluginVersion": former}})
            return RolledBack()
        record = read_part(want.live.metadata, "record") or {}
        previous = record.get("previous")
        if not previous:
            # Put back before, and interrupted: by a failover, say, onto a node of the new version.
            back = str(record.get("runtimeVersion") or "")
            return RolledBack(too_late=bool(back) and await self._primary_is_new(want, target, back))
        version = str(previous["runtimeVersion"])
        if previous.get("final") or await self._primary_is_new(want, target, version):
            return RolledBack(too_late=True)
        changes: dict[str, Part] = {"record": parts.restored}
        if version:
            changes["basic"] = lambda before: {**(before or {}), "runtimeVersion": version}
        await self._write(target, changes)
        await tell(platform, target, "RollingBack", f"{target.operation} was aborted; going back to {version}")
        return RolledBack()

    async def _write(self, target: Target, changes: dict[str, Part]) -> None:
        await update_metadata(self._platform, target.namespace, target.app, changes)
