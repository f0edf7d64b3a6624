"""Starting an operation as the entity's child: its id, its input, and what the Temporal UI shows of it."""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowCancellationType

from api.look import AppSnapshot
from api.operations import (
    SEARCH_APP,
    SEARCH_NAMESPACE,
    SEARCH_OPERATION,
    SEARCH_PLUGIN,
    AppReference,
    OperationInput,
    OperationResult,
    OperationType,
)
from workflows.entity.planner import Decision
from workflows.entity.state import EntityState, Ticket

GO_FIRST = frozenset({OperationType.FAILOVER, OperationType.REPAIR, OperationType.SWITCHOVER})
"""For which a paused operation has to make room."""


def shortened(summary: str) -> str:
    """To what Temporal takes; it says where something was cut off."""
    return summary if len(summary) <= 200 else f"{summary[:199].rsplit(' ', 1)[0]}…"


async def start_operation(
    state: EntityState, app: AppReference, snapshot: AppSnapshot, decision: Decision, reason: str, ticket: Ticket | None
) -> workflow.ChildWorkflowHandle[Any, Any]:
    """The handle of the child. Takes the next sequence number of ``state``."""
    operation, scope = decision.operation, ticket.scope if ticket is not None else decision.scope
    paused, aborted = state.paused_type == operation, state.goes_back(operation, snapshot)
    if paused or operation not in GO_FIRST:
        state.paused_type = ""
    if aborted or operation not in GO_FIRST:
        state.aborted_type = ""
    while True:
        state.sequence += 1
        request = OperationInput(
            namespace=app.namespace,
            app=app.app,
            reason=reason,
            uid=snapshot.uid,
            spec_hash=snapshot.spec_hash,
            plugin=snapshot.plugin,
            component=scope.component,
            group=scope.group,
            node=scope.node,
            candidate=scope.candidate,
            force=scope.force,
            seen=scope.seen,
            address=scope.address,
            in_sync_since=scope.in_sync_since,
            overlap=scope.overlap,
            asked=ticket is not None,
            paused=paused,
            aborted=aborted,
        )
        try:
            return await workflow.start_child_workflow(
                operation,
                request,
                id=f"{workflow.info().workflow_id}/{snapshot.uid}/{operation}/{state.sequence}",
                result_type=OperationResult,
                # The next operation may begin only when nothing of this one works any more.
                cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                search_attributes=_search_attributes(app, operation, snapshot.plugin),
                static_summary=shortened(f"{operation} {app.namespace}/{app.app}: {reason}"),
            )
        except WorkflowAlreadyStartedError:
            continue  # left over from an entity that was terminated by hand; take the next number


def _search_attributes(app: AppReference, operation: str, plugin: str) -> TypedSearchAttributes:
    values = {
        SEARCH_APP: app.app,
        SEARCH_NAMESPACE: app.namespace,
        SEARCH_OPERATION: operation,
        SEARCH_PLUGIN: plugin,
    }
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(key), value) for key, value in values.items() if value]
    )
