"""How an operation ended, as its entity remembers it: what it answered, or what its failure means."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, CancelledError, ChildWorkflowError

from api.operations import OperationResult, Outcome
from api.steps import ErrorType
from workflows.temporal.errors import root_of

CANCELLED_BY_HAND = "it was cancelled in Temporal; what was done stays"


async def outcome_of(
    child: workflow.ChildWorkflowHandle[Any, Any], operation: str, interruption: str
) -> OperationResult:
    """``interruption``: why the entity ended it, or empty. Raises nothing that the operation has raised."""
    try:
        result: OperationResult = await child
    except asyncio.CancelledError:
        return OperationResult(operation, Outcome.CANCELLED, interruption or "cancelled", child.id)
    except ChildWorkflowError as error:
        cause = root_of(error)
        if isinstance(cause, CancelledError):
            if interruption:
                return OperationResult(operation, Outcome.CANCELLED, interruption, child.id)
            # Not by the entity: somebody wants it ended, and it would else be begun anew at once.
            return OperationResult(operation, Outcome.ABORTED, CANCELLED_BY_HAND, child.id)
        if isinstance(cause, ApplicationError) and cause.type in (ErrorType.SPEC_CHANGED, ErrorType.NOT_FOUND):
            return OperationResult(operation, Outcome.CANCELLED, cause.message, child.id)
        message = cause.message if isinstance(cause, ApplicationError) else str(cause)
        return OperationResult(operation, Outcome.FAILED, message, child.id)
    return result
