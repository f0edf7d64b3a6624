"""A cluster in memory behind activities of the real names: what is tested is the order of steps, not the steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.dependencies import Platform
from activities.progress.manual_requests import ManualRequests
from api.failover import Chosen, FailoverRequest, Fenced, FenceRequest, PromoteRequest, ReadmitRequest, Takeover
from api.look import AppSnapshot, LoadRequest, ReportRequest
from api.operations import BY_REQUEST, OperationType
from api.reconfigure import ConfigCommitted, ConfigPlans, ConfigureStep
from api.rotation import AdvanceRequest, CredentialsStep, Overlap, RotationRequest, RotationStage
from api.steps import (
    Applied,
    ComponentStep,
    ErrorType,
    GroupStep,
    Move,
    MoveRequest,
    NodeStep,
    Plan,
    RolledBack,
    RollNode,
    RollPlan,
    RollRequest,
    ScalePlan,
    StateRequest,
    Step,
    Survey,
    Target,
)
from render.desired.credentials import BACKWARDS, Changes, Stage, advanced, begun, edited, stage_of, turned_back
from tests.workflows.cluster import INSTALLATION, FakeApp, FakeCluster

LOST = "it had come to 7, and its successor begins at 5"


class FakeActivities:
    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    async def _begin(self, step: Step, target: Target, what: str = "") -> FakeApp:
        await self._cluster.ran(f"{target.app}/{step}:{what}" if what else f"{target.app}/{step}")
        app = self._cluster.apps.get(target.app)
        if app is None:
            raise ApplicationError("gone", type=ErrorType.NOT_FOUND, non_retryable=True)
        for key in (step, f"{step}:{what}"):
            if key in app.failing:
                raise ApplicationError(app.failing[key], type=ErrorType.REJECTED, non_retryable=True)
        return app

    async def _held(self, app: FakeApp, what: str) -> None:
        while what in app.blocked:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    @activity.defn(name=Step.LOAD)
    async def load(self, request: LoadRequest) -> AppSnapshot:
        app = self._cluster.apps.get(request.app)
        if app is None:
            return AppSnapshot(exists=False)
        app.looks.append(request)
        await self._cluster.ran(f"look at {request.app}")
        failing = app.failing.get(Step.LOAD) or (app.failing.get(f"{Step.LOAD}:drift") if request.drift else "")
        if failing:
            raise ApplicationError(failing, type=ErrorType.REJECTED, non_retryable=True)
        return app.snapshot

    @activity.defn(name=Step.REPORT)
    async def report(self, request: ReportRequest) -> None:
        app = self._cluster.apps[request.app]
        app.reports.append(request)
        told = f"{request.phase}|{request.accepted_reason}|{request.message}"
        await self._cluster.change(request.app, told=told, told_generation=request.generation)

    @activity.defn(name=Step.PREPARE)
    async def prepare(self, target: Target) -> Plan:
        return (await self._begin(Step.PREPARE, target)).plan

    @activity.defn(name=Step.SERVICES)
    async def services(self, target: Target) -> Applied:
        await self._begin(Step.SERVICES, target)
        return Applied(1)

    @activity.defn(name=Step.APPLY_GROUP)
    async def apply_group(self, step: GroupStep) -> Applied:
        app = await self._begin(Step.APPLY_GROUP, step.target, step.component)
        app.replaced += step.nodes
        return Applied(1, [] if step.nodes else [each for each in app.left if step.component == "server"])

    @activity.defn(name=Step.WAIT_READY)
    async def wait_ready(self, step: GroupStep) -> None:
        app = await self._begin(Step.WAIT_READY, step.target, step.component)
        for what in (step.component, *step.nodes):
            await self._held(app, what)
        await self._cluster.ran(f"{step.target.app}/ready:{step.component}")

    @activity.defn(name=Step.SURVEY_VOLUMES)
    async def survey_volumes(self, step: ComponentStep) -> Survey:
        await self._begin(Step.SURVEY_VOLUMES, step.target, step.component)
        return Survey("x-server-data-1", "it has the newest")

    @activity.defn(name=Step.START_HELD)
    async def start_held(self, step: ComponentStep) -> None:
        await self._begin(Step.START_HELD, step.target, step.bootstrap)

    @activity.defn(name=Step.RECORD)
    async def record(self, step: ComponentStep) -> None:
        await self._begin(Step.RECORD, step.target, step.component)

    @activity.defn(name=Step.FINISH)
    async def finish(self, target: Target) -> None:
        (await self._begin(Step.FINISH, target)).results.append(target.reason)
        snapshot = self._cluster.apps[target.app].snapshot
        told = "Running|Accepted|"
        # Of the way back of an abort the spec's own part stays to be done, as after a Repair.
        repair = target.operation in (OperationType.REPAIR, *BY_REQUEST) or target.stage == OperationType.REPAIR
        if not repair and target.spec_hash != snapshot.spec_hash:  # as the real one: what it was to note is old
            raise ApplicationError("the App has another spec by now", type=ErrorType.SPEC_CHANGED, non_retryable=True)
        await self._cluster.change(
            target.app,
            deployed_hash=snapshot.deployed_hash if repair else target.spec_hash,
            operation=snapshot.operation if repair else "",
            drift=[],
            told=told,
            told_generation=snapshot.generation,
        )

    @activity.defn(name=Step.BEGIN)
    async def begin(self, target: Target) -> None:
        await self._begin(Step.BEGIN, target)

    @activity.defn(name=Step.TELL_STATE)
    async def tell_state(self, request: StateRequest) -> None:
        app = await self._begin(Step.TELL_STATE, request.target, request.state)
        await self._held(app, request.state)
        app.states.append(request)
        await self._cluster.ran(f"{request.target.app}/told")

    @activity.defn(name=Step.PLAN_ROLL)
    async def plan_roll(self, request: RollRequest) -> RollPlan:
        app = await self._begin(Step.PLAN_ROLL, request.target)
        return RollPlan([[RollNode(name, "server", "data")] for name in app.rolls], list(app.after))

    @activity.defn(name=Step.AFTER_ROLL)
    async def after_roll(self, step: ComponentStep) -> None:
        await self._begin(Step.AFTER_ROLL, step.target, step.component)

    @activity.defn(name=Step.PLAN_MOVE)
    async def plan_move(self, request: MoveRequest) -> Move:
        app = self._cluster.apps[request.target.app]
        held = app.writable and request.node in ("", app.writable)
        return Move(request.target, "server", app.writable, "other") if held else Move(request.target, "server")

    @activity.defn(name=Step.SWITCHOVER)
    async def switchover(self, move: Move) -> None:
        app = await self._begin(Step.SWITCHOVER, move.target, move.source)
        await self._held(app, f"move:{move.source}")
        app.writable = move.candidate
        left = [each for each in app.snapshot.evacuations if each.node != move.source]
        await self._cluster.change(move.target.app, evacuations=left)

    @activity.defn(name=Step.PLAN_FAILOVER)
    async def plan_failover(self, request: FailoverRequest) -> Takeover:
        """The suspected node is replaced by ``other``, which holds the role already where it is ``writable``."""
        app = await self._begin(Step.PLAN_FAILOVER, request.target, request.node)
        if nobody := app.failing.get(ErrorType.NO_CANDIDATE):
            raise ApplicationError(nobody, type=ErrorType.NO_CANDIDATE, non_retryable=True)
        primary = app.writable if app.writable != request.node else ""
        return Takeover(request.target, "server", request.node, request.candidate, primary, request.force)

    @activity.defn(name=Step.FENCE)
    async def fence(self, request: FenceRequest) -> Fenced:
        app = await self._begin(Step.FENCE, request.takeover.target, request.takeover.source)
        await self._held(app, f"fence:{request.takeover.source}")
        return Fenced("stopped", position="7")

    @activity.defn(name=Step.CHOOSE)
    async def choose(self, request: PromoteRequest) -> Chosen:
        await self._begin(Step.CHOOSE, request.takeover.target)
        return Chosen(request.takeover.candidate or "other", "5", lost=LOST)

    @activity.defn(name=Step.PROMOTE)
    async def promote(self, request: PromoteRequest) -> None:
        app = await self._begin(Step.PROMOTE, request.takeover.target, request.chosen.candidate)
        app.writable = request.chosen.candidate

    @activity.defn(name=Step.READMIT)
    async def readmit(self, request: ReadmitRequest) -> str:
        what = f"{request.takeover.source}{':' + request.lost if request.lost else ''}"
        await self._begin(Step.READMIT, request.takeover.target, what)
        return f"{request.takeover.source} follows {request.primary}"

    @activity.defn(name=Step.ROLL_NODE)
    async def roll_node(self, step: NodeStep) -> None:
        app = await self._begin(Step.ROLL_NODE, step.target, step.node)
        await self._held(app, step.node)
        if step.node in app.rolls:
            app.rolls.remove(step.node)
        await self._cluster.ran(f"{step.target.app}/rolled:{step.node}")

    @activity.defn(name=Step.EXPAND_VOLUMES)
    async def expand_volumes(self, target: Target) -> Applied:
        await self._begin(Step.EXPAND_VOLUMES, target)
        return Applied(0)

    @activity.defn(name=Step.ROLL_BACK)
    async def roll_back(self, target: Target) -> RolledBack:
        app = await self._begin(Step.ROLL_BACK, target)
        return RolledBack(app.too_late)

    @activity.defn(name=Step.PLAN_SCALE)
    async def plan_scale(self, target: Target) -> ScalePlan:
        return (await self._begin(Step.PLAN_SCALE, target)).scale

    @activity.defn(name=Step.JOIN_NODES)
    async def join_nodes(self, step: ComponentStep) -> None:
        await self._begin(Step.JOIN_NODES, step.target, step.component)

    @activity.defn(name=Step.LEAVE_NODE)
    async def leave_node(self, step: NodeStep) -> None:
        app = await self._begin(Step.LEAVE_NODE, step.target, step.node)
        await self._held(app, f"leave:{step.node}")

    @activity.defn(name=Step.REMOVE_NODE)
    async def remove_node(self, step: NodeStep) -> None:
        await self._begin(Step.REMOVE_NODE, step.target, step.node)

    @activity.defn(name=Step.FORGET_NODE)
    async def forget_node(self, step: NodeStep) -> None:
        await self._begin(Step.FORGET_NODE, step.target, step.node)

    @activity.defn(name=Step.DISCARD_NODE)
    async def discard_node(self, step: NodeStep) -> None:
        await self._begin(Step.DISCARD_NODE, step.target, step.node)

    @activity.defn(name=Step.SYNC_NODES)
    async def sync_nodes(self, step: ComponentStep) -> Applied:
        app = await self._begin(Step.SYNC_NODES, step.target, step.component)
        await self._held(app, step.component)
        return Applied(1)

    @activity.defn(name=Step.PLAN_CONFIG)
    async def plan_config(self, target: Target) -> ConfigPlans:
        app = await self._begin(Step.PLAN_CONFIG, target)
        if app.unfit:
            raise ApplicationError(app.unfit, type=ErrorType.ENGINE_REFUSED, non_retryable=True)
        return app.config

    @activity.defn(name=Step.CONFIGURE_NODE)
    async def configure_node(self, step: ConfigureStep) -> None:
        what = f"{step.node.node}{':back' if step.revert else ''}"
        app = await self._begin(Step.CONFIGURE_NODE, step.node.target, what)
        await self._held(app, step.node.node)

    @activity.defn(name=Step.COMMIT_CONFIG)
    async def commit_config(self, step: ComponentStep) -> ConfigCommitted:
        return ConfigCommitted((await self._begin(Step.COMMIT_CONFIG, step.target, step.component)).differs)

    @activity.defn(name=Step.BEGIN_ROTATION)
    async def begin_rotation(self, request: RotationRequest) -> RotationStage:
        app = await self._begin(Step.BEGIN_ROTATION, request.target)
        if app.kept:
            raise ApplicationError(app.kept, type=ErrorType.CREDENTIALS_KEPT, non_retryable=True)
        made = {"password": "made"} if request.generate else {}
        return await self._rotate(request.target, app, begun(app.secret, ["password"], made))

    @activity.defn(name=Step.ADVANCE_ROTATION)
    async def advance_rotation(self, request: AdvanceRequest) -> RotationStage:
        what = "back" if request.back else request.stage
        app = await self._begin(Step.ADVANCE_ROTATION, request.target, what)
        change = (turned_back if request.back else advanced)(app.secret, ["password"])
        return await self._rotate(request.target, app, change)

    async def _rotate(self, target: Target, app: FakeApp, change: Changes) -> RotationStage:
        after = {**app.secret, **change}
        app.secret = {key: text for key, text in after.items() if text is not None}
        stage = stage_of(app.secret)
        half = stage is not Stage.DONE or bool(edited(app.secret, ["password"]))
        await self._cluster.change(target.app, operation=OperationType.ROTATE_CREDENTIALS if half else "")
        nodes = [RollNode(name, "server", "data") for name in app.rolls]
        return RotationStage(stage, nodes if stage is not Stage.DONE else [], stage in BACKWARDS, ["password"])

    @activity.defn(name=Step.KEEP_BOTH)
    async def keep_both(self, target: Target) -> Overlap:
        return Overlap((await self._begin(Step.KEEP_BOTH, target)).both_for)

    @activity.defn(name=Step.GIVE_CREDENTIALS)
    async def give_credentials(self, step: CredentialsStep) -> None:
        app = await self._begin(Step.GIVE_CREDENTIALS, step.target, f"{step.node.node}:{step.stage}")
        await self._held(app, f"{step.node.node}:{step.stage}")

    @activity.defn(name=Step.PLAN_DELETION)
    async def plan_deletion(self, target: Target) -> Plan:
        return Plan(list(reversed((await self._begin(Step.PLAN_DELETION, target)).plan.components)))

    @activity.defn(name=Step.DELETE_COMPONENT)
    async def delete_component(self, step: ComponentStep) -> None:
        await self._begin(Step.DELETE_COMPONENT, step.target, step.component)

    @activity.defn(name=Step.DELETE_LEFTOVERS)
    async def delete_leftovers(self, target: Target) -> None:
        await self._begin(Step.DELETE_LEFTOVERS, target)
        del self._cluster.apps[target.app]


def activities_of(cluster: FakeCluster, client: Client) -> list[Callable[..., Any]]:
    """The fakes, and the real ones by which a run started by hand speaks to the entity."""
    fake = FakeActivities(cluster)
    platform = cast(Platform, FakePlatform(cluster, client, INSTALLATION))
    requests = ManualRequests(platform)
    return [
        fake.load,
        fake.report,
        fake.prepare,
        fake.services,
        fake.apply_group,
        fake.wait_ready,
        fake.survey_volumes,
        fake.start_held,
        fake.record,
        fake.finish,
        fake.plan_deletion,
        fake.delete_component,
        fake.delete_leftovers,
        fake.begin,
        fake.tell_state,
        fake.plan_roll,
        fake.after_roll,
        fake.plan_move,
        fake.switchover,
        fake.plan_failover,
        fake.fence,
        fake.choose,
        fake.promote,
        fake.readmit,
        fake.roll_node,
        fake.expand_volumes,
        fake.roll_back,
        fake.plan_scale,
        fake.join_nodes,
        fake.leave_node,
        fake.remove_node,
        fake.forget_node,
        fake.discard_node,
        fake.sync_nodes,
        fake.plan_config,
        fake.configure_node,
        fake.commit_config,
        fake.begin_rotation,
        fake.advance_rotation,
        fake.keep_both,
        fake.give_credentials,
        requests.enqueue,
        requests.await_result,
        requests.cancel_ticket,
    ]


@dataclass
class FakePlatform:
    """What ``ManualRequests`` uses of a platform."""

    kubernetes: FakeCluster
    temporal: Client
    installation: str
    plugins: NoPlugins = field(default_factory=lambda: NoPlugins())


class NoPlugins:
    """None is installed, so nothing is known of a topology."""

    async def bundle(self, name: str, version: str) -> None:
        return None
