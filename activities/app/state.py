"""What the App wants, read live by each step: the spec that a step carries out is never older than the step.

What runs is known from the metadata (parts ``basic``, ``nodes``, ``record``), not from the Component and Group
resources: those a person may edit, and an edit must be seen as one, not be taken for what runs. Only the replicas of a
Group are a person's to set (``kubectl scale``), where the App is silent.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from activities.cluster.metadata import read_part, said_of
from activities.dependencies import Platform, permanent
from api.app import App
from api.names import app_labels, metadata_name
from api.operations import OperationType
from api.steps import ErrorType, Target
from clients.resources import APP, COMPONENT, CONFIG_MAP, GROUP, SERVICE, Manifest
from render.desired.app import DesiredApp, RecordedState, desired
from render.desired.first_deploy import app_begun, as_begun
from render.desired.recorded_state import damaged_parts, deployed_state, recorded_state
from render.desired.spec_parts import Deployed, plugin_of, stage_of, staged
from render.manifests.deployments import version_of
from render.plugin.bundle import PluginBundle, PluginRefused
from render.validation.app import parse_app


@dataclass(frozen=True)
class ObservedApp:
    """An App's resources and metadata as they are. ``deployed``: what runs, None before the first Deploy completed.

    ``components`` and ``groups`` by resource name; ``recorded`` is what new renderings hold on to. ``damaged``: what is
    wrong with parts of the metadata, by part.
    """

    components: dict[str, Manifest]
    groups: dict[str, Manifest]
    metadata: Manifest | None
    recorded: RecordedState
    deployed: Deployed | None
    damaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def basic(self) -> dict[str, Any]:
        part = read_part(self.metadata, "basic")
        return part if isinstance(part, dict) else {}


@dataclass(frozen=True)
class StepContext:
    """``manifest`` is the live App; ``desired`` what should run while this operation's part is carried out."""

    manifest: Manifest
    app: App
    desired: DesiredApp
    live: ObservedApp


_NO_OPERATION = {"paused", "deletion_policy", "failover"}
"""Fields of the spec that are looked at when they matter, and that nothing has to carry out."""


def spec_hash(app: App) -> str:
    """Over what operations carry out. Defaults are left out, so that a platform with more fields finds the same
    hash."""
    spec = app.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_NO_OPERATION)
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def owned_by(manifest: Manifest, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in manifest["metadata"].get("ownerReferences") or [])


async def observe(platform: Platform, namespace: str, app: str, uid: str) -> ObservedApp:
    """The resources that belong to this very App, and its metadata."""
    labels = app_labels(app)
    (components, _), (groups, _), metadata = await asyncio.gather(
        platform.kubernetes.list(COMPONENT, namespace, labels=labels),
        platform.kubernetes.list(GROUP, namespace, labels=labels),
        platform.kubernetes.get(CONFIG_MAP, metadata_name(app), namespace),
    )
    own_components, own_groups = _own(components, uid), _own(groups, uid)
    if metadata is not None and not owned_by(metadata, uid):
        metadata = None
    return observed_of(app, uid, own_components, own_groups, metadata)


def observed_of(
    app: str, uid: str, components: dict[str, Manifest], groups: dict[str, Manifest], metadata: Manifest | None
) -> ObservedApp:
    """Pure; all of them are of this very App."""
    recorded = recorded_state(components, groups, read_part(metadata, "record"))
    damaged = damaged_parts(metadata, uid, made=bool(components or groups))
    return ObservedApp(components, groups, metadata, recorded, deployed_state(app, uid, metadata, recorded), damaged)


def _own(manifests: Sequence[Manifest], uid: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if owned_by(each, uid)}


async def live_app(platform: Platform, target: Target) -> Manifest:
    """The App for which the operation was planned. Raises ApplicationError NotFound where there is none any more."""
    manifest = await platform.kubernetes.get(APP, target.app, target.namespace)
    if manifest is None or manifest["metadata"]["uid"] != target.uid:
        raise permanent(ErrorType.NOT_FOUND, f"App {target.namespace}/{target.app} is gone")
    return manifest


async def desired_for(platform: Platform, target: Target, operation: str = "", *, extend: bool = False) -> StepContext:
    """What a step of this operation has to bring about; ``operation``: as another one would see it; ``extend``: with
    the nodes that a Scale is to add.

    Raises ApplicationError SpecChanged where the App has another spec by now, or is being deleted, or somebody damaged
    its metadata: the operation then ends and the entity plans anew.
    """
    manifest, live = await asyncio.gather(
        live_app(platform, target), observe(platform, target.namespace, target.app, target.uid)
    )
    if manifest["metadata"].get("deletionTimestamp"):
        raise permanent(ErrorType.SPEC_CHANGED, f"App {target.namespace}/{target.app} is being deleted")
    app, problems = parse_app(manifest)
    if app is None:
        raise permanent(ErrorType.SPEC_CHANGED, "the spec changed: " + "; ".join(map(str, problems)))
    if spec_hash(app) != target.spec_hash:
        raise permanent(ErrorType.SPEC_CHANGED, f"the spec changed (generation {app.generation})")
    if live.damaged:
        raise permanent(ErrorType.SPEC_CHANGED, f"{said_of(app.name, live.damaged)}; planned anew")
    kind = operation or target.stage or target.operation
    extend = extend and kind == OperationType.SCALE
    return StepContext(manifest, app, await stage(platform, app, live, kind, extend=extend), live)


async def stage(platform: Platform, app: App, live: ObservedApp, operation: str, *, extend: bool = False) -> DesiredApp:
    """The App as it should run while ``operation`` is carried out. Raises ApplicationError InvalidSpec."""
    if live.deployed is None:
        bundle = await _bundle(platform, app.spec.plugin.name, app.spec.plugin.version)
        return desired(app, bundle, agent_image=platform.agent_image, recorded=live.recorded)
    own = stage_of(operation)
    bundle = await _bundle(platform, app.spec.plugin.name, plugin_of(app, live.deployed, own))
    return staged(app, bundle, live.deployed, own, agent_image=platform.agent_image, extend=extend)


async def begun(platform: Platform, app: App, live: ObservedApp) -> DesiredApp:
    """The nodes of an App's first Deploy that have their Services, as that Deploy was to make them. Raises
    ApplicationError NoCandidate where it has not come so far, InvalidSpec where its plugin is not there any more."""
    first = app_begun(app, live.basic, live.recorded)
    if first is None:
        raise permanent(ErrorType.NO_CANDIDATE, f"the first Deploy of App {app.namespace}/{app.name} has made no node")
    bundle = await _bundle(platform, first.spec.plugin.name, first.spec.plugin.version)
    services, _ = await platform.kubernetes.list(SERVICE, app.namespace, labels=app_labels(app.name))
    reached = {str(each["metadata"]["name"]) for each in services if each["spec"].get("clusterIP")}
    deployments = platform.deployments.list(app.namespace, app_labels(app.name))
    versions = {str(each["metadata"]["name"]): version for each in deployments if (version := version_of(each))}
    return as_begun(first, bundle, live.recorded, reached, versions, agent_image=platform.agent_image)


async def _bundle(platform: Platform, name: str, version: str) -> PluginBundle:
    try:
        bundle = await platform.plugins.bundle(name, version)
    except PluginRefused as error:
        raise permanent(ErrorType.INVALID_SPEC, str(error)) from error
    if bundle is None:
        raise permanent(
            ErrorType.INVALID_SPEC, f"spec.plugin: {name} {version} is not installed any more; install it again"
        )
    return bundle
