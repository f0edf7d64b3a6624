"""What an operator may say to an operation that runs: pause, resume, retry, skip, abort.

1. Signals only note the word down; the operation looks at it at its safe points (between two nodes, two steps), and
   while a step runs, where an abort cancels it.
2. A step that failed for good does not end the operation: it says why, and waits. What has another reason than the
   step itself (the spec changed, the App is gone, the operation is cancelled) ends it as before.
3. Whoever waits says so to the entity, which needs it to refuse words that make no sense now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, is_cancelled_exception

from api.operations import (
    MEMO_ENDED,
    SIGNAL_CONTROL,
    SIGNAL_ENDING,
    SIGNAL_PROGRESS,
    OperationInput,
    OperationResult,
    OperationState,
    OperationType,
    Outcome,
    Progress,
    Verb,
)
from api.steps import ErrorType, StateRequest, Step, Target
from workflows.temporal.activity_call import run_step
from workflows.temporal.errors import root_of
from workflows.temporal.signal import send

_NOT_THE_STEPS = frozenset({ErrorType.SPEC_CHANGED, ErrorType.NOT_FOUND})


class AbortedError(Exception):
    """An operator ended the operation; caught by ``controlled``."""


@dataclass
class Control:
    """What was said and is to be looked at. ``skipped``: what an operator decided to leave as it is."""

    paused: bool = False
    aborted: bool = False
    decision: str = ""
    skipped: list[str] = field(default_factory=list)

    def say(self, verb: str) -> None:
        if verb == Verb.PAUSE:
            self.paused = True
        elif verb == Verb.RESUME:
            self.paused = False
        elif verb == Verb.ABORT:
            self.aborted = True
        else:
            self.decision = verb

    async def safe_point(self, target: Target, where: str) -> None:
        """Waits here while paused. Raises AbortedError."""
        if self.paused and not self.aborted:
            await tell_state(target, OperationState.PAUSED, f"at {where}", where)
            await workflow.wait_condition(lambda: not self.paused or self.aborted)
            if not self.aborted:
                await tell_state(target, OperationState.RUNNING, "", where)
        if self.aborted:
            raise AbortedError

    async def attempt(
        self, target: Target, where: str, work: Callable[[], Coroutine[Any, Any, None]], *, instead: str = ""
    ) -> bool:
        """False where an operator skipped it. Raises AbortedError, and failures that are not the step's own.

        ``instead``: what a skip does, where it does not leave something as it is; it is said with the failure."""
        while True:
            try:
                await self.abortable(work)
                return True
            except (ActivityError, ChildWorkflowError) as error:
                message = own_failure(error)
                if message is None:
                    raise
            self.decision = ""
            await tell_state(target, OperationState.STOPPED, f"{message}; {instead}" if instead else message, where)
            await workflow.wait_condition(lambda: bool(self.decision) or self.aborted)
            if self.aborted:
                raise AbortedError
            await tell_state(target, OperationState.RUNNING, "", where)
            if self.decision == Verb.SKIP:
                if not instead:
                    self.skipped.append(where)
                return False

    async def abortable(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs ``work``; an abort cancels it and raises AbortedError."""
        task = asyncio.create_task(work())
        try:
            await workflow.wait_condition(lambda: task.done() or self.aborted)
        except asyncio.CancelledError:
            await _end(task)
            raise
        if not task.done():
            await _end(task)
            raise AbortedError
        task.result()

    async def undone(self, undo: Callable[[], Awaitable[str]] | None) -> str:
        """What came of putting back: never an error, so that what was wrong first is what is told."""
        if undo is None:
            return "what was done stays"
        said: list[str] = []

        async def work() -> None:
            said.append(await undo())

        try:
            await self.abortable(work)
            return said[0]
        except AbortedError:
            self.aborted = False
            return "the way back was ended too: what is done stays"
        except (ActivityError, ChildWorkflowError) as error:
            message = own_failure(error)
            if message is None:
                raise
            return f"the way back failed: {message}"


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await workflow.wait([task])
    if not task.cancelled():
        task.exception()  # retrieved, else asyncio logs it as forgotten


def own_failure(error: BaseException) -> str | None:
    """The step's sentence, None for what is no failure of the step itself."""
    cause = root_of(error)
    if is_cancelled_exception(error) or not isinstance(cause, ApplicationError) or cause.type in _NOT_THE_STEPS:
        return None
    return cause.message


async def tell_state(target: Target, state: OperationState, message: str, step: str) -> None:
    """To the App's status and Events, and to the entity."""
    workflow.set_current_details(
        f"{target.operation} of **{target.namespace}/{target.app}**: {state}" + (f": {message}" if message else "")
    )
    parent = workflow.info().parent
    if parent is not None:
        handle = workflow.get_external_workflow_handle(parent.workflow_id)
        await send(handle, SIGNAL_PROGRESS, Progress(target.workflow_id, state, message))
    await run_step(Step.TELL_STATE, StateRequest(target, step, state, message), type(None), f"{state}: {message}")


class Controlled:
    """Base of the operations' workflows: an operator's word may arrive before ``run`` begins."""

    def __init__(self) -> None:
        self.control = Control()

    @workflow.signal(name=SIGNAL_CONTROL)
    def on_control(self, verb: str) -> None:
        self.control.say(verb)

    @workflow.signal(name=SIGNAL_ENDING)
    def on_ending(self, why: str) -> None:
        workflow.upsert_memo({MEMO_ENDED: why})
        workflow.set_current_details(f"Ended: {why}")


async def controlled(
    operation: OperationType,
    request: OperationInput,
    control: Control,
    body: Callable[[], Awaitable[OperationResult]],
    undo: Callable[[], Awaitable[str]] | None = None,
) -> OperationResult:
    """Runs ``body``. After an abort ``undo`` puts back what can be put back, and says what it did."""
    control.paused = control.paused or request.paused
    results: list[OperationResult] = []

    async def work() -> None:
        results.append(await body())

    try:
        if request.aborted:
            raise AbortedError
        await control.abortable(work)
    except AbortedError:
        control.aborted = control.paused = False
        control.decision = ""
        done = await control.undone(undo)
        return OperationResult(
            operation, Outcome.ABORTED, f"aborted by an operator; {done}", _own_id(), list(control.skipped)
        )
    result = results[0]
    if not control.skipped:
        return result
    message = f"{result.message}; left out: {', '.join(control.skipped)}"
    return OperationResult(operation, result.outcome, message, _own_id(), list(control.skipped))


def _own_id() -> str:
    return workflow.info().workflow_id
