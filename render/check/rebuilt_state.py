"""What runs, found out again where the statuses that recorded it were lost while the objects stayed. Pure.

All objects are of this very App, by its uid. A restore that makes the App anew gives it another: then none are, and a
first Deploy takes up the volumes.

Only what can be shown counts:
1. What a Group's Pods are made of: the revision, or the Group's own spec, of which every Deployment is. Two of them are
   a rolling operation under way, and the older is what it goes back to. A Group that says what no revision says is the
   newest, if a Deployment is of it.
2. The nodes: those that have a Deployment and, where a Deploy has completed, those that the Group is to have: a Repair
   makes them again on their volumes. Of these a node on whose ConfigMap nobody has noted with what its engine runs,
   though that is noted of its peers, is one that a Scale was adding: it has not joined. One beside them of which
   nothing is left but such a ConfigMap is one that a Scale was removing: its peers have not forgotten it. Where its
   claim may hold data nothing shows that it has left: somebody may have deleted its Deployment. So it is a node like
   any other: a Repair makes it again on its volume, and the Scale asks it to leave.
3. The parameters: the newest revision, which is made when every node runs with it. Without one it is the Component's
   word, which somebody has to compare with the nodes (``unproven``).
4. The plugin version: the label of the Components. Another one on the nodes' ConfigMaps is that from which a move of
   the plugin began.
5. That a Deploy has completed: no node is missing. While that is not shown no component begins anew that has volumes:
   the newest data may be on a volume whose node is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from api.app import App, DeployedStatus
from api.component import Component, ComponentSpec
from api.effective import noted
from api.group import Group, GroupSpec, Member, MemberState
from api.meta import SEMANTIC_VERSION_PATTERN, Manifest
from api.names import (
    LABEL_COMPONENT,
    LABEL_GROUP,
    LABEL_PLUGIN,
    LABEL_PLUGIN_VERSION,
    component_name,
    group_name,
    node_ordinal,
)
from language.versions import version_key
from render.desired.recorded_state import GroupState, State, by_ordinal
from render.desired.revisions import newest_first, read_revision
from render.desired.spec_parts import pod_facts
from render.manifests.deployments import hashes_of, is_of, version_of
from render.manifests.volumes import never_bound

REBUILT = "rebuilt"
"""Instead of a spec's hash: a Deploy then compares everything with the spec."""
Place = tuple[str, str]
"""Component and group."""


class UnsureError(Exception):
    """It cannot be shown what runs. Why, and what a person has to do."""


@dataclass(frozen=True)
class LiveObjects:
    """Of the App itself, by name. ``claims``: by their annotation, also those that have lost their labels."""

    components: Mapping[str, Manifest]
    groups: Mapping[str, Manifest]
    revisions: Mapping[str, Manifest]
    deployments: Mapping[str, Manifest] = field(default_factory=dict)
    claims: Mapping[str, Manifest] = field(default_factory=dict)
    config_maps: Mapping[str, Manifest] = field(default_factory=dict)

    def recorded(self, component: str) -> set[str]:
        """Names of the component's nodes that an operation has recorded as being there."""
        found = {name for name, each in self.config_maps.items() if noted(each) is not None}
        return {name for name in found if (_place(self.config_maps[name]) or ("", ""))[0] == component}


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
        found = _group(place, name, known.groups.get(name), live, nodes.get(place, {}), ran=known.has_run)
        if found is not None:
            groups[name] = found
    ran = known.has_run or _complete(groups, live)
    for name, group in groups.items():
        if name not in known.groups or not known.groups[name].members:
            members = _all_members(app.name, name, group, live) if ran else _unfinished(group, live)
            groups[name] = replace(group, members=members)
    recorded, unproven = {}, set()
    for component in sorted({group.component for group in groups.values()} | {*known.components} | _revised(live)):
        if component in known.components:
            recorded[component] = known.components[component]
            continue
        recorded[component], proven = _component(app, component, live)
        if not proven:
            unproven.add(component)
    deployed = known.deployed or _deployed(app, recorded, groups, live, ran=ran)
    return Rebuilt(State(deployed, groups, recorded), frozenset(unproven))


def completed(before: State, found: State) -> State:
    """What is recorded, and of what was found only that which is not: an operation may have recorded more meanwhile."""
    groups = dict(before.groups)
    for name, new in found.groups.items():
        known = before.groups.get(name, GroupState(new.component, new.group))
        groups[name] = replace(known, members=known.members or new.members)
        if known.update is None or known.current is None:
            groups[name] = replace(groups[name], current=new.current, update=new.update)
    return replace(before, groups=groups, components={**found.components, **before.components})


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


def _revised(live: LiveObjects) -> set[str]:
    """Components of which there is a revision, of itself or of a Group."""
    labels = [each["metadata"].get("labels") or {} for each in live.revisions.values()]
    return {str(each[LABEL_COMPONENT]) for each in labels if LABEL_COMPONENT in each}


def _group(
    place: Place,
    name: str,
    known: GroupState | None,
    live: LiveObjects,
    nodes: Mapping[str, Manifest],
    *,
    ran: bool,
) -> GroupState | None:
    """None where there is nothing of it yet."""
    if known is not None and known.update is not None and known.current is not None:
        current, update = known.current, known.update
    else:
        revised, own = _revisions(place, live), _own(name, live)
        made = _made_of(name, revised, own, nodes, ran=ran)
        if made is None:
            return None
        current, update = made
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
                pod_hash=hashes_of(each)[0],
                template_hash=hashes_of(each)[1],
            )
            for node, each in sorted(nodes.items())
        )
    )
    return GroupState(*place, members, current, update)


def _made_of(
    name: str, revised: Sequence[GroupSpec], own: GroupSpec | None, nodes: Mapping[str, Manifest], *, ran: bool
) -> tuple[GroupSpec, GroupSpec] | None:
    """What the Group's nodes were made of, and are made of. ``revised``: its revisions, the newest first; ``own``: what
    the Group says. ``ran``: the App has run, so a node without a Deployment had one: it may have been of the newest."""
    candidates = list(revised)
    if own is not None and all(pod_facts(own) != pod_facts(each) for each in revised):
        # Specs are written after statuses, so this is newer than all that is left. Or somebody has edited the Group.
        if not revised or any(is_of(own, each) for each in nodes.values()):
            candidates.insert(0, own)
        elif ran and (gone := _gone(name, revised[0], nodes)):
            raise UnsureError(
                f"nothing shows whether {', '.join(gone)} {'was' if len(gone) == 1 else 'were'} made of what Group "
                f"{name} says or of its revision; put back the Group as it was, or {REMEDY}"
            )
    of = {node: next((i for i, c in enumerate(candidates) if is_of(c, each)), -1) for node, each in nodes.items()}
    strange = sorted(node for node, index in of.items() if index < 0)
    if strange:
        raise UnsureError(
            f"{', '.join(strange)} {'is' if len(strange) == 1 else 'are'} made of nothing that Group {name} or its "
            f"revisions say; put back the Group as it was, or {REMEDY}"
        )
    if not candidates:
        return None
    made = {*of.values()}
    if not made or (ran and _gone(name, candidates[0], nodes)):
        made.add(0)
    if len(made) > 2:
        raise UnsureError(f"the nodes of Group {name} are of {len(made)} different revisions; {REMEDY}")
    return candidates[max(made)], candidates[min(made)]


def _names(name: str, spec: GroupSpec) -> list[str]:
    """Of the nodes of the Group ``name``."""
    return [f"{name}-{ordinal}" for ordinal in spec.ordinals]


def _gone(name: str, spec: GroupSpec, nodes: Mapping[str, Manifest]) -> list[str]:
    """Nodes without a Deployment."""
    return [node for node in _names(name, spec) if node not in nodes]


def _revisions(place: Place, live: LiveObjects) -> list[GroupSpec]:
    """The newest first."""
    own = {each: manifest for each, manifest in live.revisions.items() if _place(manifest) == place}
    return [spec for each in newest_first(own) if (spec := read_revision(each, GroupSpec)) is not None]


def _own(name: str, live: LiveObjects) -> GroupSpec | None:
    """What the Group itself says."""
    if name in live.groups:
        with suppress(ValidationError):
            return Group.model_validate({**live.groups[name], "status": {}}).spec
    return None


def _serves(deployment: Manifest) -> bool:
    return bool((deployment.get("status") or {}).get("availableReplicas"))


def _complete(groups: Mapping[str, GroupState], live: LiveObjects) -> bool:
    """Whether every node is there that its Group asks for, but for those that a Scale was adding."""
    for name, group in groups.items():
        spec = _own(name, live) or group.update
        names, made = _names(name, spec) if spec is not None else [], _made(group, live)
        normal = any(member.state == MemberState.NORMAL for member in group.members)
        if not normal or not {*names} - _joining(group.component, names, live) <= made:
            return False
    return bool(groups)


def _joining(component: str, names: Iterable[str], live: LiveObjects) -> set[str]:
    """Those of the named nodes that a Scale was adding. Nothing shows that where nobody is recorded, as in a first
    Deploy, nor of a node that runs without a ConfigMap."""
    recorded = live.recorded(component)
    if not recorded:
        return set()
    return {
        name for name in names if name not in recorded and (name in live.config_maps or name not in live.deployments)
    }


def _all_members(app: str, name: str, group: GroupState, live: LiveObjects) -> tuple[Member, ...]:
    """Also those without a Deployment. In mid-upgrade such a node may have had the higher version."""
    found = {member.name: member for member in group.members}
    spec, left = group.update, _left_over(app, group, live)
    unasked = {node for node in left if node in live.claims and not never_bound(live.claims[node])}
    if spec is not None:
        version = max((each.runtime_version for each in (spec, group.current or spec)), key=version_key)
        rolling = group.current != spec
        for node in {*_names(name, spec)} | unasked:
            made = Member(name=node, state=MemberState.NORMAL, version=version, unverified=rolling)
            found.setdefault(node, made.model_copy(update={"data": version}) if rolling else made)
    for node in _joining(group.component, found, live):
        found[node] = found[node].model_copy(update={"state": MemberState.ADDING})
    for node in left - found.keys():
        found[node] = Member(name=node, state=MemberState.DELETING, version=spec.runtime_version if spec else "")
    return by_ordinal(found.values())


def _left_over(app: str, group: GroupState, live: LiveObjects) -> set[str]:
    """Nodes without a Deployment of which there is a ConfigMap still: of one that a Scale removes that goes later. Also
    those that are to stay."""
    left = {node for node in live.recorded(group.component) if node not in live.deployments}
    return {node for node in left if node_ordinal(app, group.component, group.group, node) is not None}


def _made(group: GroupState, live: LiveObjects) -> set[str]:
    """That a node is to be added is noted before there is anything of it."""
    return {m.name for m in group.members if m.state == MemberState.NORMAL or m.name in live.deployments}


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
        raise UnsureError(f"nothing says with which parameters {name} runs; put back the Component, or {REMEDY}")
    return Component.model_validate({**live.components[name], "status": {}}).spec, False


def _deployed(
    app: App,
    components: Mapping[str, ComponentSpec],
    groups: Mapping[str, GroupState],
    live: LiveObjects,
    *,
    ran: bool,
) -> DeployedStatus:
    version, previous = _plugin(app, live)
    made = str(app.metadata.get("creationTimestamp") or "")
    return DeployedStatus(
        plugin=app.spec.plugin.name,
        plugin_version=version,
        previous_plugin=previous,
        topology=next((spec.topology for spec in components.values()), ""),
        spec_hash=REBUILT if ran else "",
        # Others may have data: nobody begins anew beside them.
        begun=[] if ran else sorted(_begun(groups, live)),
        created=made,
        updated=made,
    )


def _plugin(app: App, live: LiveObjects) -> tuple[str, str]:
    """The plugin version with which the App runs, and that from which a move to it began, empty where there is none.
    Of two versions on the Components, which are written one after another, the spec's is the newer one."""
    labels = [each["metadata"].get("labels") or {} for each in live.components.values()]
    names, found = ({each.get(key, "") for each in labels} for key in (LABEL_PLUGIN, LABEL_PLUGIN_VERSION))
    wanted = app.spec.plugin.version
    version = wanted if len(found) == 2 and wanted in found else next(iter(found)) if len(found) == 1 else ""
    if names != {app.spec.plugin.name} or not version or "" in found:
        message = f"the labels of the Components do not say with which version of plugin {app.spec.plugin.name} it runs"
        raise UnsureError(f"{message}; put back the Components, or {REMEDY}")
    # Of nodes that there are: everybody who may write ConfigMaps can label another.
    nodes = [each for name, each in live.config_maps.items() if name in live.deployments]
    given = {(each["metadata"].get("labels") or {}).get(LABEL_PLUGIN_VERSION, "") for each in nodes}
    others = {each for each in given | found if re.fullmatch(SEMANTIC_VERSION_PATTERN, each)} - {version}
    return version, others.pop() if len(others) == 1 else ""


def _begun(groups: Mapping[str, GroupState], live: LiveObjects) -> set[str]:
    """Components that may have data."""
    found = {group.component for group in groups.values() if _made(group, live)}
    for name, claim in live.claims.items():
        group = groups.get(name.rpartition("-")[0])
        place = _place(claim) or ((group.component, group.group) if group is not None else None)
        found |= {place[0]} if place is not None else set()
    return found


REMEDY = "delete the App and apply it again, with deletionPolicy Retain: it takes its volumes up again"
