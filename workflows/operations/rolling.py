"""``Upgrade``, ``Resize`` and ``Restart``: operations that give nodes other Pods.

Upgrade and Resize first write the new record (``prepare``), then roll every node that is not of it. An abort puts the
former record back and rolls the nodes done back too; after a writable role has moved onto an upgraded node there is no
way back for a version, since an older engine cannot read what the newer one has written: the operation goes on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from temporalio import workflow

from api.meta import counted
from api.operations import OperationInput, OperationResult, OperationType, Outcome, Scope
from api.steps import Applied, ComponentStep, Plan, RolledBack, Step, Target
from workflows.operations.shared.apply_app import target_of
from workflows.operations.shared.control import Control, Controlled, controlled
from workflows.operations.shared.manual_start import begun_by_entity, manual_start
from workflows.operations.shared.roll_nodes import Rolled, roll_nodes
from workflows.temporal.activity_call import run_step
from workflows.temporal.gather import all_of

LARGER_VOLUMES = "larger volumes"


async def prepared(target: Target) -> Plan:
    """Record and Services: all that must be there before the first node."""
    first: list[Any] = await all_of(
        [
            run_step(Step.PREPARE, target, Plan, "record, Components, Groups"),
            run_step(Step.SERVICES, target, Applied, "all Services of the App"),
        ]
    )
    plan: Plan = first[0]
    return plan


async def finished(target: Target, plan: Plan, message: str) -> OperationResult:
    """Records what runs now, as the engines say. ``message``: what came of it, which the Event says too."""
    for component in plan.components:
        step = ComponentStep(target, component.name)
        await run_step(Step.RECORD, step, type(None), f"{component.name}: record what runs")
    await run_step(Step.FINISH, replace(target, reason=message or target.reason), type(None), "note what runs")
    workflow.set_current_details(f"{target.operation} of **{target.namespace}/{target.app}**: {message}")
    return OperationResult(target.operation, Outcome.COMPLETED, message, target.workflow_id)


async def _expand(control: Control, target: Target) -> None:
    """Volumes that do not grow are an operator's to decide: without them the nodes can still be rolled."""

    async def work() -> None:
        await run_step(Step.EXPAND_VOLUMES, target, Applied, LARGER_VOLUMES)

    await control.attempt(target, LARGER_VOLUMES, work)


async def _rolling(operation: OperationType, request: OperationInput, control: Control) -> OperationResult:
    target = target_of(operation, request)
    progress = Rolled()

    async def body() -> OperationResult:
        plan = await prepared(target)
        if operation == OperationType.RESIZE:
            await _expand(control, target)
        await roll_nodes(control, target, Scope(), progress)
        return await finished(target, plan, f"{counted(progress.nodes, 'node')} rolled ({request.reason})")

    async def undo() -> str:
        restored = await run_step(Step.ROLL_BACK, target, RolledBack, "the former record")
        if restored.too_late:
            # An older engine cannot follow the newer primary: only forward is safe.
            plan = await prepared(target)
            await roll_nodes(control, target, Scope(), progress)
            await finished(target, plan, "")
            return "too late to go back, since the primary runs the new version: it was completed"
        back = replace(target, stage=OperationType.REPAIR)
        undone = Rolled()
        plan = await prepared(back)
        await roll_nodes(control, back, Scope(), undone)
        await finished(back, plan, "")
        return f"{counted(undone.nodes, 'node')} rolled back" if undone.nodes else "nothing had to be put back"

    return await controlled(operation, request, control, body, undo)


@workflow.defn(name=OperationType.UPGRADE)
class UpgradeWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.UPGRADE, request)
        return await _rolling(OperationType.UPGRADE, request, self.control)


@workflow.defn(name=OperationType.RESIZE)
class ResizeWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.RESIZE, request)
        return await _rolling(OperationType.RESIZE, request, self.control)


@workflow.defn(name=OperationType.RESTART)
class RestartWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        """Of the App, or of a component, a group or a node."""
        if not begun_by_entity(request):
            return await manual_start(OperationType.RESTART, request)
        target = target_of(OperationType.RESTART, request)
        scope = Scope(request.component, request.group, request.node)

        async def body() -> OperationResult:
            progress = Rolled()
            await run_step(Step.BEGIN, target, type(None), "say that it begins")
            await roll_nodes(self.control, target, scope, progress)
            return await finished(target, Plan([]), f"{counted(progress.nodes, 'node')} restarted")

        return await controlled(OperationType.RESTART, request, self.control, body)
