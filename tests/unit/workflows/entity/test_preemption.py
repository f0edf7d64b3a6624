"""When an operation ends so that drift is repaired first, and when it goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.look import AppSnapshot, Evacuation
from api.operations import OperationState, OperationType
from workflows.entity.preemption import room_for
from workflows.entity.state import EntityState

GONE, EDITED = "nobody finds Service x", "what was set in Service x is missing"
"""What is missing is a fact of the look; nothing goes by the sentences."""
CALM = AppSnapshot(exists=True, uid="u", spec_hash="one")
NOW = datetime(2026, 11, 25, tzinfo=UTC)
NONE: frozenset[str] = frozenset()


class Entity:
    """With an operation that has said so of itself."""

    def __init__(self, waiting: str = "") -> None:
        self.state, self.waiting = EntityState(), waiting

    def room(self, newest: AppSnapshot, operation: str, before: frozenset[str]) -> tuple[str, frozenset[str]]:
        return room_for(newest, operation, before, self.state, self.waiting, NOW)


def entity(state: OperationState = OperationState.RUNNING) -> Entity:
    return Entity("" if state == OperationState.RUNNING else state)


def drifted(*sentences: str) -> AppSnapshot:
    return replace(CALM, drift=list(sentences), missing=[each for each in sentences if each == GONE])


def test_one_at_work_makes_room_for_what_stays_missing() -> None:
    """Its own steps put things away for a moment."""
    running = entity(OperationState.RUNNING)
    why, missing = running.room(drifted(GONE), OperationType.UPGRADE, NONE)
    assert (why, missing) == ("", frozenset({GONE}))
    why, missing = running.room(drifted(GONE), OperationType.UPGRADE, missing)
    assert why == f"{GONE}: a Repair goes first"


def test_what_was_back_at_the_second_look_was_no_drift() -> None:
    running = entity(OperationState.RUNNING)
    assert running.room(drifted(), OperationType.UPGRADE, frozenset({GONE})) == ("", NONE)


def test_one_at_work_is_not_ended_for_an_edit() -> None:
    running = entity(OperationState.RUNNING)
    assert running.room(drifted(EDITED), OperationType.UPGRADE, NONE) == ("", NONE)


@pytest.mark.parametrize("state", [OperationState.PAUSED, OperationState.STOPPED])
def test_one_that_waits_for_an_operator_makes_room_for_any_drift(state: OperationState) -> None:
    waiting = entity(state)
    why, _ = waiting.room(drifted(EDITED), OperationType.UPGRADE, NONE)
    assert why == f"{EDITED}: a Repair goes first"


@pytest.mark.parametrize("operation", [OperationType.UPGRADE_PLUGIN, OperationType.RECONFIGURE])
def test_what_is_half_moved_looks_like_drift_and_is_left(operation: OperationType) -> None:
    waiting = entity(OperationState.STOPPED)
    assert waiting.room(drifted(EDITED), operation, NONE) == ("", NONE)
    _, missing = waiting.room(drifted(EDITED, GONE), operation, NONE)
    why, _ = waiting.room(drifted(EDITED, GONE), operation, missing)
    assert why.startswith(GONE), "but what stays missing is missing"


def test_a_first_deploy_begins_again_for_what_stays_wrong_once_until_it_is_done_anew() -> None:
    state = EntityState()

    def look(before: frozenset[str]) -> tuple[str, frozenset[str]]:
        return room_for(drifted(EDITED), OperationType.DEPLOY, before, state, "", NOW, first=True)

    why, found = look(NONE)
    assert (why, found) == ("", frozenset({EDITED}))
    why, _ = look(found)
    assert why == f"{EDITED}: the Deploy begins again"
    assert state.put_back == EDITED
    assert look(look(NONE)[1])[0] == "", "it has not changed it, and would not the next time"
    state.drifted_anew(NOW)
    assert look(look(NONE)[1])[0]


ROTATE, MOVE = OperationType.ROTATE_CREDENTIALS, Evacuation("server", "x-0", "m1", "x-1", "machine m1 is cordoned")


@pytest.mark.parametrize(
    ("found", "first"),
    [({"drift": [EDITED]}, f"{EDITED}: a Repair"), ({"evacuations": [MOVE]}, f"{MOVE.message}: a Switchover")],
)
def test_a_rotation_makes_room_for_all_that_does_not_pass_by_itself(found: dict[str, Any], first: str) -> None:
    """It may let both passwords be valid for days, and goes on wherever it was ended."""
    newest = replace(CALM, **found)
    why, seen = entity().room(newest, ROTATE, NONE)
    assert (why, bool(seen)) == ("", True), "it is looked at again"
    assert entity().room(newest, ROTATE, seen)[0] == f"{first} goes first"
    assert entity().room(CALM, ROTATE, seen) == ("", NONE)
    assert entity().room(newest, OperationType.UPGRADE, seen)[0] == ""
    assert entity(OperationState.PAUSED).room(newest, ROTATE, NONE)[0] == f"{first} goes first", "at once"


def test_a_role_that_may_not_move_yet_is_looked_at_again_during_a_rotation() -> None:
    rotating, newest = entity(), replace(CALM, evacuations=[MOVE])
    rotating.state.move_node, rotating.state.move_retry_at = MOVE.node, (NOW + timedelta(minutes=1)).isoformat()
    assert rotating.room(newest, ROTATE, NONE) == ("", frozenset({MOVE.message}))
    assert rotating.room(newest, ROTATE, frozenset({MOVE.message})) == ("", frozenset({MOVE.message}))
    nobody = replace(newest, evacuations=[replace(MOVE, candidate="")])
    assert rotating.room(nobody, ROTATE, NONE) == ("", NONE), "there is nothing to wait for"


def test_a_delete_makes_room_for_nothing() -> None:
    assert entity(OperationState.STOPPED).room(drifted(GONE), OperationType.DELETE, frozenset({GONE})) == (
        "",
        NONE,
    )


def test_what_a_repair_has_left_is_no_reason_for_another() -> None:
    waiting = entity(OperationState.STOPPED)
    waiting.state.unrepairable = [EDITED]
    assert waiting.room(drifted(EDITED), OperationType.UPGRADE, NONE) == ("", NONE)
    why, _ = waiting.room(drifted(EDITED, GONE), OperationType.UPGRADE, NONE)
    assert why.startswith(GONE)
