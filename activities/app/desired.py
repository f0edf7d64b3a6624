"""What the App should be while a step is carried out: the spec that a step goes by is never older than the step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from activities.app.observed import ObservedApp, observe
from activities.dependencies import Platform, permanent
from api.app import App
from api.meta import service_address
from api.names import app_labels
from api.operations import OperationType
from api.steps import ErrorType, Target
from clients.resources import SERVICE, Manifest
from render.desired.app import DesiredApp, desired
from render.desired.first_deploy import app_begun, as_begun
from render.desired.spec_parts import plugin_of, stage_of, staged
from render.manifests.deployments import version_of
from render.plugin.bundle import PluginBundle, PluginRefused
from render.validation.app import parse_app


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


async def desired_for(platform: Platform, target: Target, operation: str = "", *, extend: bool = False) -> StepContext:
    """What a step of this operation has to bring about; ``operation``: as another one would see it; ``extend``: with
    the nodes that a Scale is to add.

    Raises ApplicationError SpecChanged where the App has another spec by now, or is being deleted, or what is recorded
    of it was lost: the operation then ends and the planner decides again.
    """
    live = await observe(platform, target.namespace, target.app, target.uid)
    manifest = live.manifest
    if manifest["metadata"].get("deletionTimestamp"):
        raise permanent(ErrorType.SPEC_CHANGED, f"App {target.namespace}/{target.app} is being deleted")
    app, problems = parse_app(manifest)
    if app is None:
        raise permanent(ErrorType.SPEC_CHANGED, "the spec changed: " + "; ".join(map(str, problems)))
    if spec_hash(app) != target.spec_hash:
        raise permanent(ErrorType.SPEC_CHANGED, f"the spec changed (generation {app.generation})")
    if live.lost:
        raise permanent(
            ErrorType.SPEC_CHANGED, f"{said_of(live.lost)}; the operation ends, and what runs is found out first"
        )
    kind = operation or target.stage or target.operation
    extend = extend and kind == OperationType.SCALE
    return StepContext(manifest, app, await stage(platform, app, live, kind, extend=extend), live)


def said_of(lost: Sequence[str]) -> str:
    """``lost``: of what is recorded of an App."""
    return f"the platform's record of this App is incomplete, it does not hold any more: {', '.join(lost)}"


async def stage(platform: Platform, app: App, live: ObservedApp, operation: str, *, extend: bool = False) -> DesiredApp:
    """The App as it should run while ``operation`` is carried out. Raises ApplicationError InvalidSpec."""
    if live.deployed is None:
        bundle = await _bundle(platform, app.spec.plugin.name, app.spec.plugin.version)
        return desired(app, bundle, agent=platform.agent, recorded=live.recorded)
    own = stage_of(operation)
    bundle = await _bundle(platform, app.spec.plugin.name, plugin_of(app, live.deployed, own))
    return staged(app, bundle, live.deployed, own, agent=platform.agent, extend=extend)


async def begun(platform: Platform, app: App, live: ObservedApp) -> DesiredApp:
    """The nodes of an App's first Deploy that have their Services, as that Deploy was to make them. Raises
    ApplicationError NoCandidate where it has not come so far, InvalidSpec where its plugin is not there any more."""
    first = app_begun(app, live.state.deployed, live.state.runtime_version, live.recorded)
    if first is None:
        raise permanent(ErrorType.NO_CANDIDATE, f"the first Deploy of App {app.namespace}/{app.name} has made no node")
    bundle = await _bundle(platform, first.spec.plugin.name, first.spec.plugin.version)
    services, _ = await platform.kubernetes.list(SERVICE, app.namespace, labels=app_labels(app.name))
    reached = {str(each["metadata"]["name"]) for each in services if service_address(each)}
    deployments = platform.deployments.list(app.namespace, app_labels(app.name))
    versions = {str(each["metadata"]["name"]): version for each in deployments if (version := version_of(each))}
    return as_begun(first, bundle, live.recorded, reached, versions, agent=platform.agent)


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
