"""``rollNode``: gives one node another Pod, by the record, and waits until it serves again.

1. A volume that the engine of a lower version cannot read is made anew (``activities.rollout.reset_volume``); also
   where only the agent of the new Pod finds that out, by the volume's own record.
2. When the node may stop (``activities.rollout.clearance``): its files of the new version, then its Deployment:
   strategy Recreate ends the old Pod first. A Restart that changes nothing deletes the Pod, known by the uid that it
   had when the operation was planned.
3. Wait for another Pod that is ready, and has been for the group's ``minReadySeconds``; then ask the engine for its
   version, and then whether its component has recovered.
A node that does not come up for a reason that Kubernetes names ends the step: nothing else has been touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.addresses import node_addresses
from activities.agents.agent_targets import agent_of, node_states
from activities.agents.config_maps import rendered_config_maps
from activities.agents.node_state import NodeState
from activities.agents.node_tools import bound
from activities.agents.run_tool import run_tool
from activities.app.applied_config import note_effective, read_back
from activities.app.desired import StepContext, desired_for
from activities.app.wait_ready import STUCK_AFTER, NodeWaiter
from activities.cluster.apply import check_owner, put
from activities.cluster.diff import differences
from activities.cluster.events import tell
from activities.cluster.state import update_members
from activities.cluster.status import tell_step
from activities.dependencies import Platform, permanent
from activities.rollout.clearance import clearance
from activities.rollout.reset_volume import Volume
from activities.rollout.volumes import wait_grown
from api.names import app_labels, group_name
from api.operations import OperationType
from api.steps import ErrorType, NodeStep, Step
from api.tools import ToolName
from clients.resources import CONFIG_MAP, DEPLOYMENT, POD, VOLUME_CLAIM
from render.check.applied_parameters import effective, node_parameters
from render.desired.app import DesiredComponent, DesiredGroup, DesiredNode
from render.desired.state_edits import Members, engine_ran, rolled, verified, written
from render.manifests.deployments import deployment_manifest, hashes_of
from render.manifests.volumes import needs_start


@dataclass(frozen=True)
class _Renewal:
    """``generation``: of the Deployment, which has to be observed; ``replaced``: another Pod comes."""

    generation: int
    replaced: bool


class Node:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.ROLL_NODE)
    async def roll_node(self, step: NodeStep) -> None:
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        component, group, node = self._place(want, step)
        await tell_step(platform, target, f"{node.name}: roll")
        node = replace(node, runtime_version=group.spec.runtime_version)
        cleared = await clearance(platform, target, want.desired, component, node)
        volume = Volume(platform, step, want, component, group, node)
        if await volume.turns_out_unreadable():
            await volume.empty()
        if cleared.asks and await self._would_stop(step, want, component, group, node):
            await cleared.may_stop()
        state = await self._renewed(step, want, component, group, node, volume)
        version = want.desired.bundle.engine_version(node.component, node.runtime_version)
        await self._check_version(step, state, version)
        await self._grown(step, group)
        values = node_parameters(want.desired, component, node, await node_addresses(platform, want.desired))
        answers = await read_back(platform, agent_of(target, state))
        await note_effective(platform, target.namespace, node.name, effective(component, values, answers))
        await cleared.has_settled()
        await self._note(step, lambda before: verified(before, node.name))
        await tell(platform, target, "NodeRolled", f"{node.name} serves again, version {version}")

    async def _renewed(
        self,
        step: NodeStep,
        want: StepContext,
        component: DesiredComponent,
        group: DesiredGroup,
        node: DesiredNode,
        volume: Volume,
    ) -> NodeState:
        """The node as it serves with its new Pod, on a volume made anew where its agent says that the engine may not
        be given what is on it: the volume alone knows that where the statuses were lost."""
        try:
            return await self._given(step, want, component, group, node)
        except ApplicationError as error:
            if error.type != ErrorType.UNREADABLE_VOLUME or not error.details:
                raise
            data = str(error.details[0])
            await self._note(step, lambda before: engine_ran(before, node.name, data))
            if not volume.cannot_read(data):
                raise
        await volume.empty()
        return await self._given(step, want, component, group, node)

    async def _given(
        self, step: NodeStep, want: StepContext, component: DesiredComponent, group: DesiredGroup, node: DesiredNode
    ) -> NodeState:
        await self._note(step, lambda before: rolled(before, node.name, node.runtime_version))
        renewal = await self._give(step, want, component, group, node)
        return await self._serves(step, group, node, renewal)

    async def _note(self, step: NodeStep, change: Callable[[Members], Members]) -> None:
        group = group_name(step.target.app, step.component, step.group)
        await update_members(self._platform, step.target.namespace, group, change)

    async def _serves(self, step: NodeStep, group: DesiredGroup, node: DesiredNode, renewal: _Renewal) -> NodeState:
        """Waits for the Pod. Whatever comes of it, it is noted whether the engine may have had the volume."""
        platform, target = self._platform, step.target
        # Where it need not prove itself, not for Kubernetes' word on that: it comes later than the Pod's.
        proves = group.spec.rolling_update.min_ready_seconds > 0
        ran = False

        def renewed(state: NodeState) -> bool:
            nonlocal ran
            deployment = platform.deployments.get(target.namespace, node.name) or {"metadata": {}}
            seen = int(deployment["metadata"].get("generation", 0)) >= renewal.generation
            uid = state.uid
            other = seen and (not renewal.replaced or uid != (step.pod or "none"))
            ran = ran or (other and bool(uid) and state.running)
            return other and (state.available if proves else state.ready)

        waiter = NodeWaiter(platform, target, f"{node.name}: wait until it serves again", [node.name])
        try:
            return (await waiter.until(renewed, stuck_after=STUCK_AFTER))[0]
        finally:
            if ran:
                await self._note(step, lambda before: engine_ran(before, node.name, node.runtime_version))

    def _place(self, want: StepContext, step: NodeStep) -> tuple[DesiredComponent, DesiredGroup, DesiredNode]:
        component = want.desired.component(step.component)
        group = component.group(step.group)
        node = next((each for each in group.nodes if each.name == step.node), None)
        if node is None:
            raise permanent(ErrorType.NOT_FOUND, f"{step.node} is no node of the App any more")
        return component, want.desired.rolled(group), node

    async def _give(
        self, step: NodeStep, want: StepContext, component: DesiredComponent, group: DesiredGroup, node: DesiredNode
    ) -> _Renewal:
        """Writes what differs; a Restart that starts no other Pod by it deletes the Pod."""
        kubernetes, target = self._platform.kubernetes, step.target
        live_map = await kubernetes.get(CONFIG_MAP, node.name, target.namespace)
        live = await kubernetes.get(DEPLOYMENT, node.name, target.namespace)
        for present in (live_map, live):
            if present is not None:
                check_owner(target, present)
        addresses = await node_addresses(self._platform, want.desired)
        known = {node.name: live_map} if live_map is not None else {}
        for _, manifest, changed in await rendered_config_maps(
            want.desired, component, [node], addresses, known, bootstrap=None
        ):
            if changed:
                await put(self._platform, manifest)
        deployment = deployment_manifest(want.desired, component, group, node)
        before = _template(live)
        if live is None or differences(deployment, live):
            live = await kubernetes.apply(deployment)
        await self._note(step, lambda members: written(members, {node.name: hashes_of(deployment)}))
        # Equal quantities written otherwise, or a change beside the template, start no other Pod.
        replaced = before != _template(live)
        if not replaced and step.pod and await self._needs_start(step):
            await self._delete_pod(step)
            replaced = True
        return _Renewal(int(live["metadata"].get("generation", 0)), replaced)

    async def _would_stop(
        self, step: NodeStep, want: StepContext, component: DesiredComponent, group: DesiredGroup, node: DesiredNode
    ) -> bool:
        """Whether the Pod that is there is to go, also one that has come since the plan was made. A repeat of this step
        asks nothing of the Pod that it has brought."""
        await self._platform.deployments.synced(30)
        await self._platform.pods.synced(30)
        live = await self._platform.kubernetes.get(DEPLOYMENT, node.name, step.target.namespace)
        wanted = deployment_manifest(want.desired, component, group, node)
        if live is not None and any(path.startswith("spec.template") for path in differences(wanted, live)):
            return True
        states = node_states(self._platform, step.target.namespace, step.target.app, [step.node])
        return bool(step.pod) and states[step.node].uid == step.pod and await self._needs_start(step)

    async def _needs_start(self, step: NodeStep) -> bool:
        """Whether another Pod is what is wanted, though it is of the same template."""
        if step.target.operation != OperationType.RESIZE:
            return step.target.operation == OperationType.RESTART
        claim = await self._platform.kubernetes.get(VOLUME_CLAIM, step.node, step.target.namespace)
        return claim is not None and needs_start(claim)

    async def _grown(self, step: NodeStep, group: DesiredGroup) -> None:
        """The new Pod's kubelet grows the file system, where only that was still to be done."""
        if group.spec.storage is None or step.target.operation != OperationType.RESIZE:
            return
        if await self._needs_start(step):
            sizes = {step.node: group.spec.storage.size}
            await wait_grown(self._platform, step.target.namespace, sizes, started=True)

    async def _delete_pod(self, step: NodeStep) -> None:
        pods = self._platform.pods.list(step.target.namespace, app_labels(step.target.app, node=step.node))
        name = next((pod["metadata"]["name"] for pod in pods if pod["metadata"]["uid"] == step.pod), None)
        if name is not None:
            await self._platform.kubernetes.delete(POD, name, step.target.namespace, uid=step.pod)

    async def _check_version(self, step: NodeStep, state: NodeState, wants: str) -> None:
        """The image's tag is a promise; the engine knows."""
        agent = agent_of(step.target, state)
        result = await run_tool(self._platform, agent, ToolName.GET_VERSION, {}, timeout=bound(ToolName.GET_VERSION))
        if result is None:
            return
        version = result.get("version", "")
        if version != wants and not version.startswith(f"{wants}."):
            message = f"{step.node} runs version {version}; its image should hold {wants}"
            raise permanent(ErrorType.NODE_STUCK, message)


def _template(deployment: Mapping[str, Any] | None) -> Any:
    return ((deployment or {}).get("spec") or {}).get("template")
