"""What runs, found out anew where the statuses that recorded it were lost, as after a restore from a backup. Pure.

Only what can be shown counts:
1. What a Group's Pods are made of: the revision, or the Group's own spec, of which every Deployment is. Two of them are
   a rolling operation under way, and the older is what it goes back to.
2. The nodes: those that have a Deployment.
3. The parameters: the newest revision, which is made when every node runs with it. Without one it is the Component's
   word, which somebody has to compare with the nodes (``unproven``).
4. The plugin version: the label of the Components.
5. That a Deploy has completed: no node is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from api.app import App, DeployedStatus
from api.component import Component, ComponentSpec
from api.group import Group, GroupSpec, Member, MemberState
from api.meta import Manifest
from api.names import (
    LABEL_COMPONENT,
    LABEL_GROUP,
    LABEL_PLUGIN,
    LABEL_PLUGIN_VERSION,
    component_name,
    group_name,
    node_ordinal,
)
from render.desired.recorded_state import GroupState, State
from render.desired.revisions import newest_first, read_revision
from render.manifests.deployments import is_of, version_of

REBUILT = "rebuilt"
"""Instead of a spec's hash: a Deploy then compares everything with the spec."""
Place = tuple[str, str]
"""Component and group."""


class UnsureError(Exception):
    """It cannot be shown what runs. Why, and what a person has to do."""


@dataclass(frozen=True)
class LiveObjects:
    """Of the App itself, by name."""

    components: Mapping[str, Manifest]
    groups: Mapping[str, Manifest]
    revisions: Mapping[str, Manifest]
    deployments: Mapping[str, Manifest] = field(default_factory=dict)


@dataclass(frozen=True)
class Rebuilt:
    """``unproven``: components whose parameters are only what the Component says."""

    state: State
    unproven: frozenset[str]


def rebuilt(app: App, known: State, live: LiveObjects) -> Rebuilt:
    """What is still recorded (``known``) stays. Raises UnsureError."""
    nodes = _nodes(app, live)
    groups = {}
    for place in sorted(_places(live, nodes)):
        name = group_name(app.name, *place)
        if (found := _group(place, name, known.groups.get(name), live, nodes.get(place, {}))) is not None:
            groups[name] = found
    ran = known.has_run or _complete(groups, live)
    if not ran:
        groups = {name: replace(group, members=_unfinished(group, live)) for name, group in groups.items()}
    recorded, unproven = {}, set()
    for component in sorted({group.component for group in groups.values()}):
        if component in known.components:
            recorded[component] = known.components[component]
            continue
        recorded[component], proven = _component(app, component, live)
        if not proven:
            unproven.add(component)
    deployed = known.deployed or _deployed(app, recorded, groups, live, ran=ran)
    return Rebuilt(State(deployed, groups, recorded), frozenset(unproven))


def _place(manifest: Manifest) -> Place | None:
    labels = manifest["metadata"].get("labels") or {}
    return (labels[LABEL_COMPONENT], labels[LABEL_GROUP]) if {LABEL_COMPONENT, LABEL_GROUP} <= labels.keys() else None


def _nodes(app: App, live: LiveObjects) -> dict[Place, dict[str, Manifest]]:
    found: dict[Place, dict[str, Manifest]] = {}
    for name, deployment in live.deployments.items():
        place = _place(deployment)
        if (
            place is None
            or node_ordinal(app.name, *place, name) is None
            or deployment["metadata"].get("deletionTimestamp")
        ):
            continue  # labels that somebody wrote, or a node that goes
        found.setdefault(place, {})[name] = deployment
    return found


def _places(live: LiveObjects, nodes: Mapping[Place, object]) -> set[Place]:
    found = {*nodes}
    found |= {(str(each["spec"]["component"]), str(each["spec"]["group"])) for each in live.groups.values()}
    found |= {place for each in live.revisions.values() if (place := _place(each)) is not None}
    return found


def _group(
    place: Place, name: str, known: GroupState | None, live: LiveObjects, nodes: Mapping[str, Manifest]
) -> GroupState | None:
    """None where there is nothing of it yet."""
    if known is not None and known.update is not None and known.current is not None:
        current, update = known.current, known.update
    else:
        candidates = _candidates(place, name, live)
        of = {node: next((i for i, c in enumerate(candidates) if is_of(c, each)), -1) for node, each in nodes.items()}
        strange = sorted(node for node, index in of.items() if index < 0)
        if strange:
            raise UnsureError(
                f"{', '.join(strange)} {'is' if len(strange) == 1 else 'are'} made of nothing that Group {name} or its "
                f"revisions say; put back the Group as it was, or {_REMEDY}"
            )
        if not candidates:
            return None
        made = sorted(set(of.values())) or [0]
        if len(made) > 2:
            raise UnsureError(f"the nodes of Group {name} are of {len(made)} different revisions; {_REMEDY}")
        update, current = candidates[made[0]], candidates[made[-1]]
    rolling = current != update
    members = (
        known.members
        if known is not None and known.members
        else tuple(
            Member(
                name=node,
                state=MemberState.NORMAL,
                version=version_of(each),
                unverified=rolling and not _serves(each),
            )
            for node, each in sorted(nodes.items())
        )
    )
    return GroupState(*place, members, current, update)


def _candidates(place: Place, name: str, live: LiveObjects) -> list[GroupSpec]:
    """Specs that the Group may have been recorded with, the newest first."""
    own = {each: manifest for each, manifest in live.revisions.items() if _place(manifest) == place}
    found = [spec for each in newest_first(own) if (spec := read_revision(each, GroupSpec)) is not None]
    if name in live.groups:
        with suppress(ValidationError):
            found.append(Group.model_validate({**live.groups[name], "status": {}}).spec)
    return found


def _serves(deployment: Manifest) -> bool:
    return bool((deployment.get("status") or {}).get("availableReplicas"))


def _complete(groups: Mapping[str, GroupState], live: LiveObjects) -> bool:
    """Whether every node is there that its Group asks for."""
    for name, group in groups.items():
        spec = Group.model_validate({**live.groups[name], "status": {}}).spec if name in live.groups else group.update
        ordinals = spec.ordinals if spec is not None else []
        names = {f"{name}-{ordinal}" for ordinal in ordinals}
        if not names <= {member.name for member in group.members}:
            return False
    return bool(groups)


def _unfinished(group: GroupState, live: LiveObjects) -> tuple[Member, ...]:
    """Until the first Deploy has completed only a node that serves may hold data."""
    return tuple(
        member
        if _serves(live.deployments.get(member.name, {}))
        else member.model_copy(update={"state": MemberState.ADDING})
        for member in group.members
    )


def _component(app: App, component: str, live: LiveObjects) -> tuple[ComponentSpec, bool]:
    """And whether it can be relied on."""
    own = {
        name: each
        for name, each in live.revisions.items()
        if _place(each) is None and (each["metadata"].get("labels") or {}).get(LABEL_COMPONENT) == component
    }
    for each in newest_first(own):
        if (spec := read_revision(each, ComponentSpec)) is not None:
            return spec, True
    name = component_name(app.name, component)
    if name not in live.components:
        raise UnsureError(f"nothing says with which parameters {name} runs; put back the Component, or {_REMEDY}")
    return Component.model_validate({**live.components[name], "status": {}}).spec, False


def _deployed(
    app: App,
    components: Mapping[str, ComponentSpec],
    groups: Mapping[str, GroupState],
    live: LiveObjects,
    *,
    ran: bool,
) -> DeployedStatus:
    labels = [each["metadata"].get("labels") or {} for each in live.components.values()]
    plugins = {(each.get(LABEL_PLUGIN, ""), each.get(LABEL_PLUGIN_VERSION, "")) for each in labels}
    name, version = plugins.pop() if len(plugins) == 1 else ("", "")
    if name != app.spec.plugin.name or not version:
        message = f"the labels of the Components do not say with which version of plugin {app.spec.plugin.name} it runs"
        raise UnsureError(f"{message}; put back the Components, or {_REMEDY}")
    made = str(app.metadata.get("creationTimestamp") or "")
    return DeployedStatus(
        plugin=name,
        plugin_version=version,
        topology=next((spec.topology for spec in components.values()), ""),
        spec_hash=REBUILT if ran else "",
        # Others may have data: nobody begins anew beside them.
        begun=[] if ran else sorted({group.component for group in groups.values() if group.members}),
        created=made,
        updated=made,
    )


_REMEDY = "delete the App and apply it again, with deletionPolicy Retain: it takes its volumes up again"
