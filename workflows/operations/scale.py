"""``Scale``: new nodes come up and join, then nodes leave, one after another.

Out before in, so that there are never fewer nodes than before or after. Everybody who stays hears of each change at
once (``syncNodes``): a node's peers are in its files and tools. A step that fails waits for an operator, and above all
``leave``: a node that may not go stays. Parameters that follow from the number of nodes count
a new one only when it has joined: with Redis' ``min-replicas-to-write`` the primary would refuse writes until then, and
without end where the new node cannot come up.
"""

from __future__ import annotations

from dataclasses import replace

from temporalio import workflow

from api.meta import counted
from api.operations import OperationInput, OperationResult, OperationType
from api.steps import (
    Applied,
    ComponentPlan,
    ComponentStep,
    GroupPlan,
    GroupStep,
    NodeStep,
    RollNode,
    ScalePlan,
    Step,
    Target,
)
from workflows.operations.rolling import finished, prepared
from workflows.operations.shared.apply_app import target_of
from workflows.operations.shared.control import Control, Controlled, controlled
from workflows.operations.shared.manual_start import begun_by_entity, manual_start
from workflows.operations.shared.roll_nodes import move_away
from workflows.temporal.activity_call import run_step
from workflows.temporal.gather import all_of


@workflow.defn(name=OperationType.SCALE)
class ScaleWorkflow(Controlled):
    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        if not begun_by_entity(request):
            return await manual_start(OperationType.SCALE, request)
        target = target_of(OperationType.SCALE, request)

        async def body() -> OperationResult:
            whole = await prepared(target)
            plan = await run_step(Step.PLAN_SCALE, target, ScalePlan, "which nodes come, which go")
            for component in plan.adding:
                await self.control.safe_point(target, f"before new nodes of {component.name}")
                await _add(self.control, target, component, plan.components)
            if plan.adding:
                await _sync(target, plan.components)
            removed: list[str] = []
            for node in plan.removing:
                await self.control.safe_point(target, f"before {node.name} leaves")
                removed += await _remove(self.control, target, node, plan.components)
            added = sum(len(group.nodes) for component in plan.adding for group in component.groups)
            notes = "".join(f"; {note}" for note in removed if note)
            return await finished(target, whole, f"{counted(added, 'node')} added, {len(removed)} removed{notes}")

        return await controlled(OperationType.SCALE, request, self.control, body)


async def _sync(target: Target, components: list[str]) -> None:
    await all_of(
        [
            run_step(Step.SYNC_NODES, ComponentStep(target, name), Applied, f"{name}: files and tools")
            for name in components
        ]
    )


async def _add(control: Control, target: Target, component: ComponentPlan, everybody: list[str]) -> None:
    async def group(part: GroupPlan) -> None:
        nodes = ", ".join(part.nodes)
        step = GroupStep(target, component.name, part.name)
        workflow.set_current_details(f"Scale of **{target.namespace}/{target.app}**: {nodes} come up")
        await run_step(Step.APPLY_GROUP, step, Applied, nodes)
        # Not for the others of the group: one that is dead may be just why another comes.
        await run_step(Step.WAIT_READY, replace(step, nodes=part.nodes), type(None), nodes)

    await _sync(target, everybody)
    await all_of([group(part) for part in component.groups])
    step = ComponentStep(target, component.name)

    async def join() -> None:
        await run_step(Step.JOIN_NODES, step, type(None), f"{component.name}: join")

    await control.attempt(target, f"join of {component.name}", join)
    await run_step(Step.RECORD, step, type(None), f"{component.name}: record what runs")


async def _remove(control: Control, target: Target, node: RollNode, everybody: list[str]) -> list[str]:
    """Empty where an operator decided to leave the node as it is; else one text, what he decided to go on without."""
    name, step = node.name, NodeStep(target, node.component, node.group, node.name)

    async def move() -> None:
        workflow.set_current_details(f"Scale of **{target.namespace}/{target.app}**: {name} leaves")
        await move_away(target, node.component, name)

    async def leave() -> None:
        await run_step(Step.LEAVE_NODE, step, type(None), f"{name} leaves")

    async def remove() -> None:
        await run_step(Step.REMOVE_NODE, step, type(None), name)

    async def forget() -> None:
        await run_step(Step.FORGET_NODE, step, type(None), f"everybody forgets {name}")

    if not await control.attempt(target, name, move):
        return []
    lossy = f"skip removes {name} all the same, and what only {name} has is lost"
    left = await control.attempt(target, f"{name} leaves", leave, instead=lossy)
    if not await control.attempt(target, name, remove):
        return []
    await _sync(target, everybody)
    unheard = "skip goes on, and who has not forgotten it may look for it in vain"
    forgotten = await control.attempt(target, f"{name} is forgotten", forget, instead=unheard)
    await run_step(Step.DISCARD_NODE, step, type(None), f"what belonged to {name} goes")
    missed = ["had not left" if not left else "", "was not forgotten by all" if not forgotten else ""]
    return [f"{name} {' and '.join(filter(None, missed))}" if any(missed) else ""]
