"""Reading a failure that came up through activities and child workflows, each of which wraps it once more. Pure."""

from __future__ import annotations

from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, TimeoutError

from api.steps import ErrorType


def root_of(error: BaseException) -> BaseException:
    """The error that the step itself raised: its type decides, and its sentence is what a person needs."""
    while isinstance(error, ActivityError | ChildWorkflowError) and error.cause is not None:
        error = error.cause
    return error


def timed_out(error: BaseException) -> str:
    """What a step that was not done in its time came to; empty for another failure."""
    cause = root_of(error)
    if not isinstance(cause, TimeoutError):
        return ""
    last = cause.cause
    return last.message if isinstance(last, ApplicationError) else "it was not done in time"


def engine_refused(error: BaseException) -> bool:
    """Whether an engine does not take what it was given, or asked about."""
    cause = root_of(error)
    return isinstance(cause, ApplicationError) and cause.type == ErrorType.ENGINE_REFUSED
