"""Which operation comes next where nothing of the spec is pending: what an interrupted one has left on the nodes. Pure.

One rule for the look at an App and for ``mw render``: what a person is shown beforehand is what is then done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from api.group import Member
from api.meta import Manifest
from api.operations import OperationType
from render.check.applied_parameters import unstarted
from render.check.growth import able_to, growing
from render.desired.app import DesiredApp, DesiredNode
from render.desired.spec_parts import Part
from render.manifests.deployments import deployment_manifest, is_outdated, version_of


@dataclass(frozen=True)
class NodeObjects:
    """An App's live objects, by name. ``members``: its nodes, as they are recorded. ``growable``: names of the
    StorageClasses whose volumes can grow."""

    deployments: Mapping[str, Manifest]
    claims: Mapping[str, Manifest]
    config_maps: Mapping[str, Manifest]
    services: Mapping[str, Manifest]
    members: Mapping[str, Member]
    growable: Collection[str] = ()


@dataclass(frozen=True)
class Stale:
    """A node whose Pod is of another record, or was not seen to serve since it was rolled. ``runs``: its Deployment's
    runtime version."""

    node: DesiredNode
    wants: str
    runs: str

    @property
    def other_version(self) -> bool:
        return bool(self.runs) and self.runs != self.wants


def stale_nodes(
    desired: DesiredApp, deployments: Mapping[str, Manifest], members: Mapping[str, Member]
) -> Iterator[Stale]:
    """A missing Deployment is drift, and no matter of rolling."""
    for component in desired.components:
        for group in component.groups:
            for node in group.nodes:
                present = deployments.get(node.name)
                if present is None:
                    continue
                member = members.get(node.name)
                outdated = is_outdated(deployment_manifest(desired, component, group, node), present, member)
                if outdated or (member is not None and member.unverified):
                    yield Stale(node, group.spec.runtime_version, version_of(present))


def unfinished(running: DesiredApp, live: NodeObjects) -> Part | None:
    """The operation that brings nodes to what is recorded (``running``); None where all are of it."""
    stale = list(stale_nodes(running, live.deployments, live.members))
    if stale:
        operation = OperationType.UPGRADE if any(each.other_version for each in stale) else OperationType.RESIZE
        return Part(operation, f"not rolled yet: {_listed(each.node.name for each in stale)}")
    small = able_to(growing(running, live.claims.values()), live.growable)
    if small:
        return Part(OperationType.RESIZE, f"volumes that have not grown yet: {_listed(sorted(small))}")
    waiting = unstarted(running, live.config_maps, live.services)
    if waiting:
        return Part(OperationType.RECONFIGURE, f"not restarted with its parameters yet: {_listed(waiting)}")
    return None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
