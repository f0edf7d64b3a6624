"""``Switchover``: a writable role goes to another node while both live, and no write is lost."""

from __future__ import annotations

from dataclasses import replace

from temporalio import workflow

from api.operations import OperationInput, OperationResult, OperationType, Outcome
from api.steps import Move, MoveRequest, Plan, Step
from workflows.operations.rolling import finished
from workflows.operations.shared.apply_app import target_of
from workflows.operations.shared.control import Controlled, controlled
from workflows.operations.shared.manual_start import begun_by_entity, manual_start
from workflows.temporal.activity_call import run_step


@workflow.defn(name=OperationType.SWITCHOVER)
class SwitchoverWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.SWITCHOVER, request)
        target = target_of(OperationType.SWITCHOVER, request)

        async def body() -> OperationResult:
            await run_step(Step.BEGIN, target, type(None), "say that it begins")
            wish = MoveRequest(target, request.component, request.node, request.candidate)
            # Not attempted again by an operator's word: it was asked for by hand, and is asked for anew as easily.
            move = await run_step(Step.PLAN_MOVE, wish, Move, "from whom to whom")
            if not move.source:
                message = move.message or "there is no writable role to move"
                unmoved = replace(target, reason=f"nothing was moved: {message}")
                await run_step(Step.FINISH, unmoved, type(None), "nothing to move")
                return OperationResult(target.operation, Outcome.NOTHING, message, target.workflow_id)
            await self.control.safe_point(target, f"before {move.source} → {move.candidate}")
            await run_step(Step.SWITCHOVER, move, type(None), f"{move.source} → {move.candidate}")
            return await finished(target, Plan([]), f"{move.candidate} has taken over from {move.source}")

        return await controlled(OperationType.SWITCHOVER, request, self.control, body)
