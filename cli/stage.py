"""Which part of an App's spec the platform would carry out next, and the App as it is meant while it does.

By the same pure code as the platform (``render.desired.spec_parts``, ``render.check.next_operation``, and
``workflows.entity.planner``, which says what comes first), and by the same
record: the statuses of App, Groups and Components, and their revisions.
Components and Groups may have been edited by hand, and an edit is something to be put back, not what runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from api.app import App
from api.group import AgentBundle
from api.look import AppSnapshot
from api.operations import OperationType
from cli.plugins import Installed, installed_bundle
from cli.session import CommandError
from clients.errors import KubernetesError
from clients.kubernetes import Kubernetes
from clients.resources import STORAGE_CLASS, Manifest
from render.check.growth import depends_on_classes, expandable, growing
from render.check.next_operation import NodeObjects, unfinished
from render.desired.app import DesiredApp, RecordedState, desired
from render.desired.recorded_state import State, deployed_state, lost_parts, recorded_state, state_of
from render.desired.spec_parts import Deployed, Part, pending, plugin_of, stage_of, staged
from render.plugin.bundle import PluginBundle
from render.plugin.problems import Problem
from render.validation.transitions import transition_problems
from workflows.entity.planner import Decision, Memory, plan

Live = Mapping[tuple[str, str], Manifest]
"""The App's objects, by kind and name."""


@dataclass(frozen=True)
class Running:
    """What runs; ``deployed`` None before the first Deploy has completed."""

    state: State
    recorded: RecordedState
    deployed: Deployed | None


@dataclass(frozen=True)
class NextStage:
    """``operation``: what comes next; Repair where the spec is carried out, so that only drift is left. ``later``: the
    parts after it. ``ran``: the first Deploy has completed. ``state``: what is recorded of the nodes. ``runs``: the App
    as a Repair keeps it; None before the first Deploy, and where its plugin version is gone. ``paused``: nothing is
    carried out."""

    operation: OperationType
    sentence: str
    desired: DesiredApp
    later: tuple[Part, ...] = ()
    ran: bool = False
    state: State = field(default_factory=State)
    runs: DesiredApp | None = None
    paused: bool = False

    def __str__(self) -> str:
        then = ", ".join(f"{part.operation} ({part.sentence})" for part in self.later)
        return f"{self.operation}: {self.sentence}" + (f"; then {then}" if then else "")


def decided(stage: NextStage, drift: Sequence[str]) -> Decision:
    """What the platform does first, by its own planner. ``drift``: sentences on what runs and is not as it should
    be."""
    carried_out = stage.operation == OperationType.REPAIR
    wants = "what the spec says"
    snapshot = AppSnapshot(
        exists=True,
        paused=stage.paused,
        spec_hash=wants,
        deployed_hash=(wants if carried_out else "what runs") if stage.ran else "",
        operation="" if carried_out or not stage.ran else stage.operation,
        change=stage.sentence,
        drift=list(drift),
    )
    return plan(snapshot, Memory())


def said(stage: NextStage, *, differs: bool, drift: Sequence[str] = ()) -> str:
    """``differs``: whether something is shown with it; ``drift``: as for ``decided``."""
    decision, plain = decided(stage, drift), _said(stage, differs=differs)
    if stage.paused and decision.telling is not None:
        return f"{decision.telling.message}; then {plain}"
    if decision.operation == OperationType.REPAIR and stage.operation != OperationType.REPAIR:
        return f"{OperationType.REPAIR}: {decision.reason}; then {plain}"
    return plain


def _said(stage: NextStage, *, differs: bool) -> str:
    if stage.operation != OperationType.REPAIR:
        return str(stage)
    return f"{stage}; what is shown was changed by somebody else" if differs else f"{stage.sentence}: nothing to change"


def running(app: Manifest | None, live: Live) -> Running:
    """Of this very App (None: it is not there yet), not of an earlier one of its name. Raises CommandError where what
    is recorded of it was lost."""
    if app is None:
        return Running(State(), RecordedState(), None)
    uid, name = app["metadata"]["uid"], str(app["metadata"]["name"])

    def own(kind: str) -> dict[str, Manifest]:
        return {
            name: each
            for (what, name), each in live.items()
            if what == kind and any(o.get("uid") == uid for o in each["metadata"].get("ownerReferences") or [])
        }

    components, groups, revisions = own("Component"), own("Group"), own("ControllerRevision")
    state = state_of(app, components, groups, revisions)
    if lost := lost_parts(name, state, components, groups, revisions):
        raise CommandError(
            f"the platform's record of {name} is incomplete: {', '.join(lost)}. The platform finds out at its next "
            "look what runs, or the App's status says what it needs"
        )
    recorded = recorded_state(state, components, groups)
    return Running(state, recorded, deployed_state(state, recorded))


async def next_stage(
    kubernetes: Kubernetes,
    app: App,
    bundle: PluginBundle,
    plugins: list[Installed],
    now: Running,
    live: Live,
    agent: AgentBundle,
) -> tuple[NextStage | None, list[Problem]]:
    """Or why the App would be refused. ``bundle``: of the plugin version that the App names."""
    whole = desired(app, bundle, agent=agent, recorded=now.recorded)
    paused = app.spec.paused
    if now.deployed is None:
        return NextStage(OperationType.DEPLOY, "first deploy", whole, paused=paused), []
    runtimes = {each.version: each.runtime_versions for each in plugins if each.name == bundle.name}
    problems = transition_problems(app, whole, now.deployed, installed=runtimes, expandable=None)
    if problems:
        return None, problems
    left = pending(whole, now.deployed)
    operation = left[0].operation if left else OperationType.REPAIR
    version = plugin_of(app, now.deployed, stage_of(operation))
    if version != bundle.version:
        bundle = await installed_bundle(kubernetes, bundle.name, version)
    deployed = scaled(now.deployed, whole) if operation == OperationType.SCALE else now.deployed
    wanted = staged(app, bundle, deployed, stage_of(operation), agent=agent)
    runs = await _runs(kubernetes, app, bundle, now.deployed, agent)
    stage = NextStage(operation, "the spec is carried out", wanted, (), True, now.state, runs, paused)
    if left:
        return replace(stage, sentence=left[0].sentence, later=tuple(left[1:])), []
    part = await _unfinished(kubernetes, wanted, now.state, live)
    if part is not None:
        return replace(stage, operation=part.operation, sentence=part.sentence), []
    return stage, []


async def _runs(
    kubernetes: Kubernetes, app: App, bundle: PluginBundle, deployed: Deployed, agent: AgentBundle
) -> DesiredApp | None:
    version = plugin_of(app, deployed, stage_of(OperationType.REPAIR))
    if version != bundle.version:
        try:
            bundle = await installed_bundle(kubernetes, bundle.name, version)
        except CommandError:
            return None
    return staged(app, bundle, deployed, stage_of(OperationType.REPAIR), agent=agent)


def scaled(deployed: Deployed, whole: DesiredApp) -> Deployed:
    """As after a Scale: without the nodes that it removes."""
    groups = [group for component in whole.components for group in component.groups]
    ordinals = {group.resource_name: tuple(group.spec.ordinals) for group in groups}
    return replace(deployed, ordinals=ordinals, joining={}, removing=frozenset())


async def _unfinished(kubernetes: Kubernetes, wanted: DesiredApp, state: State, live: Live) -> Part | None:
    def of(kind: str) -> dict[str, Manifest]:
        return {name: each for (what, name), each in live.items() if what == kind}

    claims = of("PersistentVolumeClaim")
    able: frozenset[str] = frozenset()
    if depends_on_classes(growing(wanted, claims.values())):
        with contextlib.suppress(KubernetesError):  # not everybody may list what belongs to no namespace
            classes, _ = await kubernetes.list(STORAGE_CLASS, None)
            able = expandable(classes)
    return unfinished(
        wanted, NodeObjects(of("Deployment"), claims, of("ConfigMap"), of("Service"), state.members, able)
    )
