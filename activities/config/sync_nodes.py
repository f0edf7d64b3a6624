"""``syncNodes``: running agents get the files and tools of their nodes at once, and engines the parameters they lack.

For all that changes documents without changing a Pod: nodes that came or went, another plugin version, a file that
somebody edited. Nothing is restarted by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents.addresses import node_addresses
from activities.agents.agent_targets import reachable
from activities.agents.config_maps import rendered_config_maps
from activities.agents.node_tools import reloads_before_restart
from activities.agents.push import PushRefusedError, push
from activities.agents.request_ids import request_id
from activities.app.applied_config import note_effective, read_back
from activities.app.desired import desired_for
from activities.cluster.apply import put
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.dependencies import Platform
from api.effective import noted
from api.names import app_labels
from api.steps import Applied, ComponentStep, Step, Target
from clients.agents import AgentError, AgentTarget
from clients.resources import CONFIG_MAP, Manifest
from render.check.applied_parameters import dynamic_of, effective, node_parameters, without_restart
from render.desired.app import DesiredApp, DesiredComponent, DesiredNode
from render.manifests.lists import revision_of


class SyncNodes:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.SYNC_NODES)
    async def sync_nodes(self, step: ComponentStep) -> Applied:
        """How many nodes were given something. A node whose Pod does not run reads its files when it starts."""
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        component = want.desired.component(step.component)
        addresses = await node_addresses(platform, want.desired)
        found, _ = await platform.kubernetes.list(
            CONFIG_MAP, target.namespace, labels=app_labels(target.app, component.name)
        )
        live = {str(each["metadata"]["name"]): each for each in found}
        await platform.deployments.synced(30)
        await platform.pods.synced(30)
        agents = reachable(platform, target, [node.name for node in component.nodes])
        rendered = await rendered_config_maps(want.desired, component, component.nodes, addresses, live, bootstrap=None)
        given = await together(
            self._node(target, want.desired, component, node, manifest, changed, addresses, agents)
            for node, manifest, changed in rendered
        )
        return Applied(sum(given))

    async def _node(
        self,
        target: Target,
        desired: DesiredApp,
        component: DesiredComponent,
        node: DesiredNode,
        manifest: Manifest,
        changed: bool,
        addresses: Mapping[str, str],
        agents: Mapping[str, AgentTarget],
    ) -> bool:
        if changed:
            await put(self._platform, manifest)
        agent = agents.get(node.name)
        if agent is None:
            return changed
        values = node_parameters(desired, component, node, addresses)
        live = await self._platform.kubernetes.get(CONFIG_MAP, node.name, target.namespace)
        note = noted(live)
        wants = effective(component, values, {})
        answers = await read_back(self._platform, agent)
        lacks = note is not None and (note.dynamic != wants.dynamic or _differs(note.read_back, answers))
        if not lacks and await self._revision(agent) >= revision_of(manifest):
            return changed
        # A restart that is still to come brings them.
        waits = (
            note is not None
            and note.restart != wants.restart
            and not await reloads_before_restart(self._platform, desired, component, node, addresses)
        )
        try:
            after = await push(
                self._platform,
                agent,
                manifest,
                dynamic_of(component, values) if lacks and not waits else {},
                request_id("sync", node.name),
            )
        except PushRefusedError as error:
            await tell(self._platform, target, "PushRefused", f"{node.name}: {error}", warning=True)
            raise ApplicationError(f"{node.name} does not take its files: {error}") from error
        if note is not None and after:
            done = without_restart(component, effective(component, values, after), note)
            if waits:
                done = replace(done, dynamic=note.dynamic)
            await note_effective(self._platform, target.namespace, node.name, done)
        return True

    async def _revision(self, agent: AgentTarget) -> int:
        try:
            return int((await self._platform.agents.status(agent)).revision)
        except AgentError:
            return 0


def _differs(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    return bool(now) and any(now.get(name, "") != value for name, value in before.items())
