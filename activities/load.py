"""``load``: all that the planner needs to know of an App, in one small answer."""

from __future__ import annotations

import asyncio

from temporalio import activity

from activities.drift import find_drift
from activities.manifests import digest
from activities.metadata import read_part
from activities.nodes import has_run
from activities.platform import Platform
from activities.unsupported import unsupported_changes
from activities.wanted import records, spec_hash
from api.app import App
from api.names import FINALIZER, metadata_name
from api.steps import AppSnapshot, LoadRequest, Step
from clients.resources import APP, CONFIG_MAP, Manifest
from render.bundle import PluginBundle, PluginRefused
from render.desired import RecordedState, desired
from render.problems import Problem
from render.validation import parse_app, validate

INVALID_SPEC = "InvalidSpec"
UNSUPPORTED_CHANGE = "UnsupportedChange"
_SHOWN_PROBLEMS = 8
_REMEMBERED = 2_000


class Load:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._good: set[str] = set()

    @activity.defn(name=Step.LOAD)
    async def load(self, request: LoadRequest) -> AppSnapshot:
        manifest = await self._platform.kubernetes.get(APP, request.app, request.namespace)
        if manifest is None:
            return AppSnapshot(exists=False)
        metadata = manifest["metadata"]
        if metadata.get("deletionTimestamp"):
            ours = FINALIZER in (metadata.get("finalizers") or [])
            return AppSnapshot(exists=ours, uid=metadata["uid"], generation=metadata["generation"], deleting=ours)
        app, problems = parse_app(manifest)
        if app is None:
            return _refused(manifest, INVALID_SPEC, problems)
        return await self._of_app(manifest, app, request)

    async def _of_app(self, manifest: Manifest, app: App, request: LoadRequest) -> AppSnapshot:
        platform = self._platform
        bundle, damage = await self._bundle(app)
        known = await platform.plugins.known() if bundle is None else {}
        recorded, components, groups = await records(platform, app.namespace, app.name, app.uid)
        problems = damage or await self._problems(app, bundle, known, recorded)
        if problems or bundle is None:
            return _refused(manifest, INVALID_SPEC, problems, app)
        wanted = desired(app, bundle, agent_image=platform.agent_image, recorded=recorded)
        metadata_map = await platform.kubernetes.get(CONFIG_MAP, metadata_name(app.name), app.namespace)
        basic = read_part(metadata_map, "basic") or {}
        deployed = str(basic["deployed"]) if has_run(basic, app.uid) else ""
        problems = unsupported_changes(
            app, wanted, recorded, basic, read_part(metadata_map, "nodes") or {}, changed=deployed != spec_hash(app)
        )
        if problems:
            return _refused(manifest, UNSUPPORTED_CHANGE, problems, app)
        drift: list[str] = []
        if request.drift and deployed == spec_hash(app):
            drift = await find_drift(platform, wanted, components, groups)
        return _snapshot(manifest, app, deployed=deployed, drift=drift)

    async def _problems(
        self, app: App, bundle: PluginBundle | None, known: dict[str, list[str]], recorded: RecordedState
    ) -> list[Problem]:
        """Remembered for what was found good: validation renders every file of the App, and most looks change
        nothing."""
        key = ""
        if bundle is not None:
            specs = [*recorded.components.items(), *recorded.groups.items()]
            key = digest([app.uid, app.generation, bundle.digest, [(k, v.model_dump(mode="json")) for k, v in specs]])
            if key in self._good:
                return []
        problems = await asyncio.to_thread(validate, app, bundle, known, recorded)
        if key and not problems:
            if len(self._good) >= _REMEMBERED:
                self._good.clear()
            self._good.add(key)
        return problems

    async def _bundle(self, app: App) -> tuple[PluginBundle | None, list[Problem]]:
        reference = app.spec.plugin
        try:
            return await self._platform.plugins.bundle(reference.name, reference.version), []
        except PluginRefused as error:
            return None, [Problem("spec.plugin", f"the installed plugin is damaged: {error}")]


def _told(manifest: Manifest) -> tuple[int, str]:
    status = manifest.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    reason = conditions.get("Accepted", {}).get("reason", "")
    return int(status.get("observedGeneration") or 0), f"{status.get('phase', '')}|{reason}|{status.get('message', '')}"


def _snapshot(
    manifest: Manifest,
    app: App | None,
    *,
    deployed: str = "",
    drift: list[str] | None = None,
    reason: str = "",
    refusal: str = "",
) -> AppSnapshot:
    told_generation, told = _told(manifest)
    spec = manifest.get("spec") or {}
    return AppSnapshot(
        exists=True,
        uid=manifest["metadata"]["uid"],
        generation=int(manifest["metadata"].get("generation", 0)),
        paused=app.spec.paused if app is not None else bool(spec.get("paused")),
        plugin=f"{app.spec.plugin.name} {app.spec.plugin.version}" if app is not None else "",
        spec_hash=spec_hash(app) if app is not None else "",
        deployed_hash=deployed,
        refusal_reason=reason,
        refusal=refusal,
        drift=drift or [],
        told_generation=told_generation,
        told=told,
    )


def _refused(manifest: Manifest, reason: str, problems: list[Problem], app: App | None = None) -> AppSnapshot:
    shown = [str(problem) for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        shown.append(f"and {len(problems) - _SHOWN_PROBLEMS} more problems")
    return _snapshot(manifest, app, reason=reason, refusal="; ".join(shown))
