"""``expandVolumes`` and ``rollBack``: what a Resize or an Upgrade needs beside rolling nodes."""

from __future__ import annotations

from temporalio import activity

from activities.app.desired import StepContext, desired_for
from activities.app.observed import update_state
from activities.cluster.claims import renew_unbound
from activities.cluster.events import tell
from activities.cluster.state import update_deployed
from activities.cluster.status import tell_step
from activities.dependencies import Platform, permanent
from activities.rollout.volumes import ungrown, wait_grown
from api.meta import parse_quantity
from api.names import LABEL_NODE, LABEL_ROLE, app_labels
from api.operations import OperationType
from api.steps import Applied, ErrorType, RolledBack, Step, Target
from clients.errors import InvalidError
from clients.resources import VOLUME_CLAIM
from language.versions import version_key
from render.check.growth import Ungrown
from render.desired.app import DesiredApp
from render.desired.recorded_state import State
from render.desired.state_edits import had, plugin_put_back, restored
from render.manifests.deployments import VERSION_LABEL
from render.manifests.objects import node_volume_claim
from render.manifests.volumes import held_sizes


class Upgrade:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.EXPAND_VOLUMES)
    async def expand_volumes(self, target: Target) -> Applied:
        """Asks for larger volumes, how many, and waits until they are there, or are as soon as their Pods are started
        anew: ``planRoll`` finds those. Claims that never had a volume are made anew instead. Raises ApplicationError
        NodeStuck."""
        platform = self._platform
        want = await desired_for(platform, target)
        renewed = await self._renew(target, want.desired)
        growing = await ungrown(platform, want.desired)
        asked = [name for name, volume in sorted(growing.items()) if volume.asks_otherwise]
        for name in asked:
            await tell_step(platform, target, f"{name}: expand to {growing[name].size}")
            await self._ask(target, name, growing[name])
        if growing:
            await tell_step(platform, target, f"wait until the volumes have grown: {', '.join(sorted(growing))}")
            await wait_grown(platform, target.namespace, {name: each.size for name, each in growing.items()})
        return Applied(len(asked) + renewed)

    async def _renew(self, target: Target, desired: DesiredApp) -> int:
        """How many claims."""
        found, _ = await self._platform.kubernetes.list(VOLUME_CLAIM, target.namespace, labels=app_labels(target.app))
        claims = {str(claim["metadata"]["name"]): claim for claim in found}
        wanted = [
            (claims[node.name], claim)
            for component in desired.components
            for group in component.groups
            for node in group.nodes
            if node.name in claims and (claim := node_volume_claim(desired, component, group, node)) is not None
        ]
        return sum([await renew_unbound(self._platform, target, live, claim) for live, claim in wanted])

    async def _ask(self, target: Target, name: str, volume: Ungrown) -> None:
        change = {"spec": {"resources": {"requests": {"storage": volume.size}}}}
        try:
            await self._platform.kubernetes.patch(VOLUME_CLAIM, name, target.namespace, change)
        except InvalidError as error:
            # Less than was asked for before: not every API server takes that.
            message = f"the claim {name} asks for {volume.asks} and cannot ask for {volume.size}: {error.message}"
            raise permanent(ErrorType.NODE_STUCK, message) from error

    async def _primary_is_new(self, want: StepContext, target: Target, version: str) -> bool:
        """Also an engine's own election may have moved a writable role onto a node of the new version."""
        members = want.live.state.members
        for component in want.desired.components:
            writable = {role.name for role in component.definition.roles if role.writable}
            pods = self._platform.pods.list(target.namespace, app_labels(target.app, component.name))
            for pod in pods:
                labels = pod["metadata"].get("labels") or {}
                data = had(members.get(labels.get(LABEL_NODE, "")), str(labels.get(VERSION_LABEL, "")))
                if labels.get(LABEL_ROLE) in writable and data and version_key(data) > version_key(version):
                    return True
        return False

    @activity.defn(name=Step.ROLL_BACK)
    async def roll_back(self, target: Target) -> RolledBack:
        """What was before the operation counts again; rolling, or syncing, then brings the nodes back. Whoever has
        asked once finds nothing to put back the second time, and goes by the nodes. Of several Groups one may be put
        back and another not, where a worker died: a repeat finds that one still rolling."""
        platform = self._platform
        want = await desired_for(platform, target)
        state = want.live.state
        if target.operation == OperationType.UPGRADE_PLUGIN:
            await update_deployed(platform, target, plugin_put_back)
            return RolledBack()
        version = state.rolled_from
        if not version:
            # Put back before, and interrupted: by a failover, say, onto a node of the new version.
            back = state.runtime_version
            return RolledBack(too_late=bool(back) and await self._primary_is_new(want, target, back))
        if state.final or await self._primary_is_new(want, target, version):
            return RolledBack(too_late=True)
        grown = await self._grown(target, state)
        await update_state(platform, target, lambda before: restored(before, grown), want.live)
        await tell(platform, target, "RollingBack", f"{target.operation} was aborted; going back to {version}")
        return RolledBack()

    async def _grown(self, target: Target, state: State) -> set[str]:
        """Names of the groups of which a volume has the size that was asked for: it cannot be taken back."""
        found, _ = await self._platform.kubernetes.list(VOLUME_CLAIM, target.namespace, labels=app_labels(target.app))
        has = held_sizes(found)
        storages = {name: group.update.storage for name, group in state.groups.items() if group.update is not None}
        sizes = {name: storage.size for name, storage in storages.items() if storage is not None}
        return {name for name, size in sizes.items() if parse_quantity(has.get(name, "0")) >= parse_quantity(size)}
