"""``App``: the entity, one workflow for each App, for as long as the App exists.

It is the queue that makes the operations of one App run one at a time. Woken by a notice (watcher), a request (somebody
started an operation by hand) or its own timer, it loads what is wanted and what is there by one activity, asks the pure
planner, and runs the operation as a child.

1. While an operation runs, a changed spec, a deletion or a pause interrupts it: the child is cancelled, its
   activities end where they are safe, and the planner decides again. That is also how an App that waits for an image
   goes on when its spec names another. Drift interrupts an operation that waits for an operator.
2. What an operator says (``control``) is passed on to the operation that runs.
3. It continues as new only between operations: children do not survive it.
4. It ends when the App is gone. A notice about a new App of the same name starts it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from api.look import AppSnapshot, LoadRequest
from api.operations import (
    BY_REQUEST,
    ENTITY_WORKFLOW,
    GOES_ON,
    QUERY_RESULT,
    QUERY_STATUS,
    SEARCH_PLUGIN,
    SIGNAL_CANCEL,
    SIGNAL_CONTROL,
    SIGNAL_ENDING,
    SIGNAL_NOTICE,
    SIGNAL_PROGRESS,
    SIGNAL_SUSPECT,
    UPDATE_CONTROL,
    UPDATE_ENQUEUE,
    AppReference,
    EntityStatus,
    Notice,
    NoticeKind,
    OperationRequest,
    OperationResult,
    OperationState,
    OperationType,
    Outcome,
    Progress,
    Suspicion,
    Verb,
    is_drift,
)
from api.steps import Step
from workflows.entity.control_rules import SAID, refuse_verb
from workflows.entity.drain import heard, learn_move, next_move, with_word
from workflows.entity.manual_queue import ManualQueue
from workflows.entity.outcome import outcome_of
from workflows.entity.planner import Decision, Telling, interrupts, must_tell, plan
from workflows.entity.preemption import failover_before, room_for
from workflows.entity.start_operation import start_operation
from workflows.entity.state import EntityInput, EntityState, Ticket
from workflows.temporal.activity_call import run_step
from workflows.temporal.errors import root_of
from workflows.temporal.signal import send

RESYNC = timedelta(minutes=5)
"""How often it looks without having been told to; spread by a tenth either way, so that entities do not march in
step."""
HISTORY_LIMIT = 1_000
"""Events after which it continues as new: about eight hours of idling, and quick to replay."""
BLIND_FOR = timedelta(seconds=30)
LOOK_AGAIN = timedelta(seconds=15)
"""An object that an operation itself replaces is there again by then."""


@workflow.defn(name=ENTITY_WORKFLOW)
class AppWorkflow:
    """The entity of one App; see the module's description."""

    @workflow.init
    def __init__(self, request: EntityInput) -> None:
        """With the input, so that a signal that arrives before ``run`` finds the state."""
        self._request = request
        self._reference = AppReference(request.namespace, request.app)
        self._state = EntityState.decode(request.state)
        self._tickets = ManualQueue(self._state)
        self._spec_notice = False
        self._drift_notice = False
        self._resync = False
        self._looked = workflow.now()
        self._pausing = self._aborting = self._held = False
        self._ending = ""
        self._doing = "starting"
        self._child = ""
        self._handle: workflow.ChildWorkflowHandle[Any, Any] | None = None
        self._progress: Progress | None = None
        self._running: Ticket | None = None

    @workflow.run
    async def run(self, request: EntityInput) -> str:
        while True:
            await self._wake()
            if self._drift_notice or self._state.anew:
                self._state.drifted_anew(workflow.now())
            if self._may_continue_as_new():
                workflow.continue_as_new(EntityInput(request.namespace, request.app, self._state.encode()))
            self._state.notice = self._spec_notice = self._drift_notice = False
            # Clients wait for a new primary: what else is not as it should be is looked at afterwards.
            drift = self._state.failovers.due(workflow.now()) is None
            try:
                snapshot = await self._load(drift=drift)
            except ActivityError as error:
                await self._cannot_look(error, less=drift)
                continue
            self._resync = False
            self._looked = workflow.now()
            self._state.failovers.cool_down = snapshot.cool_down
            decision = plan(snapshot, self._state.memory(snapshot, workflow.now()))
            first = decision.suspicion is not None or self._state.asked_for(OperationType.FAILOVER)
            move = None if first else next_move(snapshot, self._state, workflow.now())
            if decision.suspicion is None:
                self._state.failovers.let_go(workflow.now())
            decision = move or decision
            ticket = None if move is not None else self._tickets.take(snapshot, decision)
            if decision.gone:
                if self._state.notice or self._state.queue:
                    continue  # something arrived while it looked: a new App of the name, or a request to be refused
                return f"App {request.namespace}/{request.app} is gone"
            if ticket is not None and ticket.type in BY_REQUEST:
                goes_on = ticket.type in GOES_ON and decision.operation == ticket.type
                decision = decision if goes_on else Decision(ticket.type)
            elif ticket is not None and not decision.operation:
                decision, ticket = self._tickets.asked_again(snapshot, ticket)
            if decision.operation:
                if decision.telling is not None:
                    await self._tell(snapshot, decision.telling)
                await self._operate(snapshot, decision, ticket)
            elif decision.telling is not None:
                await self._tell(snapshot, with_word(decision.telling, snapshot, self._state, workflow.now()))

    # Waking up

    async def _wake(self) -> None:
        if self._state.notice or self._state.queue:
            return
        self._say("waiting for a change")
        pause = min(RESYNC * workflow.random().uniform(0.9, 1.1), self._state.until_retry(workflow.now(), self._looked))
        try:
            await workflow.wait_condition(
                lambda: self._state.notice or bool(self._state.queue), timeout=pause, timeout_summary="resync"
            )
        except TimeoutError:
            self._state.notice, self._resync = True, not self._state.lost

    def _may_continue_as_new(self) -> bool:
        info = workflow.info()
        long = info.is_continue_as_new_suggested() or info.get_current_history_length() > HISTORY_LIMIT
        # An update handler that has not returned yet would be lost with its caller's answer.
        return long and workflow.all_handlers_finished()

    async def _load(self, *, drift: bool) -> AppSnapshot:
        # Who asks by hand wants it looked at thoroughly; so does the clock.
        thorough = self._resync or bool(self._state.queue)
        request = LoadRequest(self._request.namespace, self._request.app, drift, engines=drift and thorough)
        snapshot = await run_step(Step.LOAD, request, AppSnapshot, "what is wanted, what is there")
        if snapshot.plugin and snapshot.plugin != self._state.plugin:
            self._state.plugin = snapshot.plugin
            workflow.upsert_search_attributes(
                [SearchAttributeKey.for_keyword(SEARCH_PLUGIN).value_set(snapshot.plugin)]
            )
        return snapshot

    # Running an operation

    async def _operate(self, snapshot: AppSnapshot, decision: Decision, ticket: Ticket | None) -> None:
        reason = decision.reason
        if ticket is not None:
            reason = f"{reason}; {ticket.wish}" if reason else ticket.wish
        if decision.suspicion is not None:
            self._state.failovers.begin(decision.suspicion)
        self._aborting = self._state.goes_back(decision.operation, snapshot)
        if self._aborting:
            reason = f"its way back goes on ({reason})"
        self._running = ticket
        child = await start_operation(self._state, self._reference, snapshot, decision, reason, ticket)
        self._child, self._handle = child.id, child
        self._progress = Progress(child.id, OperationState.RUNNING)
        self._pausing = self._held = False
        self._ending = ""
        self._say(f"{decision.operation}: {reason}")
        interruption = await self._attend(child, snapshot, decision.operation, ticket)
        result = await outcome_of(child, decision.operation, interruption)
        # A run by hand is another wish each time: nothing goes on with it.
        once = ticket is not None and ticket.type in BY_REQUEST - GOES_ON
        if result.outcome == Outcome.CANCELLED and not once:
            self._state.interrupted(snapshot, decision.operation, paused=self._held, aborted=self._aborting)
        self._child, self._handle, self._running, self._progress = "", None, None, None
        if ticket is not None:
            self._tickets.finish(ticket, Outcome(result.outcome), result.message, child.id)
        self._state.learn(snapshot, result, workflow.now())
        if ticket is None:
            learn_move(self._state, snapshot, decision.scope.node, result, workflow.now())

    async def _attend(
        self,
        child: workflow.ChildWorkflowHandle[Any, Any],
        snapshot: AppSnapshot,
        operation: str,
        ticket: Ticket | None,
    ) -> str:
        """Waits for the child; why it was interrupted, or empty."""

        def unwanted() -> bool:
            held = operation == OperationType.FAILOVER  # it ends what it began
            return self._tickets.is_cancelled(ticket) and not held

        def lost() -> str:
            return failover_before(operation, self._state, workflow.now())

        def called() -> bool:
            return child.done() or self._spec_notice or unwanted() or bool(lost())

        missing: frozenset[str] = frozenset()
        again = told = False
        first = not snapshot.deployed_hash
        self._state.put_back = ""

        def drifted() -> bool:
            # The way back of an aborted operation is looked after when it has ended. A Repair is not left out: what is
            # deleted behind its back it may wait for without end.
            if operation == OperationType.FAILOVER or self._aborting:
                return False
            return self._drift_notice or again

        while True:
            await workflow.wait_condition(lambda: called() or drifted())
            if child.done():
                # What was told while it was put right may have been deleted behind the Repair: that is new again.
                self._drift_notice = self._drift_notice or (told and operation == OperationType.REPAIR)
                return ""
            room = "" if unwanted() else lost()
            why = "the run that asked for it was cancelled" if unwanted() else room
            if not why:
                look_for_drift = drifted()
                self._spec_notice = False
                told = told or (self._drift_notice and look_for_drift)
                self._drift_notice = self._drift_notice and not look_for_drift
                if look_for_drift and first:
                    self._state.drifted_anew(workflow.now())
                try:
                    newest = await self._load(drift=look_for_drift)
                except FailureError:
                    continue  # loading retries by itself; what is left means that it cannot be loaded now
                if child.done():
                    continue
                why = interrupts(newest, operation, snapshot.uid, snapshot.spec_hash)
                if not why and look_for_drift:
                    now = workflow.now()
                    room, missing = room_for(newest, operation, missing, self._state, self._waiting(), now, first=first)
                    why, again = room, not room and (bool(missing) or (first and self._state.anew))
                    if again:
                        await self._before_another_look(called)
            if why:
                self._held = bool(room) and (self._pausing or self._waiting() == OperationState.PAUSED)
                await self._end(child, operation, why)
                return why

    async def _end(self, child: workflow.ChildWorkflowHandle[Any, Any], operation: str, why: str) -> None:
        """Returns when nothing of it works any more."""
        self._ending = why
        self._say(f"ending {operation}: {why}")
        with contextlib.suppress(FailureError):  # it has ended by itself meanwhile
            await send(child, SIGNAL_ENDING, why)
        child.cancel()
        await workflow.wait_condition(child.done)

    def _waiting(self) -> str:
        """OperationState of the running operation while it waits for an operator, else empty."""
        waits = self._progress is not None and self._progress.state != OperationState.RUNNING
        return self._progress.state if waits and self._progress is not None else ""

    async def _before_another_look(self, sooner: Callable[[], bool]) -> None:
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(sooner, timeout=LOOK_AGAIN, timeout_summary="is it still missing")

    async def _cannot_look(self, error: ActivityError, *, less: bool = True) -> None:
        """The entity outlives what retrying does not cure: a cure may come, and it keeps what operators have said.
        ``less``: a Failover, which looks at less, is not held up by it."""
        if is_cancelled_exception(error):
            raise error
        cause = root_of(error)
        why = cause.message if isinstance(cause, ApplicationError) else str(cause)
        self._say(f"cannot look at the App: {why}; next try in {BLIND_FOR.total_seconds():.0f} s")
        self._state.notice = True

        def sooner() -> bool:
            return self._spec_notice or (less and self._state.failovers.due(workflow.now()) is not None)

        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(sooner, timeout=BLIND_FOR, timeout_summary="before it looks again")

    async def _tell(self, snapshot: AppSnapshot, telling: Telling) -> None:
        self._say(telling.message)
        if not must_tell(snapshot, telling):
            return
        try:
            await run_step(Step.REPORT, telling.report(self._reference, snapshot), type(None), telling.message)
        except ActivityError as error:
            await self._cannot_look(error)

    def _say(self, doing: str) -> None:
        self._doing = doing
        running = f"\n\nRunning: `{self._child}`" if self._child else ""
        workflow.set_current_details(f"App **{self._request.namespace}/{self._request.app}**: {doing}{running}")

    # What others say to it. Handlers only note it down: an update that waited would keep it from continuing as new.

    @workflow.signal(name=SIGNAL_NOTICE)
    def notice(self, notice: Notice) -> None:
        self._state.notice = True
        heard(self._state, notice)
        # The watcher sends one notice for several things: of the stronger kind, with all details.
        self._drift_notice = self._drift_notice or notice.kind == NoticeKind.DRIFT or is_drift(notice.detail)
        self._spec_notice = self._spec_notice or notice.kind != NoticeKind.DRIFT

    @workflow.signal(name=SIGNAL_SUSPECT)
    def suspect(self, suspicion: Suspicion) -> None:
        self._state.failovers.suspect(suspicion)
        self._state.notice = True

    @workflow.signal(name=SIGNAL_PROGRESS)
    def progress(self, progress: Progress) -> None:
        if progress.workflow_id == self._child:
            self._progress = progress

    @workflow.update(name=UPDATE_CONTROL)
    async def control(self, verb: str) -> str:
        """Passes an operator's word on; answers what will happen."""
        self._refuse(verb)  # again: between validation and now the operation may have ended
        if self._handle is None:
            self._state.ask_again()
            return "what failed, or was aborted, begins again"
        self._pausing, self._aborting = verb == Verb.PAUSE, self._aborting or verb == Verb.ABORT
        if verb != Verb.PAUSE:
            self._progress = Progress(self._child, OperationState.RUNNING)  # what waited does not wait any more
        await send(self._handle, SIGNAL_CONTROL, verb)
        return SAID[Verb(verb)]

    @control.validator
    def _check_control(self, verb: str) -> None:
        self._refuse(verb, self._ending)

    def _refuse(self, verb: str, ending: str = "") -> None:
        state = self._progress.state if self._progress is not None else ""
        refusal = refuse_verb(
            verb,
            self._child,
            state,
            failed=self._state.waits_for_somebody,
            pausing=self._pausing,
            ending=ending,
        )
        if refusal:
            raise ApplicationError(refusal, type="Refused", non_retryable=True)

    @workflow.signal(name=SIGNAL_CANCEL)
    def cancel(self, ticket: str) -> None:
        self._state.notice = self._tickets.cancel(ticket) or self._state.notice

    @workflow.update(name=UPDATE_ENQUEUE)
    def enqueue(self, request: OperationRequest) -> str:
        return self._tickets.enqueue(request)

    @enqueue.validator
    def _check(self, request: OperationRequest) -> None:
        self._tickets.check(request)

    @workflow.query(name=QUERY_STATUS)
    def status(self) -> EntityStatus:
        waiting = [self._running, *self._state.queue] if self._running is not None else self._state.queue
        how = self._progress or Progress("", "")
        by = self._running.requested_by if self._running is not None else ""
        return EntityStatus(self._doing, self._child, [ticket.id for ticket in waiting], how.state, how.message, by)

    @workflow.query(name=QUERY_RESULT)
    def result(self, ticket: str) -> OperationResult | None:
        return self._state.results.get(ticket)
