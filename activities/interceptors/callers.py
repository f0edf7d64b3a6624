"""Who may have a step done: the platform's own workflows, and for what destroys only the operation that it belongs to.

Temporal starts an activity for whoever reaches it, also without any workflow, and with any argument. What a step may do
beyond that the live App decides, in the step itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.dependencies import permanent
from activities.interceptors.targets import target_among
from api.operations import COMPONENT_WORKFLOW, ENTITY_WORKFLOW, GROUP_WORKFLOW, OperationType
from api.steps import ErrorType, Step

_ALL = frozenset({*OperationType, ENTITY_WORKFLOW, COMPONENT_WORKFLOW, GROUP_WORKFLOW})
_ONLY: Mapping[str, frozenset[str]] = {
    Step.PLAN_DELETION: frozenset({OperationType.DELETE}),
    Step.DELETE_COMPONENT: frozenset({OperationType.DELETE}),
    Step.DELETE_LEFTOVERS: frozenset({OperationType.DELETE}),
    Step.LEAVE_NODE: frozenset({OperationType.SCALE}),
    Step.REMOVE_NODE: frozenset({OperationType.SCALE}),
    Step.FORGET_NODE: frozenset({OperationType.SCALE}),
    Step.DISCARD_NODE: frozenset({OperationType.SCALE}),
}
"""Steps after which something is gone for good."""


class Callers(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Checked(next)


class _Checked(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        caller, step = info.workflow_type or "", info.activity_type
        if caller not in _ONLY.get(step, _ALL):
            by = f"a workflow of type {caller}" if caller else "nobody's workflow"
            raise permanent(ErrorType.NOT_ASKED, f"{step} is a step of an operation; {by} cannot have it done")
        target = target_among(input.args)
        if target is not None and not _works_for(target.workflow_id, info.workflow_id or ""):
            message = f"{step} was asked for in the name of {target.workflow_id!r} by {info.workflow_id}"
            raise permanent(ErrorType.NOT_ASKED, message)
        return await super().execute_activity(input)


def _works_for(operation: str, workflow: str) -> bool:
    """Whether the workflow is the operation, or one of its parts, whose ids begin with the operation's."""
    return bool(operation) and (workflow == operation or workflow.startswith(f"{operation}/"))
