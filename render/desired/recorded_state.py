"""What runs, as the platform has recorded it where no tenant can write. Pure.

``App.status.deployed`` holds what is one for the App; ``Group.status`` the nodes, and the revisions of what they are
made of; ``Component.status`` the revision of the parameters. The specs of Components and Groups are not asked: who may
write those may make them say anything, and it is an edit to be put back. Only a Group's replicas are a person's to set
(``kubectl scale``), where the App is silent, and the first primary is chosen in the Component.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from api.app import DeployedStatus
from api.component import Component, ComponentSpec, ComponentStatus
from api.group import Group, GroupSpec, GroupStatus, Member, MemberState
from api.meta import Manifest
from api.names import LABEL_COMPONENT, LABEL_GROUP, component_name, group_name
from language.versions import version_key
from render.desired.app import RecordedState
from render.desired.revisions import read_revision
from render.desired.spec_parts import Deployed


@dataclass(frozen=True)
class GroupState:
    """``update``: what the Group's nodes are made of, or are being made of; ``current``: what all of them were before,
    the same but in mid-operation. None where no revision says so."""

    component: str
    group: str
    members: tuple[Member, ...] = ()
    current: GroupSpec | None = None
    update: GroupSpec | None = None

    @property
    def rolling(self) -> bool:
        """Whether there is something to go back to."""
        return self.current is not None and self.current != self.update


@dataclass(frozen=True)
class Node:
    """A member, and where it belongs."""

    component: str
    group: str
    member: Member

    @property
    def name(self) -> str:
        return self.member.name


@dataclass(frozen=True)
class State:
    """``groups`` by resource name, ``components`` by component: those of which a revision is named."""

    deployed: DeployedStatus | None = None
    groups: Mapping[str, GroupState] = field(default_factory=dict)
    components: Mapping[str, ComponentSpec] = field(default_factory=dict)

    @property
    def has_run(self) -> bool:
        """Whether a Deploy of this App has completed."""
        return self.deployed is not None and bool(self.deployed.spec_hash)

    def nodes(self, *states: MemberState) -> list[Node]:
        """In the order of groups and ordinals; all where no state is named."""
        return [
            Node(group.component, group.group, member)
            for _, group in sorted(self.groups.items())
            for member in by_ordinal(group.members)
            if not states or member.state in states
        ]

    @property
    def members(self) -> dict[str, Member]:
        """By name, in whichever state."""
        return {node.name: node.member for node in self.nodes()}

    @property
    def runtime_version(self) -> str:
        """What the Groups are recorded with: all the same, or, where a step stopped between two of them, the lowest."""
        return _lowest(group.update for group in self.groups.values())

    @property
    def rolled_from(self) -> str:
        """The runtime version to which an abort of the rolling operation under way would go; empty where none is."""
        return _lowest(group.current for group in self.groups.values() if group.rolling)

    @property
    def final(self) -> bool:
        """Whether the upgrade under way can only go forward: its version has had the writable role."""
        writable = self.deployed.writable_version if self.deployed is not None else ""
        return bool(self.rolled_from and writable and version_key(writable) > version_key(self.rolled_from))

    def with_group(self, name: str, group: GroupState) -> State:
        return replace(self, groups={**self.groups, name: group})


def _lowest(specs: Iterator[GroupSpec | None]) -> str:
    return min((spec.runtime_version for spec in specs if spec is not None), key=version_key, default="")


def ordinal_of(name: str) -> int:
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdecimal() else 0


def by_ordinal(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda each: (ordinal_of(each.name), each.name)))


def read_deployed(app: Mapping[str, Any]) -> DeployedStatus | None:
    found = (app.get("status") or {}).get("deployed")
    return DeployedStatus.model_validate(found) if found is not None else None


def group_status(group: Mapping[str, Any]) -> GroupStatus:
    return GroupStatus.model_validate(group.get("status") or {})


def component_status(component: Mapping[str, Any]) -> ComponentStatus:
    return ComponentStatus.model_validate(component.get("status") or {})


def state_of(
    app: Mapping[str, Any],
    components: Mapping[str, Manifest],
    groups: Mapping[str, Manifest],
    revisions: Mapping[str, Manifest],
) -> State:
    """All of them are of this very App; by resource name."""
    found = {}
    for name, manifest in groups.items():
        spec, status = manifest["spec"], group_status(manifest)
        current, update = (
            read_revision(revisions.get(revision), GroupSpec)
            for revision in (status.current_revision, status.update_revision)
        )
        found[name] = GroupState(str(spec["component"]), str(spec["group"]), tuple(status.members), current, update)
    recorded = {
        str(manifest["spec"]["component"]): read_revision(
            revisions.get(component_status(manifest).revision), ComponentSpec
        )
        for manifest in components.values()
    }
    return State(read_deployed(app), found, {name: spec for name, spec in recorded.items() if spec is not None})


def recorded_state(state: State, components: Mapping[str, Manifest], groups: Mapping[str, Manifest]) -> RecordedState:
    """What new renderings hold on to. Before a revision is named, the resources themselves."""
    by_component = {(spec := Component.model_validate(each).spec).component: spec for each in components.values()}
    by_group = {name: Group.model_validate(each).spec for name, each in groups.items()}
    recorded = dict(by_component)
    for name, known in state.components.items():
        # Which node begins as first primary is written into the Component, in mid-deploy over kept volumes.
        chosen = by_component[name].bootstrap_node if name in by_component else None
        recorded[name] = known.model_copy(update={"bootstrap_node": chosen or known.bootstrap_node})
    of_groups = dict(by_group)
    for name, group in state.groups.items():
        if group.update is not None:
            replicas = by_group[name].replicas if name in by_group else group.update.replicas
            of_groups[name] = group.update.model_copy(update={"replicas": replicas})
    return RecordedState(recorded, of_groups)


def deployed_state(state: State, recorded: RecordedState) -> Deployed | None:
    """None before the first Deploy completed."""
    if state.deployed is None or not state.has_run:
        return None

    def ordinals(of: MemberState) -> dict[str, tuple[int, ...]]:
        found: dict[str, set[int]] = {}
        for name, group in state.groups.items():
            for member in group.members:
                if member.state == of:
                    found.setdefault(name, set()).add(ordinal_of(member.name))
        return {name: tuple(sorted(each)) for name, each in found.items()}

    living = state.nodes(MemberState.NORMAL, MemberState.ADDING)
    way_back = "" if state.final else state.rolled_from
    return Deployed(
        plugin_version=state.deployed.plugin_version,
        runtime_version=state.runtime_version,
        base_version=way_back or state.runtime_version,
        recorded=recorded,
        ordinals=ordinals(MemberState.NORMAL),
        joining=ordinals(MemberState.ADDING),
        versions={node.name: node.member.version for node in living if node.member.version},
        removing=frozenset(node.name for node in state.nodes(MemberState.DELETING)),
        previous_plugin=state.deployed.previous_plugin,
    )


def lost_parts(
    app: str,
    state: State,
    components: Mapping[str, Manifest],
    groups: Mapping[str, Manifest],
    revisions: Mapping[str, Manifest],
) -> list[str]:
    """What of the state is not there any more, phrases: of an App whose statuses were wiped, or of which a
    Component or Group was removed. Nothing of it is missed before a first Deploy has completed, but that one
    has begun."""
    if state.deployed is None:
        return ["what was deployed"] if components or groups else []
    if not state.has_run:
        return []
    labels = [each["metadata"].get("labels") or {} for each in revisions.values()]
    wanted = {(group.component, group.group) for group in state.groups.values()}
    wanted |= {(name, group) for name, spec in state.components.items() for group in spec.groups}
    wanted |= {(each.get(LABEL_COMPONENT, ""), each[LABEL_GROUP]) for each in labels if LABEL_GROUP in each}
    lost = []
    for name in sorted({component for component, _ in wanted}):
        if name not in state.components:
            lost.append(f"the parameters of {component_name(app, name)}")
    for component, group in sorted(wanted):
        name = group_name(app, component, group)
        found = state.groups.get(name, GroupState(component, group))
        if found.update is None or found.current is None:
            lost.append(f"what the Pods of {name} are made of")
        if not found.members:
            lost.append(f"the nodes of {name}")
    return lost
