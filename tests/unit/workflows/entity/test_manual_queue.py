"""What becomes of operations that were asked for by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from api.look import AppSnapshot
from api.operations import OperationRequest, OperationResult, OperationType, Outcome
from workflows.entity.manual_queue import ManualQueue
from workflows.entity.planner import Decision, plan
from workflows.entity.state import EntityState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
APP = AppSnapshot(exists=True, uid="u", generation=2, spec_hash="two", deployed_hash="one", operation="Upgrade")
LEFT = "Service x was changed: metadata.labels"


@pytest.fixture(autouse=True)
def _as_in_a_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.entity.manual_queue.workflow.uuid4", uuid4)
    monkeypatch.setattr("workflows.entity.manual_queue.workflow.now", lambda: NOW)


def asked(tickets: ManualQueue, kind: str) -> str:
    return tickets.enqueue(OperationRequest(kind, f"somebody who wants a {kind}"))


def test_one_that_is_cancelled_while_it_waits_is_not_known_to_the_next_run() -> None:
    state = EntityState()
    tickets = ManualQueue(state)
    ticket = asked(tickets, OperationType.RESTART)
    assert tickets.cancel(ticket)
    after = EntityState.decode(state.encode())
    assert (after.queue, after.results[ticket].outcome) == ([], Outcome.CANCELLED)
    assert not tickets.cancel(ticket), "it has its answer"


def failed(kind: str = OperationType.UPGRADE) -> EntityState:
    state = EntityState(unrepairable=[LEFT])
    state.learn(APP, OperationResult(kind, Outcome.ABORTED, "by an operator"), NOW)
    return state


def taken(state: EntityState, kind: str, snapshot: AppSnapshot) -> tuple[Decision, str]:
    """The plan once somebody has asked for an operation by hand, and the ticket's outcome, empty while it has none."""
    tickets = ManualQueue(state)
    asked(tickets, kind)
    ticket = tickets.take(snapshot, plan(snapshot, state.memory(snapshot, NOW)))
    assert ticket is not None
    decision, left = tickets.asked_again(snapshot, ticket)
    result = state.results.get(ticket.id)
    assert (left is None) == (result is not None)
    return decision, result.outcome if result is not None else ""


def test_who_asks_for_other_passwords_while_they_are_half_changed_gets_these() -> None:
    """Not a second change behind the first."""
    half = replace(APP, operation=OperationType.ROTATE_CREDENTIALS, deployed_hash="two")
    tickets = ManualQueue(EntityState())
    asked(tickets, OperationType.ROTATE_CREDENTIALS)
    assert tickets.take(half, plan(half, EntityState().memory(half, NOW))) is not None
    asked(tickets, OperationType.ROTATE_CREDENTIALS)
    assert tickets.take(APP, plan(APP, EntityState().memory(APP, NOW))) is None, "the Upgrade goes first"


def test_what_failed_is_tried_again_whatever_a_repair_has_left() -> None:
    """It ran a Repair, called that the Upgrade, and never upgraded."""
    decision, outcome = taken(failed(), OperationType.UPGRADE, replace(APP, drift=[LEFT]))
    assert (decision.operation, outcome) == (OperationType.UPGRADE, "")


def test_a_repair_by_hand_tries_what_the_last_one_has_left() -> None:
    state = failed(OperationType.REPAIR)
    state.unrepairable = []
    snapshot = replace(APP, drift=[LEFT])
    decision, outcome = taken(state, OperationType.REPAIR, snapshot)
    assert (decision.operation, outcome) == (OperationType.REPAIR, "")
