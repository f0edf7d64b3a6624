"""Which of an operator's words are taken, and that each refusal says what would do."""

from __future__ import annotations

import pytest

from api.operations import OperationState, Verb
from workflows.entity.control_rules import SAID, refuse_verb

UPGRADE = "one/app/demo/x/uid/Upgrade/7"
DELETE = "one/app/demo/x/uid/Delete/8"


@pytest.mark.parametrize(
    ("verb", "states"),
    [
        (Verb.PAUSE, {OperationState.RUNNING}),
        (Verb.RESUME, {OperationState.PAUSED}),
        (Verb.RETRY, {OperationState.STOPPED}),
        (Verb.SKIP, {OperationState.STOPPED}),
        (Verb.ABORT, {OperationState.RUNNING, OperationState.PAUSED, OperationState.STOPPED}),
    ],
)
def test_a_word_is_taken_where_it_means_something(verb: Verb, states: set[OperationState]) -> None:
    taken = {state for state in OperationState if not refuse_verb(verb, UPGRADE, state, failed=False)}
    assert taken == states


@pytest.mark.parametrize("verb", list(Verb))
def test_each_word_that_is_taken_is_answered(verb: Verb) -> None:
    assert SAID[verb]


def test_an_unknown_word_is_answered_with_those_that_there_are() -> None:
    answer = refuse_verb("hurry", UPGRADE, OperationState.RUNNING, failed=False)
    assert "'hurry'" in answer
    assert all(str(verb) in answer for verb in Verb)


@pytest.mark.parametrize("verb", list(Verb))
def test_a_deletion_is_not_held_up(verb: Verb) -> None:
    for state in OperationState:
        assert "deletion" in refuse_verb(verb, DELETE, state, failed=False)


def test_an_app_named_like_an_operation_can_be_paused() -> None:
    assert not refuse_verb(Verb.PAUSE, "one/app/demo/delete/uid/Upgrade/7", OperationState.RUNNING, failed=False)


def test_a_pause_that_was_not_reached_yet_can_be_taken_back() -> None:
    assert refuse_verb(Verb.RESUME, UPGRADE, OperationState.RUNNING, failed=False)
    assert not refuse_verb(Verb.RESUME, UPGRADE, OperationState.RUNNING, failed=False, pausing=True)


def test_a_stopped_operation_is_not_resumed_and_the_answer_says_how_it_goes_on() -> None:
    answer = refuse_verb(Verb.RESUME, UPGRADE, OperationState.STOPPED, failed=False)
    assert "stopped, not paused" in answer
    assert "retry, skip or abort" in answer


@pytest.mark.parametrize("verb", list(Verb))
def test_where_nothing_runs_only_what_failed_can_be_begun_again(verb: Verb) -> None:
    assert "no operation runs" in refuse_verb(verb, "", "", failed=False)
    answer = refuse_verb(verb, "", "", failed=True)
    assert (answer == "") == (verb == Verb.RETRY)
    assert verb == Verb.RETRY or "retry begins the one that failed" in answer


@pytest.mark.parametrize("verb", list(Verb))
def test_a_word_to_an_operation_that_is_being_ended_would_be_lost(verb: Verb) -> None:
    why = "a newer spec arrived (generation 3)"
    refusals = [refuse_verb(verb, UPGRADE, state, failed=True, ending=why) for state in OperationState]
    assert all(refusal.startswith(f"the operation is ending ({why}); say it to the one") for refusal in refusals)
