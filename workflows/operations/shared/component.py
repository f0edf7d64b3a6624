"""``Component``: one middleware process type of an App, its groups side by side.

Over volumes that an earlier App of the name left, nobody knows beforehand which node holds the newest data. So such
nodes come up held (agents run, engines do not), each is asked what its volume remembers, the newest is recorded as
the component's first primary, and only then the engines are started.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.workflow import ChildWorkflowCancellationType

from api.operations import COMPONENT_WORKFLOW, GROUP_WORKFLOW, OperationType
from api.steps import (
    Applied,
    ComponentRun,
    ComponentStep,
    GroupPlan,
    GroupRun,
    GroupStep,
    Replacement,
    Step,
    Survey,
)
from workflows.operations.shared.manual_start import part_of_operation
from workflows.temporal.activity_call import run_step
from workflows.temporal.gather import all_of


@workflow.defn(name=COMPONENT_WORKFLOW)
class ComponentWorkflow:
    @workflow.run
    async def run(self, request: ComponentRun) -> None:
        name = request.plan.name
        part_of_operation(request.target, request.target.workflow_id)
        if request.plan.kept:
            workflow.set_current_details(f"Component **{name}**: looking at the volumes of an earlier App")
            await self._groups(request, held=True)
            step = ComponentStep(request.target, name)
            survey = await run_step(Step.SURVEY_VOLUMES, step, Survey, f"{name}: which volume is the newest")
            workflow.set_current_details(f"Component **{name}**: {survey.message}")
            await run_step(
                Step.START_HELD,
                ComponentStep(request.target, name, survey.bootstrap),
                type(None),
                f"{name}: start, first primary {survey.bootstrap}",
            )
        await self._replace(request, await self._groups(request, held=False))
        if request.target.operation != OperationType.DEPLOY:
            # What runs goes on running, so it has to be told: a mounted file follows late, an engine never by itself.
            step = ComponentStep(request.target, name)
            await run_step(Step.SYNC_NODES, step, Applied, f"{name}: files and tools")
        workflow.set_current_details(f"Component **{name}**: recording nodes and configuration")
        await run_step(Step.RECORD, ComponentStep(request.target, name), type(None), f"{name}: record what runs")
        workflow.set_current_details(f"Component **{name}** is ready")

    async def _replace(self, request: ComponentRun, left: list[Replacement]) -> None:
        """Nodes that serve get another Pod one after another, those with a writable role last; the first that does not
        come up keeps the others from it."""
        for each in sorted(left, key=lambda each: each.last):
            workflow.set_current_details(f"Component **{request.plan.name}**: another Pod for {each.node}")
            step = GroupStep(request.target, request.plan.name, each.group, [each.node])
            await run_step(Step.APPLY_GROUP, step, Applied, each.node)
            await run_step(Step.WAIT_READY, step, type(None), each.node)

    async def _groups(self, request: ComponentRun, *, held: bool) -> list[Replacement]:
        found = await all_of([self._group(request, group, held=held) for group in request.plan.groups])
        return [each for left in found for each in left]

    async def _group(self, request: ComponentRun, group: GroupPlan, *, held: bool) -> list[Replacement]:
        target = request.target
        left: list[Replacement] = await workflow.execute_child_workflow(
            GROUP_WORKFLOW,
            GroupRun(target, request.plan.name, group, held),
            id=f"{target.workflow_id}/{request.plan.name}/{group.name}" + ("/held" if held else ""),
            cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            search_attributes=workflow.info().typed_search_attributes,
            static_summary=f"{target.namespace}/{target.app}: group {request.plan.name}/{group.name}, "
            f"{len(group.nodes)} nodes",
            result_type=list[Replacement],
        )
        return left
