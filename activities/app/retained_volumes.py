"""Which volumes were left by an earlier App of the name: known by the uid in the claim's annotation. Pure.

A claim gets this App's uid when its node may start with it. Until then its engine is held, because starting an
older copy as the first primary would make its peers throw away the newer data.
"""

from __future__ import annotations

from collections.abc import Mapping

from api.group import MemberState
from api.names import ANNOTATION_APP_UID, ANNOTATION_RUNTIME_VERSION
from clients.resources import Manifest
from language.versions import version_key
from render.desired.app import DesiredApp, DesiredComponent
from render.desired.recorded_state import State
from render.desired.state_edits import had
from render.manifests.deployments import version_of
from render.plugin.problems import Problem
from render.validation.transitions import unreadable


def of_this_app(claim: Manifest, uid: str) -> bool:
    return (claim["metadata"].get("annotations") or {}).get(ANNOTATION_APP_UID) == uid


def held_nodes(desired: DesiredApp, component: DesiredComponent, claims: Mapping[str, Manifest]) -> frozenset[str]:
    """Nodes whose existing volume is not yet this App's; ``claims`` by name."""
    return frozenset(
        node.name
        for node in component.stored_nodes
        if node.name in claims and not of_this_app(claims[node.name], desired.uid)
    )


def kept_components(desired: DesiredApp, claims: Mapping[str, Manifest]) -> frozenset[str]:
    return frozenset(c.name for c in desired.components if held_nodes(desired, c, claims))


def data_versions(
    state: State,
    claims: Mapping[str, Manifest],
    deployments: Mapping[str, Manifest],
    groups: Mapping[str, Manifest],
    revisions: Mapping[str, Manifest],
) -> dict[str, str]:
    """By claim, the highest version whose engine may have had the volume, where that is not noted on it already.

    A node's member and its Deployment know. Where there is neither (the record was lost, or an earlier Scale left the
    claim behind) it was no higher version than those of which its Group and its revisions are; without them, than those
    of the App's Groups. What is noted is never lowered. All by resource name.
    """
    own: dict[str, set[str]] = {}
    specs = [(name, each["spec"]) for name, each in groups.items()]
    specs += [(name.rpartition("-")[0], each.get("data") or {}) for name, each in revisions.items()]
    for group, spec in specs:
        if version := spec.get("runtimeVersion"):
            own.setdefault(group, set()).add(str(version))
    found = {}
    for name, claim in claims.items():
        noted = _noted(claim)
        member = state.members.get(name)
        ran = {version_of(deployments.get(name)), *((member.data, member.version) if member is not None else ())}
        group = name.rpartition("-")[0]
        may = (ran - {""}) or own.get(group) or set().union(*own.values())
        version = max([noted, *sorted(may)], key=lambda each: (bool(each), version_key(each)))
        if version != noted:
            found[name] = version
    return found


def remembered_versions(claims: Mapping[str, Manifest], said: Mapping[str, str]) -> dict[str, str]:
    """By claim, the version that its volume remembers (``said``, empty where it remembers none), where it is higher
    than what is noted on the claim."""
    noted = {name: _noted(claim) for name, claim in claims.items()}
    return {
        name: version
        for name, version in said.items()
        if version and name in noted and (not noted[name] or version_key(version) > version_key(noted[name]))
    }


def _noted(claim: Manifest) -> str:
    return str((claim["metadata"].get("annotations") or {}).get(ANNOTATION_RUNTIME_VERSION) or "")


def unreadable_volumes(desired: DesiredApp, claims: Mapping[str, Manifest]) -> list[Problem]:
    """Kept volumes that the wanted version must not be started on: some engines would ignore the data, begin empty and
    acknowledge writes (Redis 6.0 does not see the append-only files of 7.0)."""
    names = [name for component in desired.components for name in sorted(held_nodes(desired, component, claims))]
    data = {name: _noted(claims[name]) for name in names}
    return _unreadable(desired, data, "or delete the kept volume claims {} with their data")


def unreadable_beginnings(desired: DesiredApp, state: State, ready: Mapping[str, str]) -> list[Problem]:
    """As above while the first Deploy has not completed: of its own nodes that have served already, whose volumes may
    hold acknowledged writes by now. ``ready``: node -> runtime version of its ready Pod. A node that never got ready,
    say of a version that crashes, keeps nobody from correcting the version."""
    normal = {node.name: node.member for node in state.nodes(MemberState.NORMAL)}
    stored = {node.name for component in desired.components for node in component.stored_nodes}
    data = {}
    for name in sorted(stored & {*normal, *ready}):
        member = normal.get(name)
        data[name] = had(member, ready.get(name) or (member.version if member is not None else ""))
    return _unreadable(desired, data, "since {} ran it and may hold data; or delete the App")


def _unreadable(desired: DesiredApp, data: Mapping[str, str], remedy: str) -> list[Problem]:
    """``data``: name -> version whose engine has had the volume, empty where nobody knows. ``remedy``: with ``{}`` for
    the names."""
    found: dict[str, list[str]] = {}
    for name, version in data.items():
        if version and (why := unreadable(desired.bundle, version, desired.runtime_version)):
            found.setdefault(why, []).append(name)
    return [Problem("spec.runtimeVersion", f"{why}, {remedy.format(', '.join(names))}") for why, names in found.items()]
