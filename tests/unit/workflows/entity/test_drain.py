"""What the entity does about nodes on cordoned machines, and what it says where it can do nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.look import AppSnapshot, Evacuation
from api.operations import Notice, NoticeKind, OperationResult, OperationType, Outcome
from workflows.entity.drain import LONGEST_PAUSE, heard, learn_move, next_move, with_word
from workflows.entity.planner import Telling
from workflows.entity.state import EntityState

NOW = datetime(2025, 1, 1, tzinfo=UTC)
MOVABLE = Evacuation("server", "x-0", "m1", "x-1", "machine m1 is cordoned: x-0 is master")
FIXED = Evacuation("server", "x-0", "m1", message="machine m1 is cordoned: x-0 is master and stays there")
SNAPSHOT = AppSnapshot(exists=True, uid="u", generation=1, spec_hash="one", deployed_hash="one", evacuations=[MOVABLE])
SETTLED = Telling("Running", "")


def ended(outcome: Outcome, message: str = "it does not catch up") -> OperationResult:
    return OperationResult(OperationType.SWITCHOVER, outcome, message)


def failing(times: int = 1, outcome: Outcome = Outcome.FAILED) -> EntityState:
    state = EntityState()
    for _ in range(times):
        learn_move(state, SNAPSHOT, "x-0", ended(outcome), NOW)
    return state


def moves(snapshot: AppSnapshot, state: EntityState, after: timedelta = timedelta()) -> str:
    decision = next_move(snapshot, state, NOW + after)
    return decision.scope.node if decision is not None else ""


def test_the_role_is_moved_away_from_that_node() -> None:
    decision = next_move(SNAPSHOT, EntityState(), NOW)
    assert decision is not None
    assert (decision.operation, decision.reason) == ("Switchover", MOVABLE.message)
    assert (decision.scope.component, decision.scope.node, decision.scope.candidate) == ("server", "x-0", "")


def test_it_goes_before_drift_and_a_newer_spec() -> None:
    """A Repair may wait for a Pod that finds no machine until the drain is over."""
    assert moves(replace(SNAPSHOT, drift=["Service x is missing"], spec_hash="two", operation="Upgrade"), EntityState())


@pytest.mark.parametrize(
    "changes",
    [{"exists": False}, {"deleting": True}, {"paused": True}, {"refusal": "spec.x: no"}, {"evacuations": [FIXED]}],
)
def test_when_nothing_is_moved(changes: dict[str, object]) -> None:
    assert moves(replace(SNAPSHOT, **changes), EntityState()) == ""  # type: ignore[arg-type]


def test_a_failure_is_tried_again_later_and_ever_later() -> None:
    state = failing()
    assert moves(SNAPSHOT, state, timedelta(seconds=14)) == ""
    assert moves(SNAPSHOT, state, timedelta(seconds=15)) == "x-0"
    state = failing(3)
    assert moves(SNAPSHOT, state, timedelta(seconds=59)) == ""
    assert moves(SNAPSHOT, state, timedelta(seconds=60)) == "x-0"
    assert moves(SNAPSHOT, failing(50), LONGEST_PAUSE) == "x-0"


def test_nothing_to_do_is_no_success_where_the_label_still_says_otherwise() -> None:
    """Without a watcher labels lag: asking the engines without a pause would be a loop."""
    assert moves(SNAPSHOT, failing(outcome=Outcome.NOTHING)) == ""


def test_what_an_operator_aborts_does_not_come_back_at_once() -> None:
    state = failing(outcome=Outcome.ABORTED)
    assert moves(SNAPSHOT, state, timedelta(minutes=59)) == ""
    assert moves(SNAPSHOT, state, timedelta(hours=1)) == "x-0"


def test_news_of_the_machine_or_a_person_that_asks_end_the_pause() -> None:
    state = failing(outcome=Outcome.ABORTED)
    heard(state, Notice(NoticeKind.DRIFT, "Service x was deleted, or lost its labels"))
    assert moves(SNAPSHOT, state) == ""
    heard(state, Notice(NoticeKind.SPEC, "generation 3; x-0 is on machine m1, which is cordoned"))
    assert moves(SNAPSHOT, state) == "x-0"
    state = failing()
    state.ask_again()
    assert moves(SNAPSHOT, state) == "x-0"


def test_one_that_fails_does_not_keep_another_from_moving() -> None:
    other = replace(MOVABLE, component="other", node="y-0")
    assert moves(replace(SNAPSHOT, evacuations=[MOVABLE, other]), failing()) == "y-0"


def test_success_forgets_and_an_interruption_changes_nothing() -> None:
    state = failing(2)
    before = state.encode()
    learn_move(state, SNAPSHOT, "x-0", ended(Outcome.CANCELLED), NOW)
    learn_move(state, SNAPSHOT, "x-0", OperationResult(OperationType.UPGRADE, Outcome.FAILED, "no image"), NOW)
    learn_move(state, SNAPSHOT, "", ended(Outcome.FAILED), NOW)
    assert state.encode() == before
    learn_move(state, SNAPSHOT, "x-0", ended(Outcome.COMPLETED), NOW)
    assert state == EntityState()


def test_the_entity_wakes_when_it_is_due() -> None:
    state = failing()
    assert state.until_retry(NOW, NOW) == timedelta(seconds=15)
    state.retry_at = (NOW + timedelta(seconds=5)).isoformat()
    assert state.until_retry(NOW, NOW) == timedelta(seconds=5)
    assert state.until_retry(NOW + timedelta(minutes=1), NOW) == timedelta(seconds=1)
    assert EntityState().until_retry(NOW, NOW) > timedelta(minutes=5)


def test_what_is_due_and_cannot_be_is_not_looked_at_all_the_time() -> None:
    """An App that was paused after a failure was looked at every second, all its engines asked each time."""
    state = failing()
    later = NOW + timedelta(minutes=1)
    assert state.until_retry(later, later) > timedelta(minutes=5)


def test_what_a_drain_cannot_take_away_is_told() -> None:
    said = with_word(SETTLED, replace(SNAPSHOT, evacuations=[FIXED]), EntityState(), NOW)
    assert said.message == FIXED.message
    assert said.cordoned == FIXED.message
    assert with_word(SETTLED, replace(SNAPSHOT, evacuations=[]), EntityState(), NOW) == SETTLED


def test_it_is_told_why_a_role_that_could_be_moved_is_not() -> None:
    failed = with_word(SETTLED, SNAPSHOT, failing(), NOW)
    assert failed.cordoned == f"{MOVABLE.message}, and could not be relieved yet: it does not catch up"
    paused = with_word(Telling("Paused", "paused", paused=True), replace(SNAPSHOT, paused=True), EntityState(), NOW)
    assert paused.message == f"paused; {MOVABLE.message}, and stays so while the App is paused"


def test_that_a_node_refuses_writes_is_left_to_whoever_sees_when_it_ends() -> None:
    """The App's message had the sentence twice while it was so, and behind "as wanted" when it was not any more."""
    refuses = Evacuation("server", "x-0", "", "x-1", "x-0 is master and refuses writes: MISCONF")
    both = replace(SNAPSHOT, evacuations=[refuses, FIXED])
    assert with_word(SETTLED, replace(SNAPSHOT, evacuations=[refuses]), EntityState(), NOW) == SETTLED
    told = with_word(SETTLED, both, failing(), NOW)
    why = "the Switchover away from x-0 failed: it does not catch up"
    assert (told.message, told.cordoned) == (f"{FIXED.message}; {why}", FIXED.message)
    paused = Telling("Paused", "paused", paused=True)
    assert with_word(paused, replace(SNAPSHOT, paused=True, evacuations=[refuses]), failing(), NOW) == paused


REFUSES = Evacuation("server", "x-0", "", "x-1", "x-0 is master and refuses writes: MISCONF")
MINUTE = timedelta(minutes=1)


def relieved(state: EntityState, at: datetime) -> EntityState:
    learn_move(state, replace(SNAPSHOT, evacuations=[REFUSES]), "x-0", ended(Outcome.COMPLETED), at)
    return state


def test_where_no_node_can_save_the_role_does_not_go_to_and_fro() -> None:
    refuses = replace(
        SNAPSHOT, evacuations=[Evacuation("server", "x-1", "", "x-0", "x-1 is master and refuses writes")]
    )
    assert moves(refuses, EntityState()) == "x-1"
    state = relieved(EntityState(), NOW)
    assert moves(refuses, state, MINUTE - timedelta(seconds=1)) == ""
    assert moves(refuses, state, MINUTE) == "x-1"
    assert state.until_retry(NOW, NOW) == MINUTE, "it looks again then"
    told = with_word(SETTLED, refuses, state, NOW)
    assert told.message == (
        "x-1 has its role since another node took no writes either, and is not relieved before 00:01:00 UTC"
    )
    relieved(state, NOW + MINUTE)
    assert moves(refuses, state, 3 * MINUTE - timedelta(seconds=1)) == "", "ever longer"
    assert moves(refuses, state, 3 * MINUTE) == "x-1"
    for _ in range(20):
        relieved(state, datetime.fromisoformat(state.reliefs["server"].until))
    assert state.until_retry(last := datetime.fromisoformat(state.reliefs["server"].until) - MINUTE, last) == MINUTE
    relieved(state, NOW + timedelta(days=3))
    assert moves(refuses, state, timedelta(days=3) + MINUTE) == "x-1", "another trouble"


def test_the_apps_cool_down_counts_for_it_and_a_drain_does_not_wait() -> None:
    state = EntityState()
    state.failovers.cool_down = 600
    relieved(state, NOW)
    refuses = replace(SNAPSHOT, evacuations=[REFUSES])
    assert moves(refuses, state, 9 * MINUTE) == ""
    assert moves(refuses, state, 10 * MINUTE) == "x-0"
    assert moves(SNAPSHOT, state) == "x-0", "its machine is to be emptied"
    assert moves(replace(refuses, evacuations=[replace(REFUSES, component="other")]), state) == "x-0"


def test_the_memory_survives_from_one_run_to_the_next() -> None:
    state = relieved(failing(2), NOW)
    learn_move(state, SNAPSHOT, "x-0", ended(Outcome.FAILED), NOW)
    assert EntityState.decode(state.encode()) == state
    assert EntityState.decode({"reliefs": {"server": {"until": "soon", "times": 1}, "x": 1}}) == EntityState()
