"""``planDeletion``, ``deleteComponent``, ``deleteLeftovers``: taking an App down by what is there, not by what was
wanted.

Nodes of a component first (Deployment, then wait until its Pods have ended, so that engines shut down in order),
then what they used. Volumes and the passwords that open them go only under ``deletionPolicy: Delete``,
but for claims that never had a volume. Before anything goes each claim is told which version of the engine has had
its volume. The finalizer is last: as long as anything is left that it should take, the App is still there to say so.

Who may edit Pods, Deployments and claims can take their labels. Those are found without: Deployments by their owner,
claims by the App's uid in their annotation, Pods by what they are made of (``activities.cluster.lost_pods``). All else
the garbage collector removes, as the App owns it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from temporalio import activity

from activities.app.disruption_budgets import budget_resource
from activities.app.observed import live_app, observe
from activities.app.retained_volumes import data_versions
from activities.cluster.apply import is_own
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.cluster.lost_pods import lost_pods
from activities.cluster.status import ConditionChange, StatusChange, tell_step
from activities.dependencies import Platform, permanent
from api.app import DeletionPolicy, Phase
from api.names import (
    ANNOTATION_RUNTIME_VERSION,
    LABEL_APP,
    LABEL_COMPONENT,
    LABEL_GROUP,
    LABEL_NODE,
    agent_tls_name,
    app_labels,
    credentials_name,
)
from api.steps import ComponentPlan, ComponentStep, ErrorType, GroupPlan, Plan, Step, Target
from clients.app_object import drop_finalizer
from clients.resources import (
    COMPONENT,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    GROUP,
    POD,
    SECRET,
    SERVICE,
    VOLUME_CLAIM,
    Manifest,
    Resource,
)
from render.desired.app import chosen_topology, start_order
from render.manifests.volumes import never_bound
from render.plugin.bundle import PluginRefused
from render.validation.app import parse_app

_GRACE_MARGIN = 30.0
"""Seconds beyond a Pod's grace period after which it is not waited for: its machine is gone, or a finalizer holds
it."""
_LOOK_EVERY = 1.0


class Delete:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.PLAN_DELETION)
    async def plan_deletion(self, target: Target) -> Plan:
        platform = self._platform
        app = await dying_app(platform, target)
        change = StatusChange(
            phase=Phase.DELETING,
            message=f"deleting; volumes and passwords are {'deleted' if _deletes_data(app) else 'kept'}",
            conditions={"Progressing": ConditionChange(True, "Delete")},
        )
        await tell(platform, target, "DeleteStarted", f"deletionPolicy {_policy(app)}")
        await tell_step(platform, target, "plan", change)
        deployments = await self._all(target, DEPLOYMENT)
        found: dict[str, dict[str, list[str]]] = {}
        for deployment in deployments:
            labels = deployment["metadata"].get("labels") or {}
            if labels.get(LABEL_APP) != target.app or LABEL_COMPONENT not in labels:
                continue  # it has lost them, and goes with the leftovers
            groups = found.setdefault(labels[LABEL_COMPONENT], {})
            groups.setdefault(labels.get(LABEL_GROUP, ""), []).append(labels.get(LABEL_NODE, ""))
        await self._note_versions(target, deployments)
        order = await self._start_order(app)
        # What was started last goes first; what no topology knows any more goes before all.
        names = sorted(found, key=lambda name: order.index(name) if name in order else len(order), reverse=True)
        return Plan(
            [
                ComponentPlan(name, [GroupPlan(group, sorted(nodes)) for group, nodes in sorted(found[name].items())])
                for name in names
            ]
        )

    async def _note_versions(self, target: Target, deployments: Sequence[Manifest]) -> None:
        """On the claims, while the Deployments are there: where the record was lost nothing else says which version an
        engine had, and the next App of the name may want a lower one. Also where data are to go: the policy may be
        edited until they do."""
        kubernetes = self._platform.kubernetes
        live = await observe(self._platform, target.namespace, target.app, target.uid)
        claims = {str(claim["metadata"]["name"]): claim for claim in await self._all(target, VOLUME_CLAIM)}
        by_name = {str(each["metadata"]["name"]): each for each in deployments}
        for name, version in data_versions(live.state, claims, by_name, live.groups, live.revisions).items():
            change = {"metadata": {"annotations": {ANNOTATION_RUNTIME_VERSION: version}}}
            await kubernetes.patch(VOLUME_CLAIM, name, target.namespace, change)

    async def _start_order(self, manifest: Manifest) -> list[str]:
        """Empty where spec or plugin are broken: then any order must do."""
        app, _ = parse_app(manifest)
        if app is None:
            return []
        try:
            bundle = await self._platform.plugins.bundle(app.spec.plugin.name, app.spec.plugin.version)
        except PluginRefused:
            return []
        topology = chosen_topology(app, bundle) if bundle is not None else None
        try:
            return [component.name for component in start_order(topology)] if topology is not None else []
        except ValueError:
            return []

    @activity.defn(name=Step.DELETE_COMPONENT)
    async def delete_component(self, step: ComponentStep) -> None:
        platform, target = self._platform, step.target
        await dying_app(platform, target)
        await tell_step(platform, target, f"{step.component}: delete")
        labels = app_labels(target.app, step.component)
        nodes = await self._nodes(target, step.component)
        await self._delete_all(target, DEPLOYMENT, step.component)
        await self._pods_gone(target, step.component, labels)
        await self._lost_pods_gone(target, step.component, nodes)
        for resource in (SERVICE, CONFIG_MAP, await budget_resource(platform)):
            await self._delete_all(target, resource, step.component)

    async def _pods_gone(self, target: Target, component: str, labels: Mapping[str, str]) -> None:
        pods = self._platform.pods
        await pods.synced(30)
        # The cache may not have seen the last Pods yet; the API server has.
        found, _ = await self._platform.kubernetes.list(pods.resource, target.namespace, labels=labels)
        if not found:
            return
        uids = {pod["metadata"]["uid"] for pod in found}
        grace = max(float(pod["spec"].get("terminationGracePeriodSeconds", 30)) for pod in found)
        # A Deployment is gone at once; its ReplicaSet and Pods follow by the garbage collector, which may lag.
        for pod in found:
            await self._platform.kubernetes.delete(pods.resource, pod["metadata"]["name"], target.namespace)

        def gone() -> bool | None:
            left = {pod["metadata"]["uid"] for pod in pods.list(target.namespace, labels)}
            return True if not left & uids else None

        try:
            await pods.wait_for(gone, grace + _GRACE_MARGIN, namespace=target.namespace, labels=labels)
        except TimeoutError:
            names = [str(pod["metadata"]["name"]) for pod in pods.list(target.namespace, labels)]
            await self._left_behind(target, component, names, grace)

    async def _nodes(self, target: Target, component: str) -> set[str]:
        """Names of nodes that were not taken down yet. ConfigMaps go after the Pods, so a repeat knows them too."""
        found = [each for resource in (DEPLOYMENT, CONFIG_MAP) for each in await self._all(target, resource, component)]
        return {str(each["metadata"]["name"]) for each in found if is_own(target, each)}

    async def _lost_pods_gone(self, target: Target, component: str, nodes: Collection[str]) -> None:
        """Pods of the ``nodes`` that no Deployment has any more. The watch knows only what has our labels, so the API
        server is asked."""
        platform, loop = self._platform, asyncio.get_running_loop()
        began, grace, asked = loop.time(), 0.0, dict[str, str]()
        while True:
            for pod in (await lost_pods(platform, target.namespace, nodes)).values():
                name, uid = str(pod["metadata"]["name"]), str(pod["metadata"]["uid"])
                grace = max(grace, float(pod["spec"].get("terminationGracePeriodSeconds", 30)))
                await platform.kubernetes.delete(POD, name, target.namespace, uid=uid)
                asked[uid] = name
            if not asked:
                return
            found, _ = await platform.kubernetes.list(POD, target.namespace)
            asked = {uid: asked[uid] for pod in found if (uid := str(pod["metadata"]["uid"])) in asked}
            if asked and loop.time() - began > grace + _GRACE_MARGIN:
                await self._left_behind(target, component, asked.values(), grace)
                return
            await asyncio.sleep(_LOOK_EVERY)

    async def _left_behind(self, target: Target, component: str, names: Iterable[str], grace: float) -> None:
        which = ", ".join(sorted(names))
        message = f"{component}: Pods did not end in {grace + _GRACE_MARGIN:.0f} s and are left behind: {which}"
        await tell(self._platform, target, "PodsLeftBehind", message, warning=True)

    @activity.defn(name=Step.DELETE_LEFTOVERS)
    async def delete_leftovers(self, target: Target) -> None:
        platform = self._platform
        app = await dying_app(platform, target)
        await tell_step(platform, target, "leftovers")
        # Those that have lost their labels, or are of no component: their Pods end before what they use goes.
        strays = {str(each["metadata"]["name"]) for each in await self._all(target, DEPLOYMENT)}
        claims = {str(each["metadata"]["name"]) for each in await self._all(target, VOLUME_CLAIM)}
        await self._delete_all(target, DEPLOYMENT)
        if strays:
            await self._pods_gone(target, target.app, app_labels(target.app))
        await self._lost_pods_gone(target, target.app, strays | claims)
        for resource in (
            SERVICE,
            CONFIG_MAP,
            await budget_resource(platform),
            GROUP,
            COMPONENT,
            CONTROLLER_REVISION,
        ):
            await self._delete_all(target, resource)
        await self._delete_secret(target, agent_tls_name(target.app))
        if _deletes_data(app):
            await self._delete_secret(target, credentials_name(target.app))
            await self._delete_all(target, VOLUME_CLAIM)
        else:
            # Kept, the next App of the name would take them up and wait for their volumes.
            await self._delete_all(target, VOLUME_CLAIM, only=never_bound)
        await tell(platform, target, "DeleteCompleted", f"deletionPolicy {_policy(app)}")
        await drop_finalizer(platform.kubernetes, app)

    async def _delete_all(
        self,
        target: Target,
        resource: Resource,
        component: str = "",
        *,
        only: Callable[[Manifest], bool] = lambda _: True,
    ) -> None:
        """What is the App's own: the label alone anybody can give to an object, and lose it by a deletion."""
        kubernetes = self._platform.kubernetes
        chosen = [each for each in await self._all(target, resource, component) if only(each)]
        own = [each for each in chosen if is_own(target, each)]
        left = sorted(str(each["metadata"]["name"]) for each in chosen if not is_own(target, each))
        if left:
            message = f"{resource.kind} {', '.join(left)}: the label is this App's and the object is not; it stays"
            await tell(self._platform, target, "NotOwned", message, warning=True)
        await together(
            kubernetes.delete(resource, each["metadata"]["name"], target.namespace, uid=each["metadata"]["uid"])
            for each in own
        )

    async def _all(self, target: Target, resource: Resource, component: str = "") -> list[Manifest]:
        """What has the App's label, and what is its own though it has lost that; with ``component`` only what has the
        labels of both."""
        kubernetes, label = self._platform.kubernetes, app_labels(target.app).items()
        if component:
            found, _ = await kubernetes.list(resource, target.namespace, labels=app_labels(target.app, component))
            return list(found)
        found, _ = await kubernetes.list(resource, target.namespace)
        return [e for e in found if label <= (e["metadata"].get("labels") or {}).items() or is_own(target, e)]

    async def _delete_secret(self, target: Target, name: str) -> None:
        """By name: the right to list Secrets would be the right to read every Secret of the cluster."""
        secret = await self._platform.kubernetes.get(SECRET, name, target.namespace)
        if secret is not None and is_own(target, secret):
            await self._platform.kubernetes.delete(SECRET, name, target.namespace, uid=secret["metadata"]["uid"])


async def dying_app(platform: Platform, target: Target) -> Manifest:
    """The App, asked for anew by each step: that somebody has deleted it is the only reason to take anything down.
    Raises ApplicationError NotAsked where nobody has."""
    app = await live_app(platform, target)
    if not app["metadata"].get("deletionTimestamp"):
        where = f"App {target.namespace}/{target.app}"
        message = f"nobody has deleted {where}, so nothing of it is taken down; kubectl delete app does that"
        raise permanent(ErrorType.NOT_ASKED, message)
    return app


def _policy(app: Manifest) -> str:
    return str((app.get("spec") or {}).get("deletionPolicy") or DeletionPolicy.RETAIN)


def _deletes_data(app: Manifest) -> bool:
    return _policy(app) == DeletionPolicy.DELETE
