"""``Repair``: puts back what is missing or was changed by somebody else.

The same steps as a Deploy, because each of them reads live state first and writes only what differs: what is still
as it should be is not touched, and a node that had to be made again is waited for.
"""

from __future__ import annotations

from temporalio import workflow

from api.operations import OperationInput, OperationResult, OperationType
from workflows.operations.shared.apply_app import apply_app
from workflows.operations.shared.control import Controlled
from workflows.operations.shared.manual_start import begun_by_entity, manual_start


@workflow.defn(name=OperationType.REPAIR)
class RepairWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.REPAIR, request)
        return await apply_app(OperationType.REPAIR, request, self.control)
