"""``Reconfigure``: parameters of a running App, one node first, verified, then the rest.

What an engine refuses when it is asked beforehand, by ``validateConfig``, touches nothing. Where an engine refuses when
it is given them, or an operator aborts, the former parameters are put back on every node that had got the new
ones, also on disk, and the operation ends with what the engine answered. It is not tried again by itself. A component
of which every node has had them keeps them: they are its record by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from api.operations import OperationInput, OperationResult, OperationType, Outcome
from api.reconfigure import ConfigCommitted, ConfigPlan, ConfigPlans, ConfigureStep, ParameterDiffers
from api.steps import ComponentStep, NodeStep, RollNode, Step, Target
from workflows.operations.shared.apply_app import target_of
from workflows.operations.shared.control import Control, Controlled, controlled, own_failure
from workflows.operations.shared.manual_start import begun_by_entity, manual_start
from workflows.operations.shared.roll_nodes import after_roll, move_away
from workflows.temporal.activity_call import run_step
from workflows.temporal.errors import engine_refused, timed_out
from workflows.temporal.gather import all_of

PUT_BACK_WITHIN = timedelta(minutes=5)
"""For one node, with all repeats: one that is dead must not keep the others from it."""


@dataclass(frozen=True)
class Touched:
    """A node that has got new parameters, or may have; fields as in ConfigPlan."""

    node: RollNode
    restart: bool
    ordered: bool


@workflow.defn(name=OperationType.RECONFIGURE)
class ReconfigureWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.RECONFIGURE, request)
        target = target_of(OperationType.RECONFIGURE, request)
        touched: list[Touched] = []
        committed: list[ConfigPlan] = []
        differs: list[ParameterDiffers] = []

        async def body() -> OperationResult:
            try:
                plans = await run_step(Step.PLAN_CONFIG, target, ConfigPlans, "which nodes lack which parameters")
            except ActivityError as error:
                if not engine_refused(error):
                    raise
                return await refused(own_failure(error) or "")
            for plan in plans.components:
                try:
                    differs.extend(await _component(self.control, target, plan, touched))
                except ActivityError as error:
                    message = own_failure(error)
                    if message is None:
                        raise
                    return await refused(message)
                touched.clear()
                committed.append(plan)
            message = _result(plans.components, differs)
            await run_step(Step.FINISH, replace(target, reason=message), type(None), "note what runs")
            return OperationResult(target.operation, Outcome.COMPLETED, message, target.workflow_id)

        async def refused(message: str) -> OperationResult:
            said = f"{message}; {await self.control.undone(undo)}"
            return OperationResult(target.operation, Outcome.REFUSED, said, target.workflow_id)

        async def undo() -> str:
            if request.aborted:  # an earlier run was interrupted on its way back, and its memory is gone
                back = await run_step(
                    Step.PLAN_CONFIG,
                    replace(target, stage=OperationType.REPAIR),
                    ConfigPlans,
                    "which nodes lack the former parameters",
                )
                # In the order of the plan, and ``_put_back`` begins with the last.
                again = [Touched(node, plan.restart, plan.ordered) for plan in back.components for node in plan.nodes]
                touched.extend(reversed(again))
            said = await _put_back(target, touched)
            stays = [f"{plan.component} keeps its new {', '.join(plan.changed)}" for plan in committed]
            nothing = "nothing had to be put back" if request.aborted else "no engine was touched"
            return "; ".join([said, *stays] if said else stays) or nothing

        return await controlled(OperationType.RECONFIGURE, request, self.control, body, undo)


def _result(plans: Sequence[ConfigPlan], differs: Sequence[ParameterDiffers]) -> str:
    """Which parameters every node runs with now, or which nodes have got those that are recorded."""
    done = []
    for plan in plans:
        nodes = ", ".join(node.name for node in plan.nodes)
        done.append(f"{plan.component}: {', '.join(plan.changed) or f'the recorded ones, on {nodes}'}")
    if differs:
        return f"the parameters were given to every node ({'; '.join(done)}), but {'; '.join(map(str, differs))}"
    return f"every node runs with the new parameters ({'; '.join(done)})"


async def _component(
    control: Control, target: Target, plan: ConfigPlan, touched: list[Touched]
) -> list[ParameterDiffers]:
    first, rest = plan.nodes[:1], plan.nodes[1:]
    # An engine that has to be restarted takes its clients along: then never two at once.
    batches = [[node] for node in plan.nodes] if plan.restart or plan.ordered else [first, rest]
    for batch in batches:
        if not batch:
            continue
        await control.safe_point(target, f"before {', '.join(node.name for node in batch)}")
        done = [Touched(node, plan.restart, plan.ordered) for node in batch]
        touched += done
        await all_of([_node(target, each) for each in done])
    if plan.after:
        await after_roll(control, target, plan.component)
    step = ComponentStep(target, plan.component)
    said = f"{plan.component}: the new parameters are the record"
    committed = await run_step(Step.COMMIT_CONFIG, step, ConfigCommitted, said)
    await run_step(Step.RECORD, step, type(None), f"{plan.component}: record what runs")
    return committed.differs


async def _node(target: Target, touched: Touched, *, revert: bool = False, within: timedelta | None = None) -> None:
    node = touched.node
    if touched.restart and not touched.ordered:
        await move_away(target, node.component, node.name)
    step = ConfigureStep(
        NodeStep(target, node.component, node.group, node.name, node.pod), revert, ordered=touched.ordered
    )
    await run_step(Step.CONFIGURE_NODE, step, type(None), f"{node.name}{': back' if revert else ''}", within=within)


async def _put_back(target: Target, touched: list[Touched]) -> str:
    """On every node whatever becomes of the others. Those that are restarted one after another, the last first: it is
    the one that does not serve, and where the order of parameters matters the way back is in the other one. Empty where
    there is none."""
    failed: dict[str, str] = {}

    async def put_back(each: Touched) -> None:
        node = each.node
        try:
            await _node(target, each, revert=True, within=PUT_BACK_WITHIN)
        except ActivityError as error:
            message = own_failure(error) or timed_out(error)
            if not message:
                raise
            failed[node.name] = message

    for each in reversed(touched):
        if each.restart or each.ordered:
            await put_back(each)
    await all_of([put_back(each) for each in touched if not each.restart and not each.ordered])
    return _put_back_on([each.node.name for each in touched], failed)


def _put_back_on(nodes: list[str], failed: Mapping[str, str]) -> str:
    done = ", ".join(name for name in nodes if name not in failed)
    # An engine's sentence begins with its node's name already.
    left = "; ".join(f"{name}: {why.removeprefix(f'{name}: ')}" for name, why in failed.items())
    if not failed:
        return f"the former parameters were put back on {done}" if done else ""
    if not done:
        return f"the former parameters were put back on no node; {left}"
    return f"the former parameters were put back on {done}; not on {left}"
