"""Operations that somebody has started by hand, and that wait for their turn: what becomes of each.

A run by hand queues a ticket with the App's entity (``workflows.operations.shared.manual_start``) and asks for
the ticket's result until there is one. Pure but for the state it keeps.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from api.look import AppSnapshot
from api.operations import BY_REQUEST, OperationRequest, OperationResult, OperationType, Outcome
from workflows.entity.planner import Decision, plan, refuse_by_request, settle
from workflows.entity.state import QUEUE_LIMIT, EntityState, Ticket


class ManualQueue:
    """Those of one entity."""

    def __init__(self, state: EntityState) -> None:
        self._state = state
        self._cancelled: set[str] = set()

    def check(self, request: OperationRequest) -> None:
        """Raises ApplicationError where it cannot be queued."""
        if request.type not in set(OperationType):
            raise ApplicationError(f"there is no operation {request.type!r}", non_retryable=True)
        if len(self._state.queue) >= QUEUE_LIMIT:
            raise ApplicationError(f"{QUEUE_LIMIT} operations are queued already; wait for some to end")

    def enqueue(self, request: OperationRequest) -> str:
        """Its ticket."""
        for ticket in self._state.queue:
            if ticket.requested_by == request.requested_by and ticket.type == request.type:
                return ticket.id  # the same activity asks again, because its answer got lost
        # Not a count: a later entity of the name would give the same number to somebody else's request.
        ticket = Ticket(f"ticket-{workflow.uuid4()}", request.type, request.requested_by, request.reason, request.scope)
        self._state.queue.append(ticket)
        return ticket.id

    def cancel(self, ticket: str) -> bool:
        """Whoever asked for it does not want it any more; whether that changes anything."""
        if ticket in self._state.results:
            return False
        waits = next((each for each in self._state.queue if each.id == ticket), None)
        if waits is None:
            self._cancelled.add(ticket)
        else:  # at once: a later run of the entity knows the queue, not who was cancelled
            self._state.queue.remove(waits)
            self.finish(waits, Outcome.CANCELLED, "cancelled before it began")
        return True

    def is_cancelled(self, ticket: Ticket | None) -> bool:
        return ticket is not None and ticket.id in self._cancelled

    def finish(self, ticket: Ticket, outcome: Outcome, message: str, workflow_id: str = "") -> None:
        self._cancelled.discard(ticket.id)
        self._state.remember(ticket.id, OperationResult(ticket.type, outcome, message, workflow_id))

    def take(self, snapshot: AppSnapshot, decision: Decision) -> Ticket | None:
        """Answers queued requests that are settled, returns the first that is to run now."""
        remaining, taken = [], None
        for ticket in self._state.queue:
            settled = self._settled(snapshot, decision, ticket)
            if settled is not None:
                self.finish(ticket, *settled)
            elif taken is None and (
                ticket.type in (OperationType.FAILOVER, decision.operation)
                or not (ticket.type in BY_REQUEST and decision.operation)
            ):
                taken = ticket
            else:
                remaining.append(ticket)
        self._state.queue = remaining
        return taken

    def asked_again(self, snapshot: AppSnapshot, ticket: Ticket) -> tuple[Decision, Ticket | None]:
        """The plan, where what failed or was left is tried again because somebody asks for it by hand. The ticket is
        finished, and not returned, where that is not the operation that it asks for."""
        self._state.ask_again()
        if ticket.type == OperationType.REPAIR:
            self._state.unrepairable = []
        decision = plan(snapshot, self._state.memory(snapshot, workflow.now()))
        if decision.operation != ticket.type:
            self.finish(ticket, *(settle(ticket.type, decision) or (Outcome.NOTHING, "it is not what is needed")))
            return decision, None
        return decision, ticket

    def _settled(self, snapshot: AppSnapshot, decision: Decision, ticket: Ticket) -> tuple[Outcome, str] | None:
        if ticket.id in self._cancelled:
            return Outcome.CANCELLED, "cancelled before it began"
        if ticket.type in BY_REQUEST:
            ready = bool(snapshot.deployed_hash) or ticket.type == OperationType.FAILOVER
            return refuse_by_request(ticket.type, decision, deployed=ready)
        # Asking by hand means trying again what failed, so a remembered failure does not settle it.
        if decision.telling is not None and decision.telling.failed_operation == ticket.type:
            return None
        return settle(ticket.type, decision)
