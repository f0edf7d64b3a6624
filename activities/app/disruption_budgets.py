"""The PodDisruptionBudgets of an App: written as they are wanted, and taken away where they are not wanted any more.

One too many is worse than one too few: a budget that forbids the eviction of a node that nobody can replace holds up a
drain for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from activities.app.observed import owned_by
from activities.cluster.apply import apply_all
from activities.dependencies import Platform
from api.names import LABEL_COMPONENT, app_labels
from api.steps import Target
from clients.resources import DISRUPTION_BUDGET, DISRUPTION_BUDGET_BETA, Manifest, Resource
from render.desired.app import DesiredApp
from render.manifests.lists import budget_manifests


async def budget_resource(platform: Platform) -> Resource:
    """``policy/v1`` where the API server has it, else the one before."""
    return DISRUPTION_BUDGET if await platform.kubernetes.serves(DISRUPTION_BUDGET) else DISRUPTION_BUDGET_BETA


async def apply_budgets(platform: Platform, target: Target, desired: DesiredApp, component: str | None = None) -> int:
    """Of one component, or of all; how many were written."""
    resource = await budget_resource(platform)
    wanted = [each for each in budget_manifests(desired, resource.api_version) if component in (None, _component(each))]
    applied = await apply_all(platform, target, wanted)
    live, _ = await platform.kubernetes.list(resource, target.namespace, labels=app_labels(target.app, component))
    names = {str(each["metadata"]["name"]) for each in wanted}
    for each in surplus_budgets(live, names, target.uid):
        metadata = each["metadata"]
        await platform.kubernetes.delete(resource, metadata["name"], target.namespace, uid=metadata["uid"])
    return sum(changed for _, changed in applied)


def surplus_budgets(live: Iterable[Manifest], wanted: Collection[str], uid: str) -> Iterator[Manifest]:
    """Those of this very App that are not wanted: a person's own, without that owner, are no matter of ours."""
    return (each for each in live if each["metadata"]["name"] not in wanted and owned_by(each, uid))


def _component(budget: Manifest) -> str:
    return str(budget["metadata"]["labels"][LABEL_COMPONENT])
