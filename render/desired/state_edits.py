"""How an operation's steps change what is recorded: pure, from the former value to the new.

Each is the same again where it is repeated, and each says something of its own part only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from api.app import DeployedStatus
from api.component import ComponentSpec
from api.group import GroupSpec, Member, MemberState
from api.meta import parse_quantity
from api.operations import OperationType
from language.versions import version_key
from render.desired.app import DesiredApp, DesiredComponent, DesiredGroup, DesiredNode
from render.desired.recorded_state import GroupState, State, by_ordinal
from render.desired.spec_parts import pod_facts

Members = tuple[Member, ...]
_ROLLING = (OperationType.UPGRADE, OperationType.RESIZE)

# What is one for the App


def begin(before: DeployedStatus | None, desired: DesiredApp, now: str, runs: str) -> DeployedStatus:
    """An operation begins. ``runs``: the runtime version that was recorded before it. That the spec is carried out is
    added by ``finish``."""
    known = before or DeployedStatus(created=now, updated=now)
    facts = {"plugin": desired.bundle.name, "plugin_version": desired.bundle.version, "topology": desired.topology}
    moves = known.plugin_version not in ("", desired.bundle.version)
    changed = runs != desired.runtime_version or any(getattr(known, key) != value for key, value in facts.items())
    if not changed:
        return known
    previous = known.previous_plugin or (known.plugin_version if moves else "")
    return known.model_copy(update={**facts, "previous_plugin": previous, "updated": now})


def begin_no_more(before: DeployedStatus | None, component: str) -> DeployedStatus:
    """No node of the component may begin as first primary any more."""
    known = before or DeployedStatus()
    return known.model_copy(update={"begun": sorted({*known.begun, component})})


def finished(
    before: DeployedStatus | None, spec_hash: str, now: str, *, moved: bool, settled_at: str
) -> DeployedStatus:
    """``spec_hash``: of the spec that is now carried out in whole; empty where parts of it are left. ``moved``: a move
    of the plugin has ended. ``settled_at``: the runtime version of all nodes; empty where there is something to go back
    to."""
    known = before or DeployedStatus(created=now, updated=now)
    changes: dict[str, object] = {"begun": []}
    if spec_hash and known.spec_hash != spec_hash:
        changes |= {"spec_hash": spec_hash, "updated": now}
    if moved:
        changes["previous_plugin"] = ""
    if settled_at:
        changes["writable_version"] = settled_at
    return known.model_copy(update=changes)


def plugin_put_back(before: DeployedStatus | None) -> DeployedStatus:
    """``previous_plugin`` stays: the operation that goes back has to end first."""
    known = before or DeployedStatus()
    return known.model_copy(update={"plugin_version": known.previous_plugin or known.plugin_version})


def made_writable(before: DeployedStatus | None, version: str) -> DeployedStatus:
    """The writable role goes to a node of ``version``: from now on there may be data that a lower one cannot read."""
    known = before or DeployedStatus()
    if not version or (known.writable_version and version_key(version) <= version_key(known.writable_version)):
        return known
    return known.model_copy(update={"writable_version": version})


def stayed_writable(before: DeployedStatus | None, version: str) -> DeployedStatus:
    """It did not go there after all: it is with a node of ``version``."""
    return (before or DeployedStatus()).model_copy(update={"writable_version": version})


# Nodes


def adding(before: State, desired: DesiredApp, *, ran: bool = False) -> State:
    """All wanted nodes that are not normal yet as ``adding``; none of them is on its way out any more.

    ``ran``: the App has run, so what an interrupted Scale has begun to add stays noted for the next one.
    """
    after = before
    for component in desired.components:
        for group in component.groups:
            known = _known(after, component, group)
            members = _adding(known.members, group, ran=ran)
            after = after.with_group(group.resource_name, replace(known, members=members))
    return after


def _known(state: State, component: DesiredComponent, group: DesiredGroup) -> GroupState:
    return state.groups.get(group.resource_name) or GroupState(component.name, group.name)


def _adding(members: Members, group: DesiredGroup, *, ran: bool) -> Members:
    wanted = {node.name for node in group.nodes}

    def stays(member: Member) -> bool:
        if member.state == MemberState.DELETING:
            return member.name not in wanted
        return member.name in wanted or (ran and member.state == MemberState.ADDING)

    new = {node.name: _new(node) for node in group.nodes}
    return by_ordinal({**new, **{member.name: member for member in members if stays(member)}}.values())


def _new(node: DesiredNode) -> Member:
    return Member(name=node.name, state=MemberState.ADDING, version=node.runtime_version)


def normal(before: State, component: DesiredComponent, runs: Mapping[str, str] | None = None) -> State:
    """All nodes of the component are there; what is noted of each stays. ``runs``: of which version each Deployment is:
    a Repair may have made it anew, of another one than was noted."""
    after = before
    for group in component.groups:
        known = _known(after, component, group)
        members = {member.name: member for member in known.members}
        for node in group.nodes:
            member = members.get(node.name)
            if member is None or member.state == MemberState.DELETING:
                member = _new(node)
            there = member.model_copy(update={"state": MemberState.NORMAL})
            members[node.name] = _running(there, (runs or {}).get(node.name, ""))
        after = after.with_group(group.resource_name, replace(known, members=by_ordinal(members.values())))
    return after


def _running(member: Member, runs: str) -> Member:
    if not runs or member.unverified:
        return member
    found = member.model_copy(update={"version": runs})
    if member.data or runs != (member.version or runs):
        found = found.model_copy(update={"data": had(member, runs)})
    return found


def _edited(members: Members, name: str, edit: Callable[[Member], Member]) -> Members:
    return tuple(edit(member) if member.name == name else member for member in members)


def rolled(before: Members, name: str, version: str) -> Members:
    """The node's Pod is of ``version`` from now on, which nobody has verified yet."""
    return _edited(before, name, lambda each: each.model_copy(update={"version": version, "unverified": True}))


def written(before: Members, hashes: Mapping[str, tuple[str, str]]) -> Members:
    """``hashes``: by name of the nodes whose Pod templates were written, of the facts and of the template."""

    def edit(member: Member) -> Member:
        pod, template = hashes.get(member.name, (member.pod_hash, member.template_hash))
        return member.model_copy(update={"pod_hash": pod, "template_hash": template})

    return tuple(map(edit, before))


def verified(before: Members, name: str) -> Members:
    """The node serves, with the version that it should have."""
    return _edited(before, name, lambda each: each.model_copy(update={"unverified": False}))


def engine_ran(before: Members, name: str, version: str) -> Members:
    """An engine of ``version`` has had the node's volume: lower ones may not be able to read it any more."""

    def edit(member: Member) -> Member:
        higher = not member.data or version_key(version) > version_key(member.data)
        return member.model_copy(update={"data": version}) if higher else member

    return _edited(before, name, edit)


def had(member: Member | None, runs: str) -> str:
    """The highest runtime version whose engine has had the node's volume, as far as anybody knows. ``runs``: what its
    Deployment is of; that of a node that was just rolled may not have started."""
    rolled_only = member is not None and member.unverified
    known = [member.data if member is not None else "", "" if rolled_only else runs]
    return max(filter(None, known), key=version_key, default="")


def wiped(before: Members, name: str) -> Members:
    """The node's volume is empty."""
    return _edited(before, name, lambda each: each.model_copy(update={"data": ""}))


def deleting(before: Members, names: Collection[str]) -> Members:
    """The named nodes are on their way out."""
    return tuple(m.model_copy(update={"state": MemberState.DELETING}) if m.name in names else m for m in before)


def gone(before: Members, names: Collection[str]) -> Members:
    return tuple(member for member in before if member.name not in names)


# What nodes are made of


def recorded(before: State, desired: DesiredApp, operation: str) -> State:
    """What ``desired`` is made of. A rolling operation keeps what was before it, once: it may be begun again. One that
    overtakes an upgrade from which there was no way back any more begins where that one had come to."""
    past = before.final and before.runtime_version != desired.runtime_version
    after = before
    for component in desired.components:
        for group in component.groups:
            known = _known(before, component, group)
            advanced = _advanced(known, group.spec, rolling=operation in _ROLLING, past=past)
            after = after.with_group(group.resource_name, advanced)
    return replace(after, components={each.name: component_record(desired, each) for each in desired.components})


def _advanced(known: GroupState, spec: GroupSpec, *, rolling: bool, past: bool) -> GroupState:
    if known.update is None:
        return replace(known, current=spec, update=spec)
    if rolling and (past or not known.rolling) and _differs(spec, known.update):
        return replace(known, current=known.update, update=spec)
    return replace(known, current=known.current if known.rolling else spec, update=spec)


def reconfigured(before: State, desired: DesiredApp, component: DesiredComponent) -> State:
    """The component's parameters are those of ``component`` from now on."""
    return replace(before, components={**before.components, component.name: component_record(desired, component)})


def component_record(desired: DesiredApp, component: DesiredComponent) -> ComponentSpec:
    return ComponentSpec(
        app=desired.name,
        component=component.name,
        topology=desired.topology,
        config=dict(component.config),
        groups=[group.name for group in component.groups],
        bootstrap_node=component.recorded_bootstrap,
    )


def settled(before: State) -> State:
    """Nothing to go back to any more."""
    return replace(before, groups={name: replace(group, current=group.update) for name, group in before.groups.items()})


def restored(before: State, grown: Collection[str] = ()) -> State:
    """What was before the rolling operation counts again, but for the size of what has ``grown`` (names of groups): a
    volume that is made anew must not be smaller than its peers."""
    after = before
    for name, group in before.groups.items():
        if not group.rolling or group.current is None or group.update is None:
            continue
        spec = group.current
        if name in grown:
            spec = spec.model_copy(update={"storage": group.update.storage})
        after = after.with_group(name, replace(group, current=spec, update=spec))
    return after


def _differs(spec: GroupSpec, former: GroupSpec) -> bool:
    """In what its Pods are made of, or in the size of its volumes."""
    sizes = [parse_quantity(each.storage.size) if each.storage else None for each in (spec, former)]
    return sizes[0] != sizes[1] or pod_facts(spec) != pod_facts(former)
