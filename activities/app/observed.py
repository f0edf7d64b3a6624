"""An App as it is: its resources, and what is recorded of it, read live by each step.

What runs is known from the statuses of App, Groups and Components and from the revisions that they name, not from the
specs of Components and Groups: those a person may edit, and an edit must be seen as one, not be taken for what runs.
The metadata ConfigMap is written from all this, and never read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from activities.cluster.state import Objects, write_state
from activities.dependencies import Platform, permanent
from api.names import app_labels
from api.steps import ErrorType, Target
from clients.errors import ConflictError
from clients.resources import APP, COMPONENT, CONTROLLER_REVISION, DEPLOYMENT, GROUP, Manifest
from render.desired.app import RecordedState
from render.desired.recorded_state import State, component_status, deployed_state, lost_parts, recorded_state, state_of
from render.desired.spec_parts import Deployed

_ATTEMPTS = 5


@dataclass(frozen=True)
class ObservedApp:
    """An App and its resources as they are. ``deployed``: what runs, None before the first Deploy completed.

    ``components``, ``groups`` and ``revisions`` by resource name; ``recorded`` is what new renderings hold on to.
    ``lost``: what of the state is not there any more, phrases.
    """

    manifest: Manifest
    components: Mapping[str, Manifest]
    groups: Mapping[str, Manifest]
    revisions: Mapping[str, Manifest]
    state: State
    recorded: RecordedState
    deployed: Deployed | None
    lost: Sequence[str] = ()

    @property
    def objects(self) -> Objects:
        return Objects(self.components, self.groups, self.revisions)

    def missing(self, manifests: Iterable[Manifest]) -> list[Manifest]:
        """Of manifests of Components and Groups, those that are not there."""
        present = {("Component", name) for name in self.components} | {("Group", name) for name in self.groups}
        return [each for each in manifests if (each["kind"], each["metadata"]["name"]) not in present]

    @property
    def holders(self) -> dict[str, str]:
        """Component -> who held its writable role last, of components whose primary the platform replaces."""
        return {
            str(each["spec"]["component"]): holder.node
            for each in self.components.values()
            for holder in component_status(each).holders
        }

    @property
    def roles(self) -> dict[str, str]:
        """Node -> its role, as the watcher has seen it."""
        return {role.node: role.role for each in self.components.values() for role in component_status(each).roles}


def owned_by(manifest: Manifest, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in manifest["metadata"].get("ownerReferences") or [])


async def observe(
    platform: Platform, namespace: str, app: str, uid: str, manifest: Manifest | None = None
) -> ObservedApp:
    """The App and the resources that belong to it. ``manifest``: the App, where it was read a moment ago. Raises
    ApplicationError NotFound where it is not this very App any more."""
    labels, kubernetes = app_labels(app), platform.kubernetes

    async def live() -> Manifest | None:
        return manifest or await kubernetes.get(APP, app, namespace)

    found, (components, _), (groups, _), (revisions, _) = await asyncio.gather(
        live(),
        kubernetes.list(COMPONENT, namespace, labels=labels),
        kubernetes.list(GROUP, namespace, labels=labels),
        kubernetes.list(CONTROLLER_REVISION, namespace, labels=labels),
    )
    if found is None or found["metadata"]["uid"] != uid:
        raise permanent(ErrorType.NOT_FOUND, f"App {namespace}/{app} is gone")
    seen = observed_of(found, _own(components, uid), _own(groups, uid), _own(revisions, uid))
    if seen.state.deployed is None and not seen.lost:
        deployments, _ = await kubernetes.list(DEPLOYMENT, namespace, labels=labels)
        if _own(deployments, uid):
            return replace(seen, lost=["what was deployed"])
    return seen


def observed_of(
    manifest: Manifest,
    components: Mapping[str, Manifest],
    groups: Mapping[str, Manifest],
    revisions: Mapping[str, Manifest],
) -> ObservedApp:
    """Pure; all of them are of this very App."""
    state = state_of(manifest, components, groups, revisions)
    recorded = recorded_state(state, components, groups)
    lost = lost_parts(str(manifest["metadata"]["name"]), state, components, groups, revisions)
    return ObservedApp(manifest, components, groups, revisions, state, recorded, deployed_state(state, recorded), lost)


def _own(manifests: Sequence[Manifest], uid: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if owned_by(each, uid)}


async def update_state(
    platform: Platform, target: Target, edit: Callable[[State], State], live: ObservedApp | None = None
) -> None:
    """Of Components and Groups, which must be there. ``live``: as the App was seen a moment ago. Where another has
    written meanwhile, the change is computed again from what is there. Raises ConflictError, NotFoundError."""
    for attempt in range(_ATTEMPTS):
        if live is None:
            live = await observe(platform, target.namespace, target.app, target.uid)
        try:
            await write_state(platform, target.namespace, live.objects, live.state, edit(live.state))
            return
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
            live = None


async def live_app(platform: Platform, target: Target) -> Manifest:
    """The App for which the operation was planned. Raises ApplicationError NotFound where there is none any more."""
    manifest = await platform.kubernetes.get(APP, target.app, target.namespace)
    if manifest is None or manifest["metadata"]["uid"] != target.uid:
        raise permanent(ErrorType.NOT_FOUND, f"App {target.namespace}/{target.app} is gone")
    return manifest
