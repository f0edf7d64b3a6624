"""``prepare`` and ``services``: all that must be there before the first node.

``prepare``: finalizer, Secrets, metadata, Component and Group resources. ``services``: every Service of the App,
whose ClusterIPs are the nodes' addresses, and the disruption budgets.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from temporalio import activity

from activities.app.desired import StepContext, desired_for
from activities.app.disruption_budgets import apply_budgets
from activities.app.node_services import apply_services
from activities.app.retained_volumes import kept_components
from activities.app.secrets import ensure_agent_certificate, ensure_credentials
from activities.cluster import metadata_edits
from activities.cluster.apply import apply_all, apply_owned
from activities.cluster.events import tell
from activities.cluster.gather import together
from activities.cluster.metadata import update_metadata
from activities.cluster.status import ConditionChange, StatusChange, tell_step
from activities.dependencies import Platform
from api.app import Phase
from api.meta import counted
from api.names import FINALIZER, app_labels
from api.operations import OperationType
from api.steps import Applied, ComponentPlan, GroupPlan, Plan, Step, Target
from clients.resources import APP, DEPLOYMENT, VOLUME_CLAIM, Manifest
from render.desired.app import DesiredApp, DesiredGroup
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
                self._metadata(target, want),
            ]
        )
        # After the metadata, which is the truth that they are put back to.
        await self._records(target, want.desired, kept)
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

    async def _records(self, target: Target, desired: DesiredApp, kept: frozenset[str]) -> int:
        return len(await apply_all(self._platform, target, record_manifests(desired, kept)))

    async def _metadata(self, target: Target, want: StepContext) -> int:
        desired, ran = want.desired, want.live.deployed is not None
        await apply_owned(self._platform, target, metadata_config_map(desired))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        await update_metadata(
            self._platform,
            target.namespace,
            target.app,
            {
                "basic": lambda before: metadata_edits.basic(before, desired, now),
                "nodes": lambda before: metadata_edits.adding(before, desired, ran=ran),
                "record": lambda before: metadata_edits.record(before, desired, target.operation),
            },
        )
        return 1


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
