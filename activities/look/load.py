"""``load``: all that the planner needs to know of an App, in one small answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.app.bootstrap import leading
from activities.app.desired import said_of, spec_hash, stage
from activities.app.dry_run import PodTrial
from activities.app.observed import ObservedApp, observe
from activities.app.retained_volumes import unreadable_beginnings, unreadable_volumes
from activities.dependencies import Platform
from activities.look.astray import end_moves_left, is_false, unwritable
from activities.look.drift import AppObjects, Lost, Missing, find_drift, find_first_drift, list_objects
from activities.look.rebuild_state import STATE_LOST, rebuild_state
from activities.roles.drain import evacuations
from activities.rollout.volumes import expandable_groups, growable, unknown_classes
from api.app import App, FailoverPolicy
from api.group import MemberState
from api.look import AppSnapshot, Evacuation, LoadRequest
from api.names import FINALIZER, LABEL_COMPONENT, LABEL_GROUP, LABEL_NODE, app_labels, credentials_name, node_ordinal
from api.operations import OperationType
from api.steps import Step
from clients.pod_reason import condition_of
from clients.resources import APP, CONFIG_MAP, DEPLOYMENT, SECRET, SERVICE, VOLUME_CLAIM, Manifest
from render.check.credentials import Rotation, is_due, rotation_due
from render.check.next_operation import NodeObjects, unfinished
from render.check.rebuilt_state import REBUILT, REMEDY
from render.check.trial import render_trial
from render.desired.app import DesiredApp, RecordedState, desired
from render.desired.spec_parts import Deployed, Part, pending
from render.manifests.deployments import VERSION_LABEL, digest
from render.manifests.volumes import held_sizes
from render.plugin.bundle import PluginBundle, PluginRefused
from render.plugin.problems import Problem
from render.validation.app import parse_app, validate
from render.validation.immutability import depends_on_volumes
from render.validation.passwords import password_problems
from render.validation.transitions import group_path, transition_problems

INVALID_SPEC = "InvalidSpec"
UNSUPPORTED_CHANGE = "UnsupportedChange"
NOT_OWNED = "NotOwned"
_SHOWN_PROBLEMS = 8
_REMEMBERED = 2_000


class Load:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._good: set[str] = set()
        self._pods = PodTrial(platform)

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
        live = await observe(platform, app.namespace, app.name, app.uid, manifest)
        if live.lost and app.spec.paused:
            return _snapshot(manifest, app, deployed=_last(live))
        if live.lost:
            if refusal := await rebuild_state(platform, app, live):
                return _snapshot(manifest, app, deployed=_last(live), reason=STATE_LOST, refusal=refusal)
            live = await observe(platform, app.namespace, app.name, app.uid)
            if live.lost:
                refusal = f"{said_of(live.lost)}, although it was just found out; if that stays so, {REMEDY}"
                return _snapshot(manifest, app, deployed=_last(live), reason=STATE_LOST, refusal=refusal)
        moving = bool((manifest.get("status") or {}).get("moving")) and live.deployed is not None
        if moving and request.drift and (runs := await self._running(app, live)) is not None:
            await end_moves_left(platform, runs, manifest)
        problems = damage or await self._problems(app, bundle, known, live.recorded)
        if problems or bundle is None:
            return _refused(manifest, INVALID_SPEC, problems, app, _last(live))
        wanted = desired(app, bundle, agent=platform.agent, recorded=live.recorded)
        if live.state.deployed is None and (refusal := await self._left_by_nobody(app)):
            return _snapshot(manifest, app, reason=NOT_OWNED, refusal=refusal)
        if live.deployed is None:
            if problems := await unknown_classes(platform, app):
                return _refused(manifest, INVALID_SPEC, problems, app)
            if problems := list(password_problems(wanted, await self._credentials(app))):
                return _refused(manifest, INVALID_SPEC, problems, app)
            if problems := unreadable_volumes(wanted, await self._claims(app)):
                return _refused(manifest, INVALID_SPEC, problems, app)
            problems = [
                *unreadable_beginnings(wanted, live.state, self._ready(app)),
                *fewer_nodes(app, wanted, live),
            ]
            if problems:
                return _refused(manifest, UNSUPPORTED_CHANGE, problems, app)
            if problems := await self._pods.problems(app, wanted, live.recorded):
                return _refused(manifest, INVALID_SPEC, problems, app)
            begun = request.drift and live.state.deployed is not None
            drift = [*_unheld(manifest), *await find_first_drift(platform, wanted, live)] if begun else []
            return _snapshot(manifest, app, drift=drift)
        problems = await self._transitions(app, wanted, live.deployed)
        if problems:
            return _refused(manifest, INVALID_SPEC, problems, app, _last(live))
        left = pending(wanted, live.deployed)
        if left and request.drift and (problems := await self._pods.problems(app, wanted, live.recorded)):
            return _refused(manifest, INVALID_SPEC, problems, app, _last(live))
        operation, sentence = (str(left[0].operation), left[0].sentence) if left else ("", "")
        drift = []
        leaving: list[Evacuation] = []
        running = await self._running(app, live) if request.drift else None
        if running is not None:
            astray = is_false(manifest, "ReplicasFollow")
            objects = await list_objects(self._platform, running)
            # What an engine is said to run with otherwise may be over, as its Pod was made anew: it is asked again.
            asked = request.engines or is_false(manifest, "ParametersInEffect")
            drift = await find_drift(self._platform, running, live, objects, engines=asked, astray=astray)
            drift = [*_unheld(manifest), *drift]
            leaving = await evacuations(self._platform, running)
            if app.spec.failover.automatic and is_false(manifest, "WritesAccepted"):
                leaving += await unwritable(self._platform, running)
            if not operation and (part := await self._unfinished(running, live, objects)) is not None:
                operation, sentence = part.operation, part.sentence
        if not operation and _last(live) == REBUILT:
            operation, sentence = OperationType.DEPLOY, "what runs was found out again, and is compared with the spec"
        rotation = await self._rotation(running or wanted, app)
        if not operation and rotation.part is not None:
            operation, sentence = rotation.part.operation, rotation.part.sentence
        return _snapshot(
            manifest,
            app,
            deployed=_last(live),
            drift=drift,
            operation=operation,
            sentence=sentence,
            leaving=leaving,
            credentials=rotation.refusal,
        )

    async def _claims(self, app: App) -> dict[str, Manifest]:
        found, _ = await self._platform.kubernetes.list(VOLUME_CLAIM, app.namespace, labels=app_labels(app.name))
        return {str(claim["metadata"]["name"]): claim for claim in found}

    async def _left_by_nobody(self, app: App) -> str:
        """Why no first Deploy begins: Deployments of the App's nodes that no App owns, as after a restore that made all
        objects anew. Nothing takes them away, and their engines write to the volumes between which that Deploy is to
        choose. Those of an earlier App go by themselves, and are waited for."""
        found, _ = await self._platform.kubernetes.list(DEPLOYMENT, app.namespace, labels=app_labels(app.name))
        names = []
        for metadata in (each["metadata"] for each in found):
            component, group = (str(metadata["labels"].get(key, "")) for key in (LABEL_COMPONENT, LABEL_GROUP))
            owned = any(owner.get("kind") == "App" for owner in metadata.get("ownerReferences") or [])
            if not owned and node_ordinal(app.name, component, group, metadata["name"]) is not None:
                names.append(str(metadata["name"]))
        if not names:
            return ""
        them = sorted(names)
        return (
            f"no App owns Deployment {', '.join(them)}, so an engine of an earlier App {app.name} may write to a "
            f"volume that this App would take up; kubectl delete deployment -n {app.namespace} {' '.join(them)}"
        )

    async def _rotation(self, desired: DesiredApp, app: App) -> Rotation:
        """What somebody has written into the App's Secret, or an interrupted change of it has left."""
        secret = await self._credentials(app) if desired.credentials else None
        if not is_due(desired, secret):
            return Rotation()
        problems = [str(problem) for problem in password_problems(desired, secret)]
        return rotation_due(desired, secret, await asyncio.to_thread(render_trial, desired), problems)

    async def _credentials(self, app: App) -> Manifest | None:
        return await self._platform.kubernetes.get(SECRET, credentials_name(app.name), app.namespace)

    def _ready(self, app: App) -> dict[str, str]:
        """Node -> runtime version of its Pod, of those that are ready."""
        labels = [
            pod["metadata"]["labels"]
            for pod in self._platform.pods.list(app.namespace, app_labels(app.name))
            if condition_of(pod, "Ready").get("status") == "True"
        ]
        return {each[LABEL_NODE]: str(each.get(VERSION_LABEL, "")) for each in labels if LABEL_NODE in each}

    async def _running(self, app: App, live: ObservedApp) -> DesiredApp | None:
        """What runs, not a newer spec that is yet to be carried out; None where the plugin version that runs was
        uninstalled: nothing says then how its objects should be."""
        try:
            return await stage(self._platform, app, live, OperationType.REPAIR)
        except ApplicationError:
            return None

    async def _unfinished(self, running: DesiredApp, live: ObservedApp, objects: AppObjects) -> Part | None:
        claims = objects.named(VOLUME_CLAIM)
        deployments, config_maps, services = (objects.named(kind) for kind in (DEPLOYMENT, CONFIG_MAP, SERVICE))
        able = await growable(self._platform, running, claims)
        members = live.state.members
        return unfinished(running, NodeObjects(deployments, claims, config_maps, services, members, able))

    async def _transitions(self, app: App, wanted: DesiredApp, deployed: Deployed) -> list[Problem]:
        installed: dict[str, list[str]] = {}
        if wanted.bundle.version != deployed.plugin_version:
            installed = await self._platform.plugins.runtimes(wanted.bundle.name)
        expandable = await expandable_groups(self._platform, wanted, deployed)
        return transition_problems(app, wanted, deployed, installed=installed, expandable=expandable)

    async def _problems(
        self, app: App, bundle: PluginBundle | None, known: dict[str, list[str]], recorded: RecordedState
    ) -> list[Problem]:
        """Remembered for what was found good: validation renders every file of the App, and most looks change
        nothing."""
        key = ""
        if bundle is not None:
            if depends_on_volumes(app, bundle, recorded):
                claims, _ = await self._platform.kubernetes.list(VOLUME_CLAIM, app.namespace)  # whatever their labels
                recorded = replace(recorded, held=held_sizes(claims))
            specs = [*recorded.components.items(), *recorded.groups.items()]
            known_of = [[(k, v.model_dump(mode="json")) for k, v in specs], recorded.held]
            key = digest([app.uid, app.generation, bundle.digest, known_of])
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


def _unheld(manifest: Manifest) -> list[str]:
    """A deletion would go past the platform: engines ended in any order, and volumes kept whatever the policy says."""
    held = FINALIZER in (manifest["metadata"].get("finalizers") or [])
    return [] if held else [Missing(f"the finalizer {FINALIZER} of the App is missing")]


def _told(manifest: Manifest) -> tuple[int, str]:
    status = manifest.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    reason, said = conditions.get("Accepted", {}).get("reason", ""), status.get("progress") or {}
    return int(said.get("observedGeneration") or 0), f"{said.get('phase', '')}|{reason}|{said.get('message', '')}"


def _snapshot(
    manifest: Manifest,
    app: App | None,
    *,
    deployed: str = "",
    drift: list[str] | None = None,
    operation: str = "",
    sentence: str = "",
    leaving: list[Evacuation] | None = None,
    credentials: str = "",
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
        cool_down=app.spec.failover.cool_down_seconds if app is not None else FailoverPolicy().cool_down_seconds,
        plugin=f"{app.spec.plugin.name} {app.spec.plugin.version}" if app is not None else "",
        spec_hash=spec_hash(app) if app is not None else "",
        deployed_hash=deployed,
        operation=operation,
        change=sentence,
        refusal_reason=reason,
        refusal=refusal,
        credentials=credentials,
        drift=[str(each) for each in drift or []],
        missing=[str(each) for each in drift or [] if isinstance(each, Missing)],
        lost=any(isinstance(each, Lost) for each in drift or []),
        evacuations=leaving or [],
        told_generation=told_generation,
        told=told,
    )


def _last(live: ObservedApp) -> str:
    """Hash of the spec that runs, empty before the first Deploy: it can lose its primary, whatever is refused."""
    return live.state.deployed.spec_hash if live.state.deployed is not None else ""


def _refused(
    manifest: Manifest, reason: str, problems: list[Problem], app: App | None = None, deployed: str = ""
) -> AppSnapshot:
    shown = [str(problem) for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        shown.append(f"and {len(problems) - _SHOWN_PROBLEMS} more problems")
    return _snapshot(manifest, app, deployed=deployed, reason=reason, refusal="; ".join(shown))


def fewer_nodes(app: App, wanted: DesiredApp, live: ObservedApp) -> Iterator[Problem]:
    """Until the first Deploy has completed anything may change, but for a group's nodes that are ready becoming
    fewer, or the primary going: they may hold data by now."""
    primaries = {each.successor for each in app.status.fenced} | leading(live, wanted.components)
    adding = [node for node in live.state.nodes(MemberState.ADDING) if node.name in primaries]
    ready = [*live.state.nodes(MemberState.NORMAL), *adding]
    for component in wanted.components:
        for group in component.groups:
            names = {node.name for node in group.nodes}
            lost = [
                node.name
                for node in ready
                if (node.component, node.group) == (component.name, group.name) and node.name not in names
            ]
            if lost:
                them, are = ("it", "is") if len(lost) == 1 else ("them", "are")
                message = (
                    f"{', '.join(lost)} {are} ready and may hold data; keep {them} until the first Deploy has completed"
                )
                yield Problem(f"{group_path(app, component.name, group.name)}.replicas", message)
