"""Reading a failure that came up through activities and child workflows, each of which wraps it once more. Pure."""

from __future__ import annotations

from temporalio.exceptions import ActivityError, ChildWorkflowError


def root_of(error: BaseException) -> BaseException:
    """The error that the step itself raised: its type decides, and its sentence is what a person needs."""
    while isinstance(error, ActivityError | ChildWorkflowError) and error.cause is not None:
        error = error.cause
    return error
