"""``Delete``: takes an App down, components in reverse order, then what is left, the finalizer last.

What may go is told by what is there (labels), not by what was wanted: an App whose spec or plugin is broken can be
deleted too. No step waits for ever, so a machine that is gone cannot keep an App from being deleted.
"""

from __future__ import annotations

from temporalio import workflow

from api.operations import OperationInput, OperationResult, OperationType, Outcome
from api.steps import ComponentStep, Plan, Step
from workflows.operations.shared.apply_app import target_of
from workflows.operations.shared.manual_start import begun_by_entity, manual_start
from workflows.temporal.activity_call import run_step


@workflow.defn(name=OperationType.DELETE)
class DeleteWorkflow:
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.DELETE, request)
        target = target_of(OperationType.DELETE, request)
        where = f"{request.namespace}/{request.app}"
        plan = await run_step(Step.PLAN_DELETION, target, Plan, "what there is to delete")
        for component in plan.components:
            workflow.set_current_details(f"Delete of **{where}**: component {component.name}")
            nodes = ", ".join(node for group in component.groups for node in group.nodes)
            step = ComponentStep(target, component.name)
            await run_step(Step.DELETE_COMPONENT, step, type(None), f"{component.name}: {nodes}")
        workflow.set_current_details(f"Delete of **{where}**: what is left, then the finalizer")
        await run_step(Step.DELETE_LEFTOVERS, target, type(None), "what is left, then the finalizer")
        workflow.set_current_details(f"**{where}** is gone")
        return OperationResult(OperationType.DELETE, Outcome.COMPLETED, f"{where} is gone", target.workflow_id)
