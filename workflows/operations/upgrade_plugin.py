"""``UpgradePlugin``: another version of the plugin under running engines.

Scripts, tools, templates and rules are replaced in the running Pods; no Pod template changes, no process is restarted,
no connection ends. Back to an older version is the same.
"""

from __future__ import annotations

from dataclasses import replace

from temporalio import workflow

from api.meta import counted
from api.operations import OperationInput, OperationResult, OperationType
from api.steps import Applied, ComponentStep, RolledBack, Step
from workflows.operations.rolling import finished, prepared
from workflows.operations.shared.apply_app import target_of
from workflows.operations.shared.control import Controlled, controlled
from workflows.operations.shared.manual_start import begun_by_entity, manual_start
from workflows.temporal.activity_call import run_step


@workflow.defn(name=OperationType.UPGRADE_PLUGIN)
class UpgradePluginWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.UPGRADE_PLUGIN, request)
        target = target_of(OperationType.UPGRADE_PLUGIN, request)

        async def body() -> OperationResult:
            plan = await prepared(target)
            given = 0
            for component in plan.components:
                await self.control.safe_point(target, f"before {component.name}")
                step = ComponentStep(target, component.name)
                given += (await run_step(Step.SYNC_NODES, step, Applied, f"{component.name}: files and tools")).changed
            return await finished(
                target, plan, f"{request.reason}: {counted(given, 'node')} got it, none was restarted"
            )

        async def undo() -> str:
            await run_step(Step.ROLL_BACK, target, RolledBack, "the former version")
            back = replace(target, stage=OperationType.REPAIR)
            plan = await prepared(back)
            for component in plan.components:
                step = ComponentStep(back, component.name)
                await run_step(Step.SYNC_NODES, step, Applied, f"{component.name}: the former files and tools")
            await finished(back, plan, "")
            return "every node has the former version's files and tools again"

        return await controlled(OperationType.UPGRADE_PLUGIN, request, self.control, body, undo)
