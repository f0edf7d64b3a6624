"""Drift: objects of a deployed App that are missing, or whose fields somebody else has changed.

One list call for each kind, compared with what the steps of a Repair would apply: what is found here is what Repair
puts back. Rendered files are compared too, so a hand-edited node ConfigMap is seen. A replica that follows the wrong
node is drift as well (``activities.look.astray``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from activities.agents.agent_targets import node_states
from activities.agents.config_maps import rendered_config_maps
from activities.app.applied_config import changed_in_engines
from activities.app.disruption_budgets import budget_resource, surplus_budgets
from activities.app.node_services import changed_addresses
from activities.app.observed import ObservedApp
from activities.app.retained_volumes import kept_components, of_this_app
from activities.app.secrets import certificate_problem
from activities.cluster.diff import differences
from activities.cluster.gather import together
from activities.cluster.lost_pods import lost_pods
from activities.dependencies import Platform
from activities.look.astray import strayed
from api.meta import service_address
from api.names import agent_tls_name, app_labels, credentials_name
from clients.resources import (
    CONFIG_MAP,
    DEPLOYMENT,
    SECRET,
    SERVICE,
    VOLUME_CLAIM,
    Manifest,
    Resource,
)
from clients.tls.certificates import KeyPair
from render.check.applied_parameters import unapplied
from render.desired.app import DesiredApp, DesiredNode
from render.desired.recorded_state import State
from render.manifests.deployments import deployment_manifest, put_right
from render.manifests.lists import budget_manifests, record_manifests, revision_of, service_manifests

_SHOWN = 10
"""Sentences in the answer: enough to read, and histories stay small."""

Live = dict[str, Manifest]


class Missing(str):
    """A sentence on what is not there: an operation at work may wait for that without end, so it makes room for a
    Repair (``AppSnapshot.missing``). Decided here, where it is found; no word of the sentence counts."""


class Lost(Missing):
    """Of what nobody but a person can put back, and no watch tells when that is done: it is looked for again and again
    (``AppSnapshot.lost``)."""


@dataclass(frozen=True)
class AppObjects:
    """An App's objects as the API server lists them, by kind; also those that are being deleted. ``budget``: the API
    version of its disruption budgets."""

    items: Mapping[str, Sequence[Manifest]]
    budget: str

    def named(self, resource: Resource) -> dict[str, Manifest]:
        return {str(each["metadata"]["name"]): each for each in self.items[resource.kind]}


async def list_objects(platform: Platform, desired: DesiredApp) -> AppObjects:
    """One call for each kind."""
    budget = await budget_resource(platform)
    kinds = (SERVICE, DEPLOYMENT, CONFIG_MAP, VOLUME_CLAIM, budget)
    lists = await together(
        platform.kubernetes.list(kind, desired.namespace, labels=app_labels(desired.name)) for kind in kinds
    )
    return AppObjects({kind.kind: items for kind, (items, _) in zip(kinds, lists, strict=True)}, budget.api_version)


async def find_drift(
    platform: Platform,
    desired: DesiredApp,
    state: ObservedApp,
    objects: AppObjects,
    *,
    engines: bool = False,
    astray: bool = False,
) -> list[str]:
    """A sentence for each object that is not as it should be, at most ``_SHOWN``. ``engines``: ask the engines too;
    ``astray``: only whom they follow."""
    live, budgets = _by_kind(desired, state, objects)
    found = [
        *await _secrets(platform, desired),
        *_missing_claims(desired, live["PersistentVolumeClaim"], desired.nodes),
    ]
    found += _of_the_app(desired, live, budgets)
    found += _deployments(desired, live["Deployment"], desired.nodes, state.state)
    names = [node.name for node in desired.nodes]
    found += changed_addresses(names, live["Service"], live["Deployment"], live["ConfigMap"])
    found += await _config_maps(desired, live["ConfigMap"], live["Service"])
    found += unapplied(desired, live["ConfigMap"], live["Service"])
    found += await _lost_pods(platform, desired, thorough=engines)
    if (engines or astray) and not found:
        each = await together(strayed(platform, desired, component) for component in desired.components)
        found += [one.sentence for several in each for one in several]
    if engines and not found:
        found += await changed_in_engines(platform, desired, live["ConfigMap"])
    return found[:_SHOWN]


async def find_first_drift(platform: Platform, desired: DesiredApp, state: ObservedApp) -> list[str]:
    """The same while the first Deploy is at work. Of a group of which it has made nothing yet nothing is missed; what
    the nodes' files say is not compared, since it holds engines back, and names a first primary."""
    live, budgets = _by_kind(desired, state, await list_objects(platform, desired))
    kept = kept_components(desired, live["PersistentVolumeClaim"])
    own = {name for name, claim in live["PersistentVolumeClaim"].items() if of_this_app(claim, desired.uid)}
    present = {*live["Deployment"], *live["ConfigMap"], *own}
    made = {(node.component, node.group) for node in desired.nodes if node.name in present}
    nodes = [node for node in desired.nodes if (node.component, node.group) in made]
    found = [*await _secrets(platform, desired), *_missing_claims(desired, live["PersistentVolumeClaim"], nodes)]
    found += _of_the_app(desired, live, budgets, kept)
    found += _deployments(desired, live["Deployment"], nodes, state.state)
    found += [Missing(f"ConfigMap {node.name} is missing") for node in nodes if node.name not in live["ConfigMap"]]
    return found[:_SHOWN]


async def _lost_pods(platform: Platform, desired: DesiredApp, *, thorough: bool) -> list[str]:
    """A Pod that has lost its labels is looked for where a node is not ready, and at a thorough look."""
    await platform.pods.synced(30)
    names = [node.name for node in desired.nodes]
    states = node_states(platform, desired.namespace, desired.name, names)
    if not thorough and all(state.ready for state in states.values()):
        return []
    lost = await lost_pods(platform, desired.namespace, names)
    return [f"Pod {pod['metadata']['name']} of {node} has lost its labels" for node, pod in sorted(lost.items())]


def _by_kind(desired: DesiredApp, state: ObservedApp, objects: AppObjects) -> tuple[dict[str, Live], list[Manifest]]:
    """Live objects by kind and name, and the budgets that should be. A claim that is being deleted is in use, and stays
    until its Pod has ended: nothing can be made in its place before."""
    claims = VOLUME_CLAIM.kind
    live = {kind: _by_name(items, going=kind == claims) for kind, items in objects.items.items()}
    live |= {"Component": dict(state.components), "Group": dict(state.groups)}
    return live, budget_manifests(desired, objects.budget)


async def _secrets(platform: Platform, desired: DesiredApp) -> list[str]:
    # By name: the right to list Secrets would be the right to read every Secret of the cluster.
    names = (credentials_name(desired.name), agent_tls_name(desired.name))
    secrets = await together(platform.kubernetes.get(SECRET, name, desired.namespace) for name in names)
    present = _by_name([secret for secret in secrets if secret is not None])
    return list(_missing_secrets(desired, present, platform.authority))


def _of_the_app(
    desired: DesiredApp, live: Mapping[str, Live], budgets: Sequence[Manifest], kept: frozenset[str] = frozenset()
) -> list[str]:
    """What there is once for the App, a component or a group, and the Services."""
    found = []
    wanted = [*record_manifests(desired, kept), *service_manifests(desired), *budgets]
    for manifest in without_pending_scale(desired, wanted):
        found += _compared(manifest, live[manifest["kind"]])
    names = {str(each["metadata"]["name"]) for each in budgets}
    surplus = surplus_budgets(live["PodDisruptionBudget"].values(), names, desired.uid)
    return found + [f"PodDisruptionBudget {each['metadata']['name']} is one too many" for each in surplus]


def without_pending_scale(desired: DesiredApp, manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """A Group's number is no drift while the App asks for another one than there are nodes: a Scale is to come."""
    pending = {
        group.resource_name
        for component in desired.components
        for group in component.groups
        if {node.ordinal for node in group.nodes} != set(group.spec.ordinals)
    }
    for manifest in manifests:
        if manifest["kind"] == "Group" and manifest["metadata"]["name"] in pending:
            spec = {k: v for k, v in manifest["spec"].items() if k not in ("replicas", "reserveOrdinals")}
            manifest = {**manifest, "spec": spec}
        yield manifest


def _by_name(items: Sequence[Manifest], *, going: bool = False) -> Live:
    return {each["metadata"]["name"]: each for each in items if going or not each["metadata"].get("deletionTimestamp")}


def _compared(wanted: Manifest, live: Live) -> list[str]:
    name = wanted["metadata"]["name"]
    what = f"{wanted['kind']} {name}"
    if name not in live:
        return [Missing(f"{what} is missing")]
    changed = differences(wanted, live[name])
    if not changed:
        return []
    said = f"{what} was changed: {', '.join(changed[:4])}"
    if wanted["kind"] == "Group" and "spec.replicas" in changed:  # where the App is silent this is no drift
        said += f" (the App says {wanted['spec']['replicas']} and wins; change the number there)"
    return [said]


def _missing_secrets(desired: DesiredApp, live: Live, authority: KeyPair) -> Iterator[str]:
    name = credentials_name(desired.name)
    if desired.credentials and name not in live:
        yield Lost(f"Secret {name} is missing")
    elif desired.credentials:
        present = live[name].get("data") or {}
        lacking = [each.name for each in desired.credentials if not present.get(each.name)]
        yield from (Missing(f"the {key} in Secret {name} is missing") for key in lacking)
    name = agent_tls_name(desired.name)
    secret = live.get(name)
    if secret is None:
        yield Missing(f"Secret {name} is missing")
        return
    if problem := certificate_problem(secret, authority):
        yield f"Secret {name}: the agents' certificate {problem}"


def _missing_claims(desired: DesiredApp, live: Live, nodes: Sequence[DesiredNode]) -> Iterator[str]:
    stored = {node.name for component in desired.components for node in component.stored_nodes}
    for node in nodes:
        if node.name in stored and node.name not in live:
            yield Missing(f"PersistentVolumeClaim {node.name} is missing")


def _deployments(desired: DesiredApp, live: Live, nodes: Sequence[DesiredNode], state: State) -> Iterator[str]:
    members = state.members
    for node in nodes:
        component = desired.component(node.component)
        group = component.group(node.group)
        wanted = deployment_manifest(desired, component, group, node)
        if node.name in live and (live[node.name].get("spec") or {}).get("paused"):
            # An operation that has just written a node waits for its Pod without end.
            yield Missing(f"the Pod that the paused Deployment {node.name} should make is missing")
        if node.name in live:
            recorded, member = state.groups.get(group.resource_name), members.get(node.name)
            former = recorded.current if recorded is not None else None
            wanted = put_right(desired, component, group, node, live[node.name], member, former)
        yield from _compared(wanted, live)


def _changed_config_map(node: str, live: Live) -> str:
    """One without a document that can be read is as good as none: a Pod that starts with it waits for another."""
    if node not in live:
        return Missing(f"ConfigMap {node} is missing")
    return (
        f"ConfigMap {node} was changed" if revision_of(live[node]) else Missing(f"what ConfigMap {node} held is gone")
    )


async def _config_maps(desired: DesiredApp, live: Live, services: Live) -> list[str]:
    addresses = {node.name: service_address(services.get(node.name)) for node in desired.nodes}
    if not all(addresses.values()):
        return []  # the Services are drift already, and without their addresses nothing can be rendered
    found = []
    for component in desired.components:
        rendered = await rendered_config_maps(desired, component, component.nodes, addresses, live, bootstrap=None)
        for node, _, changed in rendered:
            if changed:
                found.append(_changed_config_map(node.name, live))
    return found
