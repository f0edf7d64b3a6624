"""``Deploy``: makes everything that the App's spec wants, component by component, each after those it depends on."""

from __future__ import annotations

from temporalio import workflow

from api.operations import OperationInput, OperationResult, OperationType
from workflows.operations.shared.apply_app import converge
from workflows.operations.shared.control import Controlled
from workflows.operations.shared.manual_start import by_hand


@workflow.defn(name=OperationType.DEPLOY)
class DeployWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not request.ticket:
            return await by_hand(OperationType.DEPLOY, request)
        return await converge(OperationType.DEPLOY, request, self.control)
