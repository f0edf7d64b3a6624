"""Writing what is recorded of an App: in the statuses of App, Groups and Components, which no tenant may write.

Each object is written under its ``resourceVersion``; the watcher writes other fields of the same statuses all day, so a
conflict only means to read again. Where another writer has changed the fields from which a change was computed,
``activities.app.observed.update_state`` computes the change again.

Several objects are not written at once, so the order is such that a crash between any two leaves what a repeat of the
step, or the next operation, completes:
1. The App before its Groups and Components: an operation that has begun is known to have begun.
2. A revision before the status that names it: the next write removes a revision that no status names.
3. Statuses before specs: a spec that is behind is drift, and is put back to what the status says.
4. Last, revisions that no status names any more are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from activities.cluster.gather import together
from activities.dependencies import Platform, permanent
from api.app import DeployedStatus
from api.group import GroupStatus, Member
from api.meta import Model, StatusModel
from api.names import STATE_FIELD_MANAGER
from api.steps import ErrorType, Target
from clients.errors import AlreadyExistsError, ConflictError, NotFoundError
from clients.resources import APP, COMPONENT, CONTROLLER_REVISION, GROUP, Manifest, Resource
from render.desired.recorded_state import GroupState, State, component_status, group_status, read_deployed
from render.desired.revisions import newest_first, revision_name
from render.manifests.objects import revision

_ATTEMPTS = 8
Fields = dict[str, Any]
"""Of a status, as the API server has them."""
Edit = Callable[[Manifest], Fields | None]
"""From the live object to the fields of its status that should be other than they are; None: nothing is to change."""


@dataclass(frozen=True)
class Objects:
    """Live objects of one App, by name."""

    components: Mapping[str, Manifest]
    groups: Mapping[str, Manifest]
    revisions: Mapping[str, Manifest]


async def update_status(
    platform: Platform, resource: Resource, name: str, namespace: str, edit: Edit, live: Manifest | None = None
) -> None:
    """``live``: the object as it was read a moment ago. Raises ConflictError where others write without pause,
    NotFoundError where there is no such object."""
    for attempt in range(_ATTEMPTS):
        if live is None:
            live = await platform.kubernetes.get(resource, name, namespace)
        if live is None:
            raise NotFoundError(f"writing the status of {resource.kind} {name}", 404, "NotFound", "it is gone")
        change = edit(live)
        if change is None:
            return
        patch = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"]}, "status": change}
        try:
            await platform.kubernetes.patch(
                resource, name, namespace, patch, manager=STATE_FIELD_MANAGER, subresource="status"
            )
            return
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
            live = None


async def update_deployed(
    platform: Platform, target: Target, edit: Callable[[DeployedStatus | None], DeployedStatus]
) -> None:
    """What is one for the App. Raises ApplicationError NotFound where it is another App by now."""

    def change(live: Manifest) -> Fields | None:
        if live["metadata"]["uid"] != target.uid:
            raise permanent(ErrorType.NOT_FOUND, f"App {target.namespace}/{target.app} is gone")
        before = read_deployed(live)
        after = edit(before)
        return {"deployed": _fields(after)} if after != before else None

    await update_status(platform, APP, target.app, target.namespace, change)


async def update_members(
    platform: Platform, namespace: str, group: str, edit: Callable[[tuple[Member, ...]], tuple[Member, ...]]
) -> None:
    """The nodes of one Group, by its resource name."""

    def change(live: Manifest) -> Fields | None:
        before = tuple(group_status(live).members)
        after = edit(before)
        return {"members": _members(after)} if after != before else None

    await update_status(platform, GROUP, group, namespace, change)


async def update_parameters(platform: Platform, namespace: str, component: str, values: Mapping[str, str]) -> None:
    """Those in effect, as an engine has said. ``component``: resource name."""

    def change(live: Manifest) -> Fields | None:
        before = component_status(live).parameters
        return {"parameters": {**dict.fromkeys(before), **values}} if before != dict(values) else None

    await update_status(platform, COMPONENT, component, namespace, change)


async def write_state(platform: Platform, namespace: str, live: Objects, before: State, after: State) -> None:
    """What differs between ``before`` (of ``live``) and ``after`` in Components and Groups. Raises ConflictError where
    another has written it meanwhile, NotFoundError where a Component or Group is not there."""
    await together(
        _write_component(platform, namespace, live, name, before.components.get(name), spec)
        for name, spec in after.components.items()
    )
    none = GroupState("", "")
    await together(
        _write_group(platform, namespace, live, name, before.groups.get(name, none), group)
        for name, group in after.groups.items()
    )


async def _write_component(
    platform: Platform, namespace: str, live: Objects, component: str, before: Model | None, after: Model
) -> None:
    found = [each for each in live.components.values() if each["spec"]["component"] == component]
    if not found:
        raise _missing(COMPONENT, component)
    owner, known = found[0], component_status(found[0]).revision
    name = str(owner["metadata"]["name"])
    wanted = _named(name, known, before, after)
    await _ensure(platform, namespace, live, owner, {wanted: after})

    def change(now: Manifest) -> Fields | None:
        present = component_status(now).revision
        if present not in (known, wanted):
            raise _overtaken(COMPONENT, name)
        return {"revision": wanted} if present != wanted else None

    await update_status(platform, COMPONENT, name, namespace, change, owner)
    await _prune(platform, namespace, live, name, {wanted})


async def _write_group(
    platform: Platform, namespace: str, live: Objects, name: str, before: GroupState, after: GroupState
) -> None:
    owner = live.groups.get(name)
    if owner is None:
        raise _missing(GROUP, name)
    was = group_status(owner)
    current = _named(name, was.current_revision, before.current, after.current)
    update = _named(name, was.update_revision, before.update, after.update)
    await _ensure(platform, namespace, live, owner, {current: after.current, update: after.update})
    expected = _recorded(was)
    wanted: Fields = {"members": _members(after.members), "currentRevision": current, "updateRevision": update}

    def change(now: Manifest) -> Fields | None:
        present = _recorded(group_status(now))
        if present not in (expected, wanted):
            raise _overtaken(GROUP, name)
        return wanted if present != wanted else None

    await update_status(platform, GROUP, name, namespace, change, owner)
    if current and update:
        await _prune(platform, namespace, live, name, {current, update})


def _recorded(status: GroupStatus) -> Fields:
    return {
        "members": _members(tuple(status.members)),
        "currentRevision": status.current_revision,
        "updateRevision": status.update_revision,
    }


def _named(owner: str, known: str, before: Model | None, after: Model | None) -> str:
    """The revision of ``after``. ``known``: that of ``before``, which another version of the platform may have named
    otherwise."""
    return known if known and after == before else revision_name(owner, after)


async def _ensure(
    platform: Platform, namespace: str, live: Objects, owner: Manifest, specs: Mapping[str, Model | None]
) -> None:
    """Makes the revisions (by name) that are not there yet, the older before the newer."""
    name = str(owner["metadata"]["name"])
    number = max((int(each.get("revision") or 0) for each in _of(live, name)), default=0)
    for revised, spec in specs.items():
        if spec is None or revised in live.revisions:
            continue
        number += 1
        try:
            await platform.kubernetes.create(revision(owner, spec, number))
        except AlreadyExistsError:
            # Of an attempt that ended between this and the status; its name says what it holds.
            present = await platform.kubernetes.get(CONTROLLER_REVISION, revised, namespace)
            if not _apps(owner) & _apps(present or {"metadata": {}}):
                message = f"ControllerRevision {revised} is there already and is not of this App; remove it"
                raise permanent(ErrorType.NOT_OWNED, message) from None


def _apps(manifest: Mapping[str, Any]) -> set[str]:
    owners = manifest["metadata"].get("ownerReferences") or []
    return {str(each.get("uid")) for each in owners if each.get("kind") == "App"}


async def _prune(platform: Platform, namespace: str, live: Objects, owner: str, named: set[str]) -> None:
    """Removes those that the status does not name any more; also those that an earlier attempt has left."""
    left = [each["metadata"] for each in _of(live, owner) if each["metadata"]["name"] not in named]
    await together(
        platform.kubernetes.delete(CONTROLLER_REVISION, each["name"], namespace, uid=each["uid"]) for each in left
    )


def _of(live: Objects, owner: str) -> list[Mapping[str, Any]]:
    return newest_first({name: each for name, each in live.revisions.items() if name.rpartition("-")[0] == owner})


def _fields(model: StatusModel) -> Fields:
    """All of its fields: a merge leaves alone what it does not name."""
    dumped: Fields = model.model_dump(by_alias=True, mode="json")
    return dumped


def _members(members: tuple[Member, ...]) -> list[Fields]:
    return [member.model_dump(by_alias=True, mode="json", exclude_defaults=True) for member in members]


def _missing(resource: Resource, name: str) -> NotFoundError:
    return NotFoundError(f"recording {resource.kind} {name}", 404, "NotFound", "it is not there")


def _overtaken(resource: Resource, name: str) -> ConflictError:
    return ConflictError(
        f"recording {resource.kind} {name}", 409, "Conflict", "somebody else has recorded it meanwhile"
    )
