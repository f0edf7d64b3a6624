"""``Deploy``: makes everything that the App's spec wants, component by component, each after those it depends on."""

from __future__ import annotations

from temporalio import workflow

from api.operations import OperationInput, OperationResult, OperationType
from workflows.operations.shared.apply_app import apply_app
from workflows.operations.shared.control import Controlled
from workflows.operations.shared.manual_start import begun_by_entity, manual_start


@workflow.defn(name=OperationType.DEPLOY)
class DeployWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.DEPLOY, request)
        return await apply_app(OperationType.DEPLOY, request, self.control)
