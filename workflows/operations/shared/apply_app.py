"""The steps that bring an App to what its spec says; Deploy and Repair are both this.

1. ``prepare`` and ``services`` side by side: finalizer, Secrets, record, Component and Group resources; and all
   Services of the App, since their addresses are the nodes' addresses, which the templates need.
2. A child ``Component`` for each component as soon as those it comes after are ready.
3. ``finish`` notes what is deployed now.
Every step may be repeated, and every boundary between two of them is a safe point to be cancelled.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from temporalio import workflow
from temporalio.workflow import ChildWorkflowCancellationType

from api.meta import counted
from api.operations import COMPONENT_WORKFLOW, OperationInput, OperationResult, OperationType, Outcome
from api.steps import Applied, ComponentPlan, ComponentRun, Plan, Step, Target
from workflows.operations.shared.control import Control, controlled
from workflows.temporal.activity_call import run_step
from workflows.temporal.gather import all_of


async def _each(work: list[Coroutine[Any, Any, None]]) -> None:
    await all_of(work)


def target_of(operation: OperationType, request: OperationInput) -> Target:
    return Target(
        namespace=request.namespace,
        app=request.app,
        uid=request.uid,
        spec_hash=request.spec_hash,
        operation=operation,
        workflow_id=workflow.info().workflow_id,
        reason=request.reason,
    )


async def apply_app(operation: OperationType, request: OperationInput, control: Control) -> OperationResult:
    """Runs the steps. Raises ApplicationError or ActivityError where one of them failed for good."""

    async def body() -> OperationResult:
        return await _converge(operation, request, control)

    return await controlled(operation, request, control, body)


async def _converge(operation: OperationType, request: OperationInput, control: Control) -> OperationResult:
    target = target_of(operation, request)
    where = f"{request.namespace}/{request.app}"
    workflow.set_current_details(f"{operation} of **{where}**: {request.reason}\n\nStep: prepare")
    first: list[Any] = await all_of(
        [
            run_step(Step.PREPARE, target, Plan, "Secrets, record, Components, Groups"),
            run_step(Step.SERVICES, target, Applied, "all Services of the App"),
        ]
    )
    plan: Plan = first[0]

    ready: set[str] = set()

    async def component(part: ComponentPlan) -> None:
        await workflow.wait_condition(lambda: ready.issuperset(part.after))
        await control.safe_point(target, f"before component {part.name}")
        workflow.set_current_details(f"{operation} of **{where}**: {request.reason}\n\nStep: component {part.name}")
        await workflow.execute_child_workflow(
            COMPONENT_WORKFLOW,
            ComponentRun(target, part),
            id=f"{target.workflow_id}/{part.name}",
            cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            search_attributes=workflow.info().typed_search_attributes,
            static_summary=f"{where}: component {part.name}",
        )
        ready.add(part.name)

    await control.abortable(lambda: _each([component(part) for part in plan.components]))
    nodes = sum(len(group.nodes) for part in plan.components for group in part.groups)
    message = f"{counted(len(plan.components), 'component')}, {counted(nodes, 'node')} ready"
    await run_step(Step.FINISH, replace(target, reason=message), type(None), "note what is deployed")
    workflow.set_current_details(f"{operation} of **{where}**: {message}")
    return OperationResult(operation, Outcome.COMPLETED, message, target.workflow_id)
