"""``Reconfigure``: parameters of a running App, one node first, verified, then the rest.

Where an engine refuses, or an operator aborts, the former parameters are put back on every node that had got the new
ones, also on disk, and the operation ends with what the engine answered. It is not tried again by itself.
"""

from __future__ import annotations

from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows.by_hand import by_hand
from workflows.control import Control, Controlled, controlled, own_failure
from workflows.converge import target_of
from workflows.options import run_step
from workflows.roll import move_away
from workflows.tree import all_of

with workflow.unsafe.imports_passed_through():
    from api.operations import OperationInput, OperationResult, OperationType, Outcome
    from api.steps import ComponentStep, ConfigPlan, ConfigPlans, ConfigureStep, NodeStep, RollNode, Step, Target


@workflow.defn(name=OperationType.RECONFIGURE)
class ReconfigureWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not request.ticket:
            return await by_hand(OperationType.RECONFIGURE, request)
        target = target_of(OperationType.RECONFIGURE, request)
        touched: list[tuple[RollNode, bool]] = []

        async def body() -> OperationResult:
            plans = await run_step(Step.PLAN_CONFIG, target, ConfigPlans, "which nodes lack which parameters")
            for plan in plans.components:
                try:
                    await _component(self.control, target, plan, touched)
                except ActivityError as error:
                    message = own_failure(error)
                    if message is None:
                        raise
                    return OperationResult(
                        target.operation,
                        Outcome.REFUSED,
                        f"{message}; {await self.control.undone(undo)}",
                        target.workflow_id,
                    )
                touched.clear()
            await run_step(Step.FINISH, target, type(None), "note what runs")
            changed = "; ".join(f"{plan.component}: {', '.join(plan.changed)}" for plan in plans.components)
            message = f"every node runs with the new parameters ({changed})"
            return OperationResult(target.operation, Outcome.COMPLETED, message, target.workflow_id)

        async def undo() -> str:
            if request.aborted:  # an earlier run was interrupted on its way back, and its memory is gone
                back = await run_step(
                    Step.PLAN_CONFIG,
                    replace(target, stage=OperationType.REPAIR),
                    ConfigPlans,
                    "which nodes lack the former parameters",
                )
                touched.extend((node, plan.restart) for plan in back.components for node in plan.nodes)
            for node, restart in reversed(touched):
                await _node(target, node, restart=restart, revert=True)
            names = ", ".join(node.name for node, _ in touched)
            return f"the former parameters were put back on {names}" if names else "no engine was touched"

        return await controlled(OperationType.RECONFIGURE, request, self.control, body, undo)


async def _component(control: Control, target: Target, plan: ConfigPlan, touched: list[tuple[RollNode, bool]]) -> None:
    first, rest = plan.nodes[:1], plan.nodes[1:]
    # An engine that has to be restarted takes its clients along: then never two at once.
    batches = [[node] for node in plan.nodes] if plan.restart else [first, rest]
    for batch in batches:
        if not batch:
            continue
        await control.safe_point(target, f"before {', '.join(node.name for node in batch)}")
        touched += [(node, plan.restart) for node in batch]
        await all_of([_node(target, node, restart=plan.restart) for node in batch])
    step = ComponentStep(target, plan.component)
    await run_step(Step.COMMIT_CONFIG, step, type(None), f"{plan.component}: the new parameters are the record")
    await run_step(Step.RECORD, step, type(None), f"{plan.component}: metadata")


async def _node(target: Target, node: RollNode, *, restart: bool, revert: bool = False) -> None:
    if restart:
        await move_away(target, node.component, node.name)
    step = ConfigureStep(NodeStep(target, node.component, node.group, node.name, node.pod), revert)
    await run_step(Step.CONFIGURE_NODE, step, type(None), f"{node.name}{': back' if revert else ''}")
