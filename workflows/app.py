"""``App``: the entity, one workflow for each App, for as long as the App exists.

It is the queue that makes the operations of one App run one at a time. Woken by a notice (watcher), a request (somebody
started an operation by hand) or its own timer, it loads what is wanted and what is there by one activity, asks the pure
planner, and runs the operation as a child.

1. While an operation runs, a changed spec, a deletion or a pause interrupts it: the child is cancelled, its
activities end
   where they are safe, and everything is planned anew. That is also how an App that waits for an image goes on when its
   spec names another.
2. It continues as new only between operations: children do not survive it.
3. It ends when the App is gone. A notice about a new App of the same name starts it again.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import (
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    WorkflowAlreadyStartedError,
)
from temporalio.workflow import ChildWorkflowCancellationType

from workflows.failures import root_of
from workflows.options import run_step
from workflows.planner import Decision, Failure, Memory, Telling, interrupts, must_tell, plan, settle
from workflows.state import EntityInput, EntityState, Ticket

with workflow.unsafe.imports_passed_through():
    from api.operations import (
        ENTITY_WORKFLOW,
        QUERY_RESULT,
        QUERY_STATUS,
        SEARCH_APP,
        SEARCH_NAMESPACE,
        SEARCH_OPERATION,
        SEARCH_PLUGIN,
        SIGNAL_CANCEL,
        SIGNAL_NOTICE,
        UPDATE_ENQUEUE,
        EntityStatus,
        Notice,
        NoticeKind,
        OperationInput,
        OperationRequest,
        OperationResult,
        OperationType,
        Outcome,
    )
    from api.steps import AppSnapshot, ErrorType, LoadRequest, ReportRequest, Step

RESYNC = timedelta(minutes=5)
"""How often it looks without having been told to; spread by a tenth either way, so that entities do not march in
step."""
FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=5), timedelta(hours=1)
"""After an operation that failed for good: somebody may have removed the cause without touching the App."""
HISTORY_LIMIT = 1_000
"""Events after which it continues as new: about eight hours of idling, and quick to replay."""
QUEUE_LIMIT = 50


@workflow.defn(name=ENTITY_WORKFLOW)
class AppWorkflow:
    """The entity of one App; see the module's description."""

    @workflow.init
    def __init__(self, request: EntityInput) -> None:
        """With the input, so that a signal that arrives before ``run`` finds the state."""
        self._request = request
        self._state = EntityState.decode(request.state)
        self._cancelled: set[str] = set()
        self._spec_notice = False
        self._doing = "starting"
        self._child = ""
        self._running: Ticket | None = None

    @workflow.run
    async def run(self, request: EntityInput) -> str:
        while True:
            await self._wake()
            if self._may_continue_as_new():
                workflow.continue_as_new(EntityInput(request.namespace, request.app, self._state.encode()))
            self._state.notice = self._spec_notice = False
            snapshot = await self._load(drift=True)
            decision = plan(snapshot, self._memory(snapshot))
            ticket = self._take(decision)
            if decision.gone:
                if self._state.notice or self._state.queue:
                    continue  # something arrived while it looked: a new App of the name, or a request to be refused
                return f"App {request.namespace}/{request.app} is gone"
            if ticket is not None and not decision.operation:
                decision = plan(snapshot, Memory())
            if decision.operation:
                await self._operate(snapshot, decision, ticket)
            elif decision.telling is not None:
                await self._tell(snapshot, decision.telling)

    # Waking up

    async def _wake(self) -> None:
        if self._state.notice or self._state.queue:
            return
        self._say("waiting for a change")
        pause = RESYNC * workflow.random().uniform(0.9, 1.1)
        if self._state.retry_at:
            pause = min(pause, max(datetime.fromisoformat(self._state.retry_at) - workflow.now(), timedelta(seconds=1)))
        try:
            await workflow.wait_condition(
                lambda: self._state.notice or bool(self._state.queue), timeout=pause, timeout_summary="resync"
            )
        except TimeoutError:
            self._state.notice = True

    def _may_continue_as_new(self) -> bool:
        info = workflow.info()
        long = info.is_continue_as_new_suggested() or info.get_current_history_length() > HISTORY_LIMIT
        # An update handler that has not returned yet would be lost with its caller's answer.
        return long and workflow.all_handlers_finished()

    async def _load(self, *, drift: bool) -> AppSnapshot:
        request = LoadRequest(self._request.namespace, self._request.app, drift)
        snapshot = await run_step(Step.LOAD, request, AppSnapshot, "what is wanted, what is there")
        if snapshot.plugin and snapshot.plugin != self._state.plugin:
            self._state.plugin = snapshot.plugin
            workflow.upsert_search_attributes(
                [SearchAttributeKey.for_keyword(SEARCH_PLUGIN).value_set(snapshot.plugin)]
            )
        return snapshot

    def _memory(self, snapshot: AppSnapshot) -> Memory:
        state = self._state
        failure = None
        if state.failed_type:
            due = bool(state.retry_at) and workflow.now() >= datetime.fromisoformat(state.retry_at)
            failure = Failure(state.failed_type, state.failed_hash, state.failed_message, due)
            if state.failed_hash != snapshot.spec_hash:
                self._forget_failure()
        state.unrepairable = [sentence for sentence in state.unrepairable if sentence in snapshot.drift]
        return Memory(failure, frozenset(state.unrepairable))

    def _forget_failure(self) -> None:
        state = self._state
        state.failed_type = state.failed_hash = state.failed_message = state.retry_at = ""
        state.failed_times = 0

    # Requests by hand

    def _take(self, decision: Decision) -> Ticket | None:
        """Answers queued requests that are settled, returns the first that is to run now."""
        remaining, taken = [], None
        # Asking by hand means trying again what failed, so a remembered failure does not settle it.
        for ticket in self._state.queue:
            if ticket.id in self._cancelled:
                self._finish_ticket(ticket, Outcome.CANCELLED, "cancelled before it began")
                continue
            failed = decision.telling is not None and decision.telling.failed_operation == ticket.type
            settled = None if failed else settle(ticket.type, decision)
            if settled is not None:
                self._finish_ticket(ticket, *settled)
            elif taken is None:
                taken = ticket
            else:
                remaining.append(ticket)
        self._state.queue = remaining
        return taken

    def _finish_ticket(self, ticket: Ticket, outcome: Outcome, message: str, workflow_id: str = "") -> None:
        self._cancelled.discard(ticket.id)
        self._state.remember(ticket.id, OperationResult(ticket.type, outcome, message, workflow_id))

    # Running an operation

    async def _operate(self, snapshot: AppSnapshot, decision: Decision, ticket: Ticket | None) -> None:
        reason = decision.reason
        if ticket is not None:
            reason = f"{reason}; asked for by {ticket.requested_by}" + (f": {ticket.reason}" if ticket.reason else "")
        child = await self._start(snapshot, decision.operation, reason, ticket)
        self._child = child.id
        self._running = ticket
        self._say(f"{decision.operation}: {reason}")
        interruption = await self._attend(child, snapshot, decision.operation, ticket)
        result = await self._outcome(child, decision.operation, interruption)
        self._child, self._running = "", None
        if ticket is not None:
            self._finish_ticket(ticket, Outcome(result.outcome), result.message, child.id)
        self._learn(snapshot, result)

    async def _start(
        self, snapshot: AppSnapshot, operation: str, reason: str, ticket: Ticket | None
    ) -> workflow.ChildWorkflowHandle[Any, Any]:
        namespace, app = self._request.namespace, self._request.app
        while True:
            self._state.sequence += 1
            sequence = self._state.sequence
            operation_id = f"{workflow.info().workflow_id}/{snapshot.uid}/{operation}/{sequence}"
            try:
                return await workflow.start_child_workflow(
                    operation,
                    OperationInput(
                        namespace=namespace,
                        app=app,
                        reason=reason,
                        ticket=ticket.id if ticket is not None else f"automatic-{sequence}",
                        uid=snapshot.uid,
                        spec_hash=snapshot.spec_hash,
                        plugin=snapshot.plugin,
                    ),
                    id=operation_id,
                    result_type=OperationResult,
                    # The next operation may begin only when nothing of this one works any more.
                    cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                    search_attributes=self._search_attributes(operation, snapshot.plugin),
                    static_summary=f"{operation} {namespace}/{app}: {reason}"[:200],
                )
            except WorkflowAlreadyStartedError:
                continue  # left over from an entity that was terminated by hand; take the next number

    def _search_attributes(self, operation: str, plugin: str) -> TypedSearchAttributes:
        values = {
            SEARCH_APP: self._request.app,
            SEARCH_NAMESPACE: self._request.namespace,
            SEARCH_OPERATION: operation,
            SEARCH_PLUGIN: plugin,
        }
        return TypedSearchAttributes(
            [SearchAttributePair(SearchAttributeKey.for_keyword(key), value) for key, value in values.items() if value]
        )

    async def _attend(
        self,
        child: workflow.ChildWorkflowHandle[Any, Any],
        snapshot: AppSnapshot,
        operation: str,
        ticket: Ticket | None,
    ) -> str:
        """Waits for the child; why it was interrupted, or empty."""

        def unwanted() -> bool:
            return ticket is not None and ticket.id in self._cancelled

        while True:
            await workflow.wait_condition(lambda: child.done() or self._spec_notice or unwanted())
            if child.done():
                return ""
            why = ""
            if unwanted():
                why = "the run that asked for it was cancelled"
            else:
                self._spec_notice = False
                try:
                    newest = await self._load(drift=False)
                except FailureError:
                    continue  # loading retries by itself; what is left means that it cannot be loaded now
                if child.done():
                    return ""
                why = interrupts(newest, operation, snapshot.uid, snapshot.spec_hash)
            if why:
                self._say(f"ending {operation}: {why}")
                child.cancel()
                await workflow.wait_condition(child.done)
                return why

    async def _outcome(
        self, child: workflow.ChildWorkflowHandle[Any, Any], operation: str, interruption: str
    ) -> OperationResult:
        try:
            result: OperationResult = await child
        except asyncio.CancelledError:
            return OperationResult(operation, Outcome.CANCELLED, interruption or "cancelled", child.id)
        except ChildWorkflowError as error:
            cause = root_of(error)
            if isinstance(cause, CancelledError):
                return OperationResult(operation, Outcome.CANCELLED, interruption or "cancelled", child.id)
            if isinstance(cause, ApplicationError) and cause.type in (ErrorType.SPEC_CHANGED, ErrorType.NOT_FOUND):
                return OperationResult(operation, Outcome.CANCELLED, cause.message, child.id)
            message = cause.message if isinstance(cause, ApplicationError) else str(cause)
            return OperationResult(operation, Outcome.FAILED, message, child.id)
        return result

    def _learn(self, snapshot: AppSnapshot, result: OperationResult) -> None:
        """What the end of an operation means for the next plan. All but a success is looked at again at once."""
        state = self._state
        if result.outcome == Outcome.FAILED:
            state.failed_times += 1
            pause = min(FIRST_RETRY * 2 ** (min(state.failed_times, 8) - 1), LONGEST_RETRY)
            state.failed_type, state.failed_hash = result.type, snapshot.spec_hash
            state.failed_message = result.message[:500]
            state.retry_at = (workflow.now() + pause).isoformat()
            state.notice = True
            return
        self._forget_failure()
        if result.outcome != Outcome.COMPLETED or result.type == OperationType.DELETE:
            state.notice = True
        if result.outcome == Outcome.COMPLETED and result.type == OperationType.REPAIR:
            # Seen again by the next look, it is something that applying does not change.
            state.unrepairable = list(snapshot.drift)

    async def _tell(self, snapshot: AppSnapshot, telling: Telling) -> None:
        self._say(telling.message)
        if not must_tell(snapshot, telling):
            return
        request = ReportRequest(
            namespace=self._request.namespace,
            app=self._request.app,
            uid=snapshot.uid,
            generation=snapshot.generation,
            phase=telling.phase,
            message=telling.message,
            accepted=telling.accepted,
            accepted_reason=telling.reason,
            paused=telling.paused,
            failed_operation=telling.failed_operation,
        )
        await run_step(Step.REPORT, request, type(None), telling.message)

    def _say(self, doing: str) -> None:
        self._doing = doing
        running = f"\n\nRunning: `{self._child}`" if self._child else ""
        workflow.set_current_details(f"App **{self._request.namespace}/{self._request.app}**: {doing}{running}")

    # What others say to it. Handlers only note it down: an update that waited would keep it from continuing as new.

    @workflow.signal(name=SIGNAL_NOTICE)
    def notice(self, notice: Notice) -> None:
        self._state.notice = True
        if notice.kind != NoticeKind.DRIFT:
            self._spec_notice = True

    @workflow.signal(name=SIGNAL_CANCEL)
    def cancel(self, ticket: str) -> None:
        if ticket not in self._state.results:
            self._cancelled.add(ticket)
            self._state.notice = True

    @workflow.update(name=UPDATE_ENQUEUE)
    def enqueue(self, request: OperationRequest) -> str:
        for ticket in self._state.queue:
            if ticket.requested_by == request.requested_by and ticket.type == request.type:
                return ticket.id  # the same activity asks again, because its answer got lost
        # Not a count: a later entity of the name would give the same number to somebody else's request.
        ticket = Ticket(f"ticket-{workflow.uuid4()}", request.type, request.requested_by, request.reason)
        self._state.queue.append(ticket)
        return ticket.id

    @enqueue.validator
    def _check(self, request: OperationRequest) -> None:
        if request.type not in set(OperationType):
            raise ApplicationError(f"there is no operation {request.type!r}", non_retryable=True)
        if len(self._state.queue) >= QUEUE_LIMIT:
            raise ApplicationError(f"{QUEUE_LIMIT} operations are queued already; wait for some to end")

    @workflow.query(name=QUERY_STATUS)
    def status(self) -> EntityStatus:
        waiting = [self._running, *self._state.queue] if self._running is not None else self._state.queue
        return EntityStatus(self._doing, self._child, [ticket.id for ticket in waiting])

    @workflow.query(name=QUERY_RESULT)
    def result(self, ticket: str) -> OperationResult | None:
        return self._state.results.get(ticket)
