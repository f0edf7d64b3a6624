"""``Group``: the nodes of one size within a component: their ConfigMaps, volumes and Deployments, then their
readiness."""

from __future__ import annotations

from dataclasses import replace

from temporalio import workflow

from api.operations import GROUP_WORKFLOW, OperationType
from api.steps import Applied, GroupRun, GroupStep, Replacement, Step
from workflows.operations.shared.manual_start import part_of_operation
from workflows.temporal.activity_call import run_step


@workflow.defn(name=GROUP_WORKFLOW)
class GroupWorkflow:
    @workflow.run
    async def run(self, request: GroupRun) -> list[Replacement]:
        """All nodes at once: at a first start the engines' own ``preStart`` puts them into order. Those that serve and
        are to have another Pod are left for the component."""
        part_of_operation(request.target, f"{request.target.workflow_id}/{request.component}")
        nodes = ", ".join(request.plan.nodes)
        step = GroupStep(request.target, request.component, request.plan.name)
        workflow.set_current_details(f"Applying {nodes}")
        applied = await run_step(Step.APPLY_GROUP, step, Applied, nodes)
        if request.target.operation == OperationType.REPAIR:
            # What it did not touch may be down for a reason of its own, such as an upgrade that has stopped.
            step, nodes = replace(step, nodes=request.plan.missing), ", ".join(request.plan.missing)
            if not request.plan.missing:
                workflow.set_current_details("No node had to be started")
                return []
        if not request.held:
            workflow.set_current_details(f"Waiting until they are ready: {nodes}")
            await run_step(Step.WAIT_READY, step, type(None), nodes)
        workflow.set_current_details(f"{'Held' if request.held else 'Ready'}: {nodes}")
        return applied.left
