"""``applyGroup``: ConfigMaps, volume claims and Deployments of one group's nodes.

Until the first Deploy has completed, a spec may also ask for other Pods or fewer nodes than an earlier one did (30
was meant to be 3): those that are not wanted any more go, but for their volumes. Nodes that serve already are left for
the workflow to replace, one after another: an edit with which no engine starts is found on one of them. Afterwards an
existing Pod template is only changed by operations that roll one node after another, and fewer nodes is an operation of
its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from temporalio import activity

from activities.agents.addresses import node_addresses
from activities.agents.agent_targets import node_states
from activities.agents.config_maps import first_primary, rendered_config_maps
from activities.app import bootstrap
from activities.app.desired import desired_for
from activities.app.retained_volumes import held_nodes
from activities.cluster.apply import check_owner, is_own, put
from activities.cluster.claims import renew_unbound
from activities.cluster.diff import differences
from activities.cluster.gather import together
from activities.cluster.lost_pods import remove_lost_pods
from activities.cluster.state import update_members
from activities.cluster.status import tell_step
from activities.dependencies import Platform
from activities.rollout.plan_roll import ordered, writable_nodes
from api.names import ANNOTATION_APP_UID, LABEL_APP, UNDECIDED, app_labels
from api.steps import Applied, GroupStep, Replacement, Step, Target
from clients.resources import CONFIG_MAP, DEPLOYMENT, SERVICE, VOLUME_CLAIM, Manifest, Resource
from render.desired.app import DesiredApp, DesiredComponent, DesiredGroup, DesiredNode
from render.desired.recorded_state import State
from render.desired.state_edits import written
from render.manifests.deployments import deployment_manifest, hashes_of, keeps_template, put_right
from render.manifests.objects import node_volume_claim

_SEEN_WITHIN = 30.0


@dataclass(frozen=True)
class _Live:
    """Objects that carry the names of the group's nodes, whoever owns them; each checked before it is used. ``ran``:
    the App has run, so that Pods change only one after another. ``state``: what is recorded of the App."""

    ran: bool
    state: State
    config_maps: Mapping[str, Manifest]
    claims: Mapping[str, Manifest]
    deployments: Mapping[str, Manifest]


class ApplyGroup:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.APPLY_GROUP)
    async def apply_group(self, step: GroupStep) -> Applied:
        platform, target = self._platform, step.target
        want = await desired_for(platform, target)
        desired = want.desired
        component = desired.component(step.component)
        group = component.group(step.group)
        addresses = await node_addresses(platform, desired)
        ran = want.live.deployed is not None
        live = await self._live(target, component, want.live.state, ran=ran)
        held = held_nodes(desired, component, live.claims)
        if held:  # nodes without a volume yet wait for the same decision
            held |= {node.name for node in component.nodes if node.name not in live.claims}
        over = bootstrap.over(want.live, component)
        if not over and bootstrap.has_lost_a_volume(want.live, component, live.config_maps, live.claims):
            # Before there is a claim again, which a Pod may wait for.
            await bootstrap.end_before_deployed(platform, target, desired, component)
            over, live = True, await self._live(target, component, want.live.state, ran=ran)
        first = first_primary(component, ran=over, held=held)
        chosen = [node for node in group.nodes if not step.nodes or node.name in step.nodes]
        left = [] if ran or step.nodes else await self._serving(target, desired, component, group, live)
        names = {each.node for each in left}
        rendered = await rendered_config_maps(
            desired,
            component,
            [node for node in chosen if node.name not in names],
            addresses,
            live.config_maps,
            bootstrap=first,
            held=held,
        )
        await tell_step(platform, target, f"{component.name}/{group.name}: apply")
        made: dict[str, tuple[str, str]] = {}
        counts = await together(
            self._node(target, desired, component, group, node, manifest if changed else None, live, bool(held), made)
            for node, manifest, changed in rendered
        )
        if made:
            edit = partial(written, hashes=made)
            await update_members(platform, target.namespace, group.resource_name, edit)
        for name in step.nodes:
            await self._seen(target, name)
        if ran:
            removed = await remove_lost_pods(platform, target, {node.name for node in group.nodes})
        else:
            removed = await self._remove_surplus(target, component, group)
        return Applied(sum(counts) + removed, left)

    async def _seen(self, target: Target, name: str) -> None:
        """Until the cache has the Deployment as it was written: by what it had before, the node would still serve, and
        the next one be taken. Raises TimeoutError."""
        platform = self._platform
        written = await platform.kubernetes.get(DEPLOYMENT, name, target.namespace)
        wanted = int((written or {"metadata": {}})["metadata"].get("generation", 0))

        def seen() -> bool | None:
            cached = platform.deployments.get(target.namespace, name) or {"metadata": {}}
            return True if int(cached["metadata"].get("generation", 0)) >= wanted else None

        labels = app_labels(target.app)
        await platform.deployments.wait_for(seen, _SEEN_WITHIN, namespace=target.namespace, labels=labels)

    async def _serving(
        self, target: Target, desired: DesiredApp, component: DesiredComponent, group: DesiredGroup, live: _Live
    ) -> list[Replacement]:
        """In mid-deploy an edit may be one with which no engine starts. Nodes that serve are not to find that out
        together, so they are left for later, the writable one last. Those that do not serve have nothing to lose."""
        platform = self._platform
        await platform.deployments.synced(30)
        await platform.pods.synced(30)
        states = node_states(platform, target.namespace, target.app, [node.name for node in group.nodes])
        changing = [
            node
            for node in group.nodes
            if states[node.name].ready
            and node.name in live.deployments
            and keeps_template(
                deployment_manifest(desired, component, group, node),
                live.deployments[node.name],
                live.state.members.get(node.name),
            )
        ]
        writable = set(writable_nodes(component, changing, states))
        ranked = [node for batch in ordered(component, changing, states) for node in batch]
        return [Replacement(group.name, node.name, node.name in writable) for node in ranked]

    async def _remove_surplus(self, target: Target, component: DesiredComponent, group: DesiredGroup) -> int:
        kubernetes = self._platform.kubernetes
        labels = app_labels(target.app, component.name, group.name)
        deployments, _ = await kubernetes.list(DEPLOYMENT, target.namespace, labels=labels)
        names = {str(each["metadata"]["name"]) for each in deployments} - {node.name for node in group.nodes}
        surplus = [each for each in deployments if each["metadata"]["name"] in names and is_own(target, each)]
        for name in sorted(str(each["metadata"]["name"]) for each in surplus):
            for resource in (DEPLOYMENT, SERVICE, CONFIG_MAP):
                live = await kubernetes.get(resource, name, target.namespace)
                if live is not None and is_own(target, live):
                    await kubernetes.delete(resource, name, target.namespace, uid=live["metadata"]["uid"])
        return len(surplus)

    async def _live(self, target: Target, component: DesiredComponent, state: State, *, ran: bool) -> _Live:
        # By name, not by label: an object of the name without our label is somebody else's, and must be seen too.
        names = [node.name for node in component.nodes]

        async def read(resource: Resource) -> dict[str, Manifest]:
            found = await together(self._platform.kubernetes.get(resource, name, target.namespace) for name in names)
            present = {name: each for name, each in zip(names, found, strict=True) if each is not None}
            for each in present.values():
                # A claim that somebody has deleted stays while its Pod runs: nothing else is to wait for that.
                check_owner(target, each, may_go=ran and resource is VOLUME_CLAIM)
            return present

        config_maps, claims, deployments = await together([read(CONFIG_MAP), read(VOLUME_CLAIM), read(DEPLOYMENT)])
        return _Live(ran, state, config_maps, claims, deployments)

    async def _node(
        self,
        target: Target,
        desired: DesiredApp,
        component: DesiredComponent,
        group: DesiredGroup,
        node: DesiredNode,
        config_map: Manifest | None,
        live: _Live,
        beside_kept: bool,
        made: dict[str, tuple[str, str]],
    ) -> int:
        """The number of objects written. The Deployment last: its Pod mounts the others. ``made`` gets the hashes of
        what it was made of: noted afterwards, so that a worker that dies between leaves a node that is rolled once
        more, and restarts nothing."""
        kubernetes = self._platform.kubernetes
        first, renewed = [], 0
        if config_map is not None:
            first.append(put(self._platform, config_map))
        claim = node_volume_claim(desired, component, group, node)
        if claim is not None and node.name not in live.claims:
            if beside_kept:
                claim["metadata"]["annotations"][ANNOTATION_APP_UID] = UNDECIDED
            first.append(kubernetes.create(claim))
        elif claim is not None and await renew_unbound(self._platform, target, live.claims[node.name], claim):
            renewed = 1
        elif claim is not None and LABEL_APP not in (live.claims[node.name]["metadata"].get("labels") or {}):
            labels = {"metadata": {"labels": claim["metadata"]["labels"]}}
            first.append(kubernetes.patch(VOLUME_CLAIM, node.name, target.namespace, labels))
        await together(first)
        deployment = deployment_manifest(desired, component, group, node)
        present = live.deployments.get(node.name)
        if present is not None and live.ran:
            member, recorded = live.state.members.get(node.name), live.state.groups.get(group.resource_name)
            former = recorded.current if recorded is not None else None
            deployment = put_right(desired, component, group, node, present, member, former)
        whole = "template" in deployment["spec"]
        if whole and (present is None or hashes_of(deployment) != hashes_of({}, live.state.members.get(node.name))):
            made[node.name] = hashes_of(deployment)
        if present is not None and not differences(deployment, present):
            return len(first) + renewed
        if whole:
            await kubernetes.apply(deployment)
        else:
            change = {"metadata": {"labels": deployment["metadata"]["labels"]}, "spec": deployment["spec"]}
            await kubernetes.patch(DEPLOYMENT, node.name, target.namespace, change)
        return len(first) + renewed + 1
