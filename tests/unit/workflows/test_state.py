"""The entity's memory survives other versions of the platform."""

from __future__ import annotations

import json

from api.operations import OperationResult
from workflows.state import KEPT_RESULTS, EntityState, Ticket


def test_what_was_written_is_read_again() -> None:
    state = EntityState(sequence=7, notice=False, plugin="redis 1.0.0", failed_type="Deploy", unrepairable=["x"])
    state.queue.append(Ticket("ticket-1", "Deploy", "somebody", "because"))
    state.remember("ticket-0", OperationResult("Deploy", "completed", "done", "id"))
    assert EntityState.decode(json.loads(json.dumps(state.encode()))) == state


def test_other_versions_are_read_as_far_as_they_go() -> None:
    state = EntityState.decode(
        {
            "schema": 9,
            "sequence": 3,
            "from_the_future": {"a": 1},
            "failed_times": "not a number",
            "queue": [{"id": "t", "type": "Deploy", "priority": 1}, {"type": "no id"}, 5],
            "results": {"t": {"type": "Deploy", "outcome": "completed", "message": "m"}, "u": 5},
        }
    )
    assert state.sequence == 3
    assert state.failed_times == 0
    assert [ticket.id for ticket in state.queue] == ["t"]
    assert list(state.results) == ["t"]


def test_a_first_run_looks_at_once() -> None:
    assert EntityState.decode(None).notice


def test_only_the_last_results_are_kept() -> None:
    state = EntityState()
    for number in range(KEPT_RESULTS + 5):
        state.remember(f"ticket-{number}", OperationResult("Deploy", "completed", ""))
    assert len(state.results) == KEPT_RESULTS
    assert "ticket-4" not in state.results
