"""``Reconfigure``: parameters of a running App, one node first, verified, then the rest.

Where an engine refuses, or an operator aborts, the former parameters are put back on every node that had got the new
ones, also on disk, and the operation ends with what the engine answered. It is not tried again by itself. A component
of which every node has had them keeps them: they are its record by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from api.operations import OperationInput, OperationResult, OperationType, Outcome
from api.steps import ComponentStep, ConfigPlan, ConfigPlans, ConfigureStep, NodeStep, RollNode, Step, Target
from workflows.operations.shared.apply_app import target_of
from workflows.operations.shared.control import Control, Controlled, controlled, own_failure
from workflows.operations.shared.manual_start import manual_start
from workflows.operations.shared.roll_nodes import move_away
from workflows.temporal.activity_call import run_step
from workflows.temporal.errors import timed_out
from workflows.temporal.gather import all_of

PUT_BACK_WITHIN = timedelta(minutes=5)
"""For one node, with all repeats: one that is dead must not keep the others from it."""


@workflow.defn(name=OperationType.RECONFIGURE)
class ReconfigureWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not request.ticket:
            return await manual_start(OperationType.RECONFIGURE, request)
        target = target_of(OperationType.RECONFIGURE, request)
        touched: list[tuple[RollNode, bool]] = []
        committed: list[ConfigPlan] = []

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
                committed.append(plan)
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
            said = await _put_back(target, touched)
            stays = [f"{plan.component} keeps its new {', '.join(plan.changed)}" for plan in committed]
            nothing = "nothing had to be put back" if request.aborted else "no engine was touched"
            return "; ".join([said, *stays] if said else stays) or nothing

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


async def _node(
    target: Target, node: RollNode, *, restart: bool, revert: bool = False, within: timedelta | None = None
) -> None:
    if restart:
        await move_away(target, node.component, node.name)
    step = ConfigureStep(NodeStep(target, node.component, node.group, node.name, node.pod), revert)
    await run_step(Step.CONFIGURE_NODE, step, type(None), f"{node.name}{': back' if revert else ''}", within=within)


async def _put_back(target: Target, touched: list[tuple[RollNode, bool]]) -> str:
    """On every node whatever becomes of the others. Those that are restarted one after another, the last first: it is
    the one that does not serve. Empty where there is none."""
    failed: dict[str, str] = {}

    async def put_back(node: RollNode, restart: bool) -> None:
        try:
            await _node(target, node, restart=restart, revert=True, within=PUT_BACK_WITHIN)
        except ActivityError as error:
            message = own_failure(error) or timed_out(error)
            if not message:
                raise
            failed[node.name] = message

    for node, restart in reversed(touched):
        if restart:
            await put_back(node, restart)
    await all_of([put_back(node, restart) for node, restart in touched if not restart])
    return _put_back_on([node.name for node, _ in touched], failed)


def _put_back_on(nodes: list[str], failed: Mapping[str, str]) -> str:
    done = ", ".join(name for name in nodes if name not in failed)
    # An engine's sentence begins with its node's name already.
    left = "; ".join(f"{name}: {why.removeprefix(f'{name}: ')}" for name, why in failed.items())
    if not failed:
        return f"the former parameters were put back on {done}" if done else ""
    if not done:
        return f"the former parameters were put back on no node; {left}"
    return f"the former parameters were put back on {done}; not on {left}"
