"""Giving nodes other Pods, one after another: the part that Upgrade, Resize and Restart share.

Before each batch lies a safe point. A node that holds a writable role first gives it to another, which is verified
before the node is touched; a switchover that fails leaves everything as it was and stops the operation.
"""

from __future__ import annotations

from dataclasses import dataclass

from temporalio import workflow

from api.operations import Scope
from api.steps import ComponentStep, Move, MoveRequest, NodeStep, RollNode, RollPlan, RollRequest, Step, Target
from workflows.operations.shared.control import Control
from workflows.temporal.activity_call import run_step
from workflows.temporal.gather import all_of


@dataclass
class Rolled:
    """How far it came."""

    nodes: int = 0


async def move_away(target: Target, component: str, node: str) -> None:
    """Where the node holds a writable role it is another's afterwards."""
    request = MoveRequest(target, component, node)
    move = await run_step(Step.PLAN_MOVE, request, Move, f"{node}: does it hold a writable role")
    if move.source:
        await run_step(Step.SWITCHOVER, move, type(None), f"{move.source} → {move.candidate}")


async def roll_nodes(control: Control, target: Target, scope: Scope, progress: Rolled) -> None:
    """Raises AbortedError."""
    plan = await run_step(Step.PLAN_ROLL, RollRequest(target, scope), RollPlan, "which nodes, in which order")
    total = sum(len(batch) for batch in plan.batches)
    for batch in plan.batches:
        names = ", ".join(node.name for node in batch)
        await control.safe_point(target, f"before {names}")
        workflow.set_current_details(
            f"{target.operation} of **{target.namespace}/{target.app}**: {names} ({progress.nodes} of {total} done)"
        )

        async def work(batch: list[RollNode] = batch) -> None:
            await _batch(target, batch)

        if await control.attempt(target, names, work):
            progress.nodes += len(batch)
    for component in plan.after:
        await after_roll(control, target, component)


async def after_roll(control: Control, target: Target, component: str) -> None:
    """What the plugin does when the last node is done; an operator may skip it. Raises AbortedError."""
    where = f"{component}: after the last node"

    async def work() -> None:
        await run_step(Step.AFTER_ROLL, ComponentStep(target, component), type(None), where)

    await control.attempt(target, where, work)


async def _batch(target: Target, batch: list[RollNode]) -> None:
    for node in batch:
        await move_away(target, node.component, node.name)
    await all_of(
        [
            run_step(
                Step.ROLL_NODE,
                NodeStep(target, node.component, node.group, node.name, node.pod),
                type(None),
                node.name,
            )
            for node in batch
        ]
    )
