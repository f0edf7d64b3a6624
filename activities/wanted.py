"""What the App wants, read live by each step: the spec that a step carries out is never older than the step."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from activities.platform import Platform, permanent
from api.app import App
from api.component import Component
from api.group import Group
from api.names import app_labels
from api.steps import ErrorType, Target
from clients.resources import APP, COMPONENT, GROUP, Manifest
from render.bundle import PluginRefused
from render.desired import DesiredApp, RecordedState, desired
from render.validation import parse_app


@dataclass(frozen=True)
class Wanted:
    """``manifest`` is the live App, ``components`` and ``groups`` its live resources by resource name."""

    manifest: Manifest
    app: App
    desired: DesiredApp
    recorded: RecordedState
    components: dict[str, Manifest]
    groups: dict[str, Manifest]


def spec_hash(app: App) -> str:
    """Over what operations carry out. Defaults are left out, so that a platform with more fields finds the same
    hash."""
    spec = app.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"paused", "deletion_policy"})
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def owned_by(manifest: Manifest, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in manifest["metadata"].get("ownerReferences") or [])


async def records(
    platform: Platform, namespace: str, app: str, uid: str
) -> tuple[RecordedState, dict[str, Manifest], dict[str, Manifest]]:
    """The Components and Groups that belong to this very App."""
    labels = app_labels(app)
    (components, _), (groups, _) = await asyncio.gather(
        platform.kubernetes.list(COMPONENT, namespace, labels=labels),
        platform.kubernetes.list(GROUP, namespace, labels=labels),
    )
    own_components, own_groups = _own(components, uid), _own(groups, uid)
    recorded = RecordedState(
        components={(spec := Component.model_validate(each).spec).component: spec for each in own_components.values()},
        groups={name: Group.model_validate(each).spec for name, each in own_groups.items()},
    )
    return recorded, own_components, own_groups


def _own(manifests: Sequence[Manifest], uid: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if owned_by(each, uid)}


async def live_app(platform: Platform, target: Target) -> Manifest:
    """The App for which the operation was planned. Raises ApplicationError NotFound where there is none any more."""
    manifest = await platform.kubernetes.get(APP, target.app, target.namespace)
    if manifest is None or manifest["metadata"]["uid"] != target.uid:
        raise permanent(ErrorType.NOT_FOUND, f"App {target.namespace}/{target.app} is gone")
    return manifest


async def wanted(platform: Platform, target: Target) -> Wanted:
    """What a step of this operation has to bring about.

    Raises ApplicationError SpecChanged where the App has another spec by now, or is being deleted: the operation
    then ends and the entity plans anew.
    """
    manifest, (recorded, components, groups) = await asyncio.gather(
        live_app(platform, target), records(platform, target.namespace, target.app, target.uid)
    )
    if manifest["metadata"].get("deletionTimestamp"):
        raise permanent(ErrorType.SPEC_CHANGED, f"App {target.namespace}/{target.app} is being deleted")
    app, problems = parse_app(manifest)
    if app is None:
        raise permanent(ErrorType.SPEC_CHANGED, "the spec changed: " + "; ".join(map(str, problems)))
    if spec_hash(app) != target.spec_hash:
        raise permanent(ErrorType.SPEC_CHANGED, f"the spec changed (generation {app.generation})")
    reference = app.spec.plugin
    try:
        bundle = await platform.plugins.bundle(reference.name, reference.version)
    except PluginRefused as error:
        raise permanent(ErrorType.INVALID_SPEC, str(error)) from error
    if bundle is None:
        message = f"spec.plugin: {reference.name} {reference.version} is not installed any more; install it again"
        raise permanent(ErrorType.INVALID_SPEC, message)
    return Wanted(
        manifest,
        app,
        desired(app, bundle, agent_image=platform.agent_image, recorded=recorded),
        recorded,
        components,
        groups,
    )
