"""``Failover``: a lost primary is fenced, replaced by the replica with the most data, and taken in again as replica.

For topologies in which the engine does not do that itself. It goes before everything but a deletion, and no newer spec
and no drift interrupts it: half a failover is an App without a primary.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from api.failover import Chosen, FailoverRequest, Fenced, FenceRequest, PromoteRequest, ReadmitRequest, Takeover
from api.operations import OperationInput, OperationResult, OperationType, Outcome
from api.steps import ErrorType, Step, Target
from workflows.operations.shared.apply_app import target_of
from workflows.operations.shared.control import Controlled, controlled
from workflows.operations.shared.manual_start import begun_by_entity, manual_start
from workflows.temporal.activity_call import run_step
from workflows.temporal.errors import root_of


@workflow.defn(name=OperationType.FAILOVER)
class FailoverWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.FAILOVER, request)
        target = target_of(OperationType.FAILOVER, request)

        async def body() -> OperationResult:
            return await _failover(target, request)

        return await controlled(OperationType.FAILOVER, request, self.control, body)


async def _failover(target: Target, request: OperationInput) -> OperationResult:
    wish = FailoverRequest(
        target,
        request.component,
        request.node,
        request.candidate,
        request.force,
        request.seen,
        request.address,
        request.in_sync_since,
        request.asked,
    )
    try:
        takeover = await run_step(Step.PLAN_FAILOVER, wish, Takeover, "who is lost, who could take over")
    except ActivityError as error:
        cause = root_of(error)
        if request.asked and isinstance(cause, ApplicationError) and cause.type == ErrorType.NO_CANDIDATE:
            # Nothing was touched, so there is nothing that the App would wait for: who asked is told.
            return OperationResult(target.operation, Outcome.REFUSED, cause.message, target.workflow_id)
        raise
    if not takeover.source:
        return OperationResult(target.operation, Outcome.NOTHING, takeover.message, target.workflow_id)
    primary, said, lost = takeover.primary, "", ""
    if not primary:
        fenced = await run_step(Step.FENCE, FenceRequest(takeover), Fenced, f"{takeover.source}: no more writes")
        chosen = await run_step(Step.CHOOSE, PromoteRequest(takeover, fenced), Chosen, "who has the most data")
        primary = chosen.candidate
        step = PromoteRequest(takeover, fenced, chosen)
        await run_step(Step.PROMOTE, step, type(None), f"{takeover.source} → {primary}")
        said = f"{primary} has taken over from {takeover.source} ({fenced.proof}); "
        lost = chosen.lost
    step_back = ReadmitRequest(takeover, primary, lost)
    became = await run_step(Step.READMIT, step_back, str, f"{takeover.source}: back as replica")
    message = said + became
    workflow.set_current_details(f"Failover of **{target.namespace}/{target.app}**: {message}")
    return OperationResult(target.operation, Outcome.COMPLETED, message, target.workflow_id)
