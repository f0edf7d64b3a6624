"""``prepare`` and ``services``: all that must be there before the first node.

``prepare``: finalizer, Secrets, Component and Group resources, and what is recorded in their statuses. ``services``:
every Service of the App, whose ClusterIPs are the nodes' addresses, and the disruption budgets.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from temporalio import activity

from activities.app.desired import StepContext, desired_for
from activities.app.disruption_budgets import apply_budgets
from activities.app.node_services import apply_services
from activities.app.observed import update_state
from activities.app.retained_volumes import kept_components
from activities.app.secrets import ensure_agent_certificate, ensure_credentials
from activities.cluster.apply import apply_all, apply_owned
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.cluster.state import update_deployed
from activities.cluster.status import ConditionChange, StatusChange, tell_step
from activities.dependencies import Platform
from api.app import Phase
from api.meta import counted
from api.names import FINALIZER, app_labels
from api.operations import OperationType
from api.steps import Applied, ComponentPlan, GroupPlan, Plan, Step, Target
from clients.resources import APP, DEPLOYMENT, VOLUME_CLAIM, Manifest
from render.desired.app import DesiredApp, DesiredGroup
from render.desired.recorded_state import State
from render.desired.state_edits import adding, begin, recorded
from render.manifests.lists import record_manifests
from render.manifests.objects import metadata_config_map


class Prepare:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.PREPARE)
    async def prepare(self, target: Target) -> Plan:
        platform = self._platform
        want = await desired_for(platform, target, extend=True)
        await self._add_finalizer(want)
        await self._tell_start(target, want)
        claims, _ = await platform.kubernetes.list(VOLUME_CLAIM, target.namespace, labels=app_labels(target.app))
        kept = kept_components(want.desired, {claim["metadata"]["name"]: claim for claim in claims})
        await together(
            [
                ensure_credentials(platform, target, want.desired),
                ensure_agent_certificate(platform, target, want.desired),
            ]
        )
        if want.live.state.deployed is None:
            # The watcher writes into it. Who has one of that name from somebody else is refused now, and not later.
            await apply_owned(platform, target, metadata_config_map(want.desired))
        await self._record(target, want, kept)
        found, _ = await platform.kubernetes.list(DEPLOYMENT, target.namespace, labels=app_labels(target.app))
        return _plan(want.desired, kept, {str(each["metadata"]["name"]) for each in found})

    @activity.defn(name=Step.SERVICES)
    async def services(self, target: Target) -> Applied:
        platform = self._platform
        want = await desired_for(platform, target, extend=True)
        changed = await apply_services(platform, target, want.desired)
        return Applied(changed + await apply_budgets(platform, target, want.desired))

    async def _add_finalizer(self, want: StepContext) -> None:
        metadata = want.manifest["metadata"]
        finalizers = list(metadata.get("finalizers") or [])
        if FINALIZER in finalizers:
            return
        # With the version it was read at: two writers of a list that is replaced as a whole would lose one's entry.
        change: Manifest = {
            "metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": [*finalizers, FINALIZER]}
        }
        await self._platform.kubernetes.patch(APP, want.app.name, want.app.namespace, change)

    async def _tell_start(self, target: Target, want: StepContext) -> None:
        nodes = len(want.desired.nodes)
        first = target.operation == OperationType.DEPLOY
        change = StatusChange(
            phase=Phase.DEPLOYING if first else Phase.UPDATING,
            message=f"{target.operation}: {target.reason}" if target.reason else f"{target.operation} has begun",
            observed_generation=want.app.generation,
            conditions={
                "Accepted": ConditionChange(True, "Accepted"),
                "Progressing": ConditionChange(True, target.operation),
                "Paused": ConditionChange(False, "NotPaused"),
            },
        )
        said = target.reason or f"{target.operation} of {counted(nodes, 'node')}"
        await tell(self._platform, target, f"{target.operation}Started", said)
        await tell_step(self._platform, target, "prepare", change)

    async def _record(self, target: Target, want: StepContext, kept: frozenset[str]) -> None:
        """The App first: an operation that has begun is known to have begun. Then Components and Groups that are not
        there yet, since their statuses say what they are made of; then the statuses, and only then the other specs:
        those are put back to what the statuses say, so one that is behind is drift."""
        platform, desired, ran = self._platform, want.desired, want.live.deployed is not None
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        runs = want.live.state.runtime_version
        await update_deployed(platform, target, lambda before: begin(before, desired, now, runs))
        manifests = record_manifests(desired, kept)
        new = want.live.missing(manifests)
        await apply_all(platform, target, new)

        def edit(before: State) -> State:
            return recorded(adding(before, desired, ran=ran), desired, target.operation)

        await update_state(platform, target, edit, None if new else want.live)
        await apply_all(platform, target, [each for each in manifests if each not in new])


def _plan(desired: DesiredApp, kept: frozenset[str], deployments: Collection[str]) -> Plan:
    return Plan(
        [
            ComponentPlan(
                name=component.name,
                groups=[_group_plan(group, deployments) for group in component.groups],
                after=list(component.after),
                kept=component.name in kept,
            )
            for component in desired.components
        ]
    )


def _group_plan(group: DesiredGroup, deployments: Collection[str]) -> GroupPlan:
    names = [node.name for node in group.nodes]
    return GroupPlan(group.name, names, [name for name in names if name not in deployments])
