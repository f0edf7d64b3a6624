"""Who may have a step done: the platform's own workflows, and for what destroys only the operation that it belongs to.

Temporal starts an activity for whoever reaches it, also without any workflow, and with any argument. A workflow of any
type can be started under any id, but only one at a time under each: so the id tells the App's entity of this
installation from all others, and the steps of a second entity, or of its operations, are refused. What a step may do
beyond that the live App decides, in the step itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.dependencies import permanent
from activities.interceptors.targets import target_among
from api.look import LoadRequest, ReportRequest
from api.names import entity_workflow_id
from api.operations import COMPONENT_WORKFLOW, ENTITY_WORKFLOW, GROUP_WORKFLOW, OperationType
from api.steps import ErrorType, Step

_ALL = frozenset({*OperationType, ENTITY_WORKFLOW, COMPONENT_WORKFLOW, GROUP_WORKFLOW})
_ONLY: Mapping[str, frozenset[str]] = {
    Step.LOAD: frozenset({ENTITY_WORKFLOW}),
    Step.REPORT: frozenset({ENTITY_WORKFLOW}),
    Step.PLAN_DELETION: frozenset({OperationType.DELETE}),
    Step.DELETE_COMPONENT: frozenset({OperationType.DELETE}),
    Step.DELETE_LEFTOVERS: frozenset({OperationType.DELETE}),
    Step.LEAVE_NODE: frozenset({OperationType.SCALE}),
    Step.REMOVE_NODE: frozenset({OperationType.SCALE}),
    Step.FORGET_NODE: frozenset({OperationType.SCALE}),
    Step.DISCARD_NODE: frozenset({OperationType.SCALE}),
}
"""Steps of the entity itself, and those after which something is gone for good."""


class Callers(Interceptor):
    """``installation``: the entities of which are the only ones here."""

    def __init__(self, installation: str) -> None:
        self._installation = installation

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Checked(next, self._installation)


class _Checked(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, installation: str) -> None:
        super().__init__(next)
        self._installation = installation

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        caller, step = info.workflow_type or "", info.activity_type
        if caller not in _ONLY.get(step, _ALL):
            by = f"a workflow of type {caller}" if caller else "nobody's workflow"
            raise permanent(ErrorType.NOT_ASKED, f"{step} is a step of an operation; {by} cannot have it done")
        self._check_id(step, info.workflow_id or "", input.args)
        return await super().execute_activity(input)

    def _check_id(self, step: str, workflow: str, arguments: Sequence[Any]) -> None:
        """An operation by hand belongs to no entity: it only queues itself, and has neither argument."""
        argument = arguments[0] if arguments else None
        if isinstance(argument, LoadRequest | ReportRequest):
            entity = entity_workflow_id(self._installation, argument.namespace, argument.app)
            if workflow != entity:
                raise permanent(ErrorType.NOT_ASKED, f"{step} is for the entity {entity}, and {workflow} is another")
        target = target_among(arguments)
        if target is None:
            return
        if not _works_for(target.workflow_id, workflow):
            message = f"{step} was asked for in the name of {target.workflow_id!r} by {workflow}"
            raise permanent(ErrorType.NOT_ASKED, message)
        entity = entity_workflow_id(self._installation, target.namespace, target.app)
        if not target.workflow_id.startswith(f"{entity}/"):
            message = f"{step} is for operations of the entity {entity}, and {target.workflow_id!r} is none"
            raise permanent(ErrorType.NOT_ASKED, message)


def _works_for(operation: str, workflow: str) -> bool:
    """Whether the workflow is the operation, or one of its parts, whose ids begin with the operation's."""
    return bool(operation) and (workflow == operation or workflow.startswith(f"{operation}/"))
