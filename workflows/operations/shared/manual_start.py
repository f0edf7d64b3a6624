"""An operation that a person started with Temporal's own client: the App's entity is not its parent, so it never works
on the App itself.

Only a workflow can be a parent; what an input says anybody can write who reaches Temporal. An operation by hand queues
itself with the App's entity, waits for its turn, and mirrors result and cancellation; so an operation by hand
and one that the watcher caused can never run side by side on one App.
"""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from api.names import entity_workflow_id
from api.operations import (
    SEARCH_APP,
    SEARCH_NAMESPACE,
    SEARCH_OPERATION,
    OperationInput,
    OperationRequest,
    OperationResult,
    OperationType,
    Outcome,
    Scope,
)
from api.steps import EnqueueRequest, Step, Target, TicketRequest
from workflows.temporal.activity_call import run_step


def begun_by_entity(request: OperationInput) -> bool:
    """Whether an entity of the App started this operation. It then has its turn, for the App with this uid. A workflow
    does not know its installation; an entity of another has no step done (``activities.interceptors.callers``)."""
    info = workflow.info()
    if info.parent is None or not info.parent.workflow_id.endswith(
        entity_workflow_id("", request.namespace, request.app)
    ):
        return False
    return bool(request.uid) and info.workflow_id.startswith(f"{info.parent.workflow_id}/{request.uid}/")


def part_of_operation(target: Target, parent: str) -> None:
    """For a workflow that does a part of an operation's work: ``parent``, the workflow id that its parent must have.
    Raises ApplicationError for one that was started by hand."""
    begun_by = workflow.info().parent
    if begun_by is None or begun_by.workflow_id != parent or not target.workflow_id:
        message = f"{workflow.info().workflow_type} is a part of an operation, and is not started by itself"
        raise ApplicationError(message, type="BadInput", non_retryable=True)


async def manual_start(operation: OperationType, request: OperationInput) -> OperationResult:
    """The entity's result. Raises ApplicationError where the operation was refused or failed."""
    if not request.namespace or not request.app:
        raise ApplicationError(
            'give both, as in {"namespace": "demo", "app": "x"}', type="BadInput", non_retryable=True
        )
    where = f"{request.namespace}/{request.app}"
    workflow.upsert_search_attributes(
        [
            SearchAttributeKey.for_keyword(SEARCH_APP).value_set(request.app),
            SearchAttributeKey.for_keyword(SEARCH_NAMESPACE).value_set(request.namespace),
            SearchAttributeKey.for_keyword(SEARCH_OPERATION).value_set(operation),
        ]
    )
    scope = Scope(
        request.component, request.group, request.node, request.candidate, request.force, overlap=request.overlap
    )
    asked = OperationRequest(operation, workflow.info().workflow_id, request.reason, scope)
    wish = EnqueueRequest(request.namespace, request.app, asked)
    queued = asyncio.create_task(run_step(Step.ENQUEUE, wish, str, f"{operation} of {where}"))
    try:
        ticket = await asyncio.shield(queued)
    except asyncio.CancelledError:  # only who has the ticket can take the wish back
        await _take_back(TicketRequest(request.namespace, request.app, await queued))
        raise
    workflow.set_current_details(f"{operation} of **{where}**, started by hand: queued as {ticket}")
    reference = TicketRequest(request.namespace, request.app, ticket)
    try:
        result = await run_step(Step.AWAIT_RESULT, reference, OperationResult, f"result of {ticket}")
    except (ActivityError, asyncio.CancelledError) as error:
        if is_cancelled_exception(error):
            await _take_back(reference)
        raise
    workflow.set_current_details(f"{operation} of **{where}**, started by hand: {result.outcome}. {result.message}")
    if result.outcome == Outcome.CANCELLED:
        raise ApplicationError(f"{operation} of {where} was ended: {result.message}", type="Ended", non_retryable=True)
    if result.outcome in (Outcome.REFUSED, Outcome.FAILED, Outcome.ABORTED):
        kind = str(result.outcome).capitalize()
        raise ApplicationError(f"{operation} of {where}: {result.message}", type=kind, non_retryable=True)
    return result


async def _take_back(wish: TicketRequest) -> None:
    """Shielded: the workflow is being cancelled meanwhile."""
    await asyncio.shield(run_step(Step.CANCEL_TICKET, wish, type(None), f"take {wish.ticket} back"))
