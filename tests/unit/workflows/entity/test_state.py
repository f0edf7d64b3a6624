"""The entity's memory survives other versions of the platform."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.look import AppSnapshot, Evacuation
from api.operations import OperationResult, OperationType, Outcome, Scope
from workflows.entity.planner import plan
from workflows.entity.start_operation import shortened
from workflows.entity.state import FIRST_RETRY, KEPT_RESULTS, LONGEST_RETRY, LOST_EVERY, EntityState, Ticket

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
APP = AppSnapshot(exists=True, uid="u", generation=2, spec_hash="two", deployed_hash="one", operation="Upgrade")


LOST = replace(APP, drift=["Secret x-credentials is missing"], missing=["Secret x-credentials is missing"], lost=True)


def after(*ends: tuple[str, str], state: EntityState | None = None, snapshot: AppSnapshot = APP) -> EntityState:
    """What the entity remembers after operations (type, outcome), all at once."""
    state = state or EntityState(notice=False)
    for kind, outcome in ends:
        state.learn(snapshot, OperationResult(kind, outcome, "because"), NOW)
    return state


def following(state: EntityState, *, minutes: float = 0, snapshot: AppSnapshot = APP) -> str:
    """The operation that it begins by itself then."""
    now = NOW + timedelta(minutes=minutes)
    return plan(snapshot, state.memory(snapshot, now)).operation


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


def test_an_abort_holds_for_the_spec_that_it_was_said_of() -> None:
    state = EntityState()
    state.interrupted(APP, OperationType.UPGRADE, paused=False, aborted=True)
    assert EntityState.decode(json.loads(json.dumps(state.encode()))).goes_back(OperationType.UPGRADE, APP)
    assert not state.goes_back(OperationType.RESIZE, APP)
    assert not state.goes_back(OperationType.UPGRADE, replace(APP, spec_hash="three"))
    assert not state.goes_back(OperationType.UPGRADE, replace(APP, uid="of another App of the name"))


def test_a_first_run_looks_at_once() -> None:
    assert EntityState.decode(None).notice


def test_only_the_last_results_are_kept() -> None:
    state = EntityState()
    for number in range(KEPT_RESULTS + 5):
        state.remember(f"ticket-{number}", OperationResult("Deploy", "completed", ""))
    assert len(state.results) == KEPT_RESULTS
    assert "ticket-4" not in state.results


def test_what_an_operation_is_about_outlives_continuing_as_new() -> None:
    scope = Scope(component="server", node="x-server-data-1", candidate="x-server-data-0")
    state = EntityState(queue=[Ticket("ticket-1", "Restart", "somebody", "", scope)])
    (ticket,) = EntityState.decode(json.loads(json.dumps(state.encode()))).queue
    assert ticket.scope == scope


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, Scope()),
        ("text", Scope()),
        ({"node": "x", "from_the_future": True}, Scope(node="x")),
        ({"group": 5}, Scope(group="5")),
    ],
)
def test_a_scope_of_another_version_is_read_as_far_as_it_goes(written: object, read: Scope) -> None:
    state = EntityState.decode({"queue": [{"id": "t", "type": "Restart", "scope": written}]})
    assert state.queue[0].scope == read


# What the end of an operation means


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("kind", list(OperationType))
def test_a_notice_that_arrived_meanwhile_is_never_lost(kind: OperationType, outcome: Outcome) -> None:
    for snapshot in (APP, replace(APP, operation=""), replace(APP, operation="", deployed_hash="two")):
        assert after((kind, outcome), state=EntityState(notice=True), snapshot=snapshot).notice


@pytest.mark.parametrize("kind", ["UpgradePlugin", "Scale", "Upgrade", "Resize", "Reconfigure", "Restart"])
def test_one_part_being_done_the_next_is_looked_for_at_once(kind: str) -> None:
    assert after((kind, Outcome.COMPLETED)).notice


def test_after_a_repair_a_newer_spec_is_looked_at_at_once() -> None:
    assert after(("Repair", Outcome.COMPLETED)).notice


def test_after_the_last_part_there_is_nothing_to_look_at() -> None:
    assert not after(("Deploy", Outcome.COMPLETED), snapshot=replace(APP, operation="", deployed_hash="two")).notice


def test_a_node_that_a_person_left_out_stays_left_out() -> None:
    state = EntityState()
    state.learn(APP, OperationResult("Upgrade", Outcome.COMPLETED, "but x-1", skipped=["x-1"]), NOW)
    assert following(state, minutes=24 * 60) == ""
    assert following(state, snapshot=replace(APP, spec_hash="three")) == "Upgrade"


@pytest.mark.parametrize("kind", ["Restart", "Switchover", "RotateCredentials"])
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED, Outcome.ABORTED])
def test_what_was_only_asked_for_keeps_nothing_from_being_done(kind: str, outcome: str) -> None:
    state = after((kind, outcome))
    assert following(state) == "Upgrade"
    assert not state.retry_at


ROTATING = replace(APP, operation="RotateCredentials", deployed_hash="two")


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.ABORTED])
def test_a_change_of_passwords_that_cannot_go_on_is_not_begun_again_and_again(outcome: str) -> None:
    state = after(("RotateCredentials", outcome), snapshot=ROTATING)
    assert following(state, minutes=24 * 60, snapshot=ROTATING) == ""
    assert following(state, snapshot=replace(ROTATING, operation="")) == "", "the Secret is as before"
    assert following(state, snapshot=ROTATING) == "RotateCredentials", "somebody has edited it once more"


def test_a_change_of_passwords_that_failed_is_tried_again_after_a_while() -> None:
    state = after(("RotateCredentials", Outcome.FAILED), snapshot=ROTATING)
    assert following(state, minutes=4, snapshot=ROTATING) == ""
    assert following(state, minutes=6, snapshot=ROTATING) == "RotateCredentials"


@pytest.mark.parametrize("kind", ["Restart", "Switchover", "RotateCredentials"])
@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.FAILED])
def test_what_was_only_asked_for_begins_nothing_that_was_aborted(kind: str, outcome: str) -> None:
    assert following(after(("Upgrade", Outcome.ABORTED), (kind, outcome))) == ""


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.ABORTED])
def test_what_was_refused_or_aborted_waits_for_another_spec(outcome: str) -> None:
    state = after(("Upgrade", outcome))
    assert following(state, minutes=24 * 60) == ""
    assert following(state, snapshot=replace(APP, spec_hash="three")) == "Upgrade"
    assert following(state) == "Upgrade", "the spec was changed and changed back: that asks for it too"


def test_what_failed_is_tried_again_after_growing_pauses() -> None:
    state, pauses = EntityState(), []
    for _ in range(8):
        after(("Upgrade", Outcome.FAILED), state=state)
        pauses.append(datetime.fromisoformat(state.retry_at) - NOW)
        assert following(state, minutes=pauses[-1].total_seconds() / 60 - 0.1) == ""
        assert following(state, minutes=pauses[-1].total_seconds() / 60) == "Upgrade"
    assert pauses[:3] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_RETRY
    after(("Upgrade", Outcome.COMPLETED), state=state)
    assert (state.failed_type, state.failed_times, state.retry_at) == ("", 0, "")


def test_another_spec_begins_with_the_first_pause_again() -> None:
    state = after(*[("Upgrade", Outcome.FAILED)] * 3)
    newer = replace(APP, spec_hash="three")
    assert following(state, snapshot=newer) == "Upgrade"
    after(("Upgrade", Outcome.FAILED), state=state, snapshot=newer)
    assert datetime.fromisoformat(state.retry_at) == NOW + FIRST_RETRY


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED, Outcome.ABORTED])
def test_a_repair_meanwhile_does_not_begin_again_what_failed_or_was_aborted(outcome: str) -> None:
    state = after(("Upgrade", outcome))
    drifted = replace(APP, drift=["Service x is missing"])
    assert following(state, snapshot=drifted) == "Repair"
    after(("Repair", Outcome.COMPLETED), state=state, snapshot=drifted)
    assert following(state) == ""


@pytest.mark.parametrize(
    ("outcome", "then"), [(Outcome.FAILED, "Repair"), (Outcome.REFUSED, "Repair"), (Outcome.ABORTED, "")]
)
def test_new_drift_does_not_wait_for_the_retry_of_a_repair_that_failed(outcome: str, then: str) -> None:
    """A deleted Group was put back after five minutes, because a Service could not be."""
    state = after(("Repair", outcome), snapshot=replace(APP, drift=["Service x is missing"]))
    both = replace(APP, drift=["Service x is missing", "Group y is missing"])
    assert following(state, snapshot=both) == ""
    state.drifted_anew(NOW)
    assert following(state, snapshot=both) == then
    after(("Repair", outcome), state=state, snapshot=both)
    state.drifted_anew(NOW)
    assert (following(state, snapshot=both), state.anew) == ("", True), "not without a pause"


@pytest.mark.parametrize("minutes", [4, 6, 600])
def test_an_aborted_repair_does_not_begin_again_by_itself(minutes: int) -> None:
    """It did after five minutes, and the status said that it had failed."""
    drifted = replace(APP, drift=["Service x is missing"])
    state = after(("Repair", Outcome.ABORTED), snapshot=drifted)
    telling = plan(drifted, state.memory(drifted, NOW + timedelta(minutes=minutes))).telling
    assert telling is not None
    assert telling.message == "Repair was aborted: because"
    assert state.waits_for_somebody, "retry begins it again"
    state.ask_again()
    assert following(state, minutes=minutes, snapshot=drifted) == "Repair"


def test_an_aborted_repair_begins_again_for_another_spec() -> None:
    drifted = replace(APP, drift=["Service x is missing"])
    state = after(("Repair", Outcome.ABORTED), snapshot=drifted)
    assert following(state, snapshot=replace(drifted, spec_hash="three")) == "Repair"


def test_a_repair_that_succeeds_makes_up_for_one_that_failed() -> None:
    drifted = replace(APP, drift=["Service x is missing"])
    state = after(("Repair", Outcome.FAILED), snapshot=drifted)
    assert following(state, snapshot=drifted) == ""
    assert following(state, minutes=5, snapshot=drifted) == "Repair"
    after(("Repair", Outcome.COMPLETED), state=state, snapshot=drifted)
    assert following(state) == "Upgrade"


def test_drift_that_a_repair_left_is_repaired_once_until_it_was_gone_for_a_while() -> None:
    drifted = replace(APP, operation="", deployed_hash="two", drift=["a"])
    state = after(("Repair", Outcome.COMPLETED), snapshot=drifted)
    assert following(state, snapshot=drifted) == ""
    assert following(state, snapshot=replace(drifted, drift=["a", "b"])) == "Repair"
    assert following(state, snapshot=replace(drifted, drift=[])) == ""
    assert following(state, snapshot=drifted) == "Repair"


def test_how_it_ended_is_told() -> None:
    for outcome, words in (("failed", "failed"), ("refused", "was refused"), ("aborted", "was aborted")):
        telling = plan(APP, after(("Upgrade", outcome)).memory(APP, NOW)).telling
        assert telling is not None
        assert telling.message == f"Upgrade {words}: because"


@given(st.lists(st.tuples(st.sampled_from(list(OperationType)), st.sampled_from(list(Outcome))), max_size=6))
def test_the_memory_survives_continuing_as_new_at_any_time(ends: list[tuple[str, str]]) -> None:
    state = after(*ends)
    assert EntityState.decode(json.loads(json.dumps(state.encode()))) == state


def test_a_failed_repair_does_not_make_an_aborted_operation_begin_again() -> None:
    drifted = replace(APP, drift=["Service x is missing"])
    state = after(("Upgrade", Outcome.ABORTED))
    after(("Repair", Outcome.FAILED), state=state, snapshot=drifted)
    after(("Repair", Outcome.COMPLETED), state=state, snapshot=drifted)
    assert following(state, minutes=60) == ""


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("by-hand/demo/x/Switchover/20261128T080000.0", "asked for by hand (mw switchover)"),
        ("my-own-run", "asked for by my-own-run: mw switchover"),
    ],
)
def test_who_asked_is_told_by_what_a_person_knows(run: str, said: str) -> None:
    assert Ticket("t", "Switchover", run, "mw switchover").wish == said


def test_a_summary_that_is_too_long_ends_at_a_word_and_shows_it() -> None:
    short = shortened("word " * 60)
    assert len(short) <= 200
    assert short.endswith("word…")
    assert shortened("as it is") == "as it is"


def test_an_abort_that_had_to_be_completed_leaves_nothing_to_wait_for() -> None:
    whole = replace(APP, operation="", deployed_hash=APP.spec_hash)
    telling = plan(whole, after(("Upgrade", Outcome.ABORTED)).memory(whole, NOW)).telling
    assert telling is not None
    assert (telling.phase, telling.message) == ("Running", "")
    back = plan(APP, after(("Upgrade", Outcome.ABORTED)).memory(APP, NOW)).telling
    assert back is not None
    assert back.phase == "Waiting"


def test_a_refusal_says_what_it_left_halfway_until_that_has_ended() -> None:
    refused = replace(APP, refusal="spec.topology: none", refusal_reason="InvalidSpec")
    state = after(("Upgrade", Outcome.CANCELLED))
    said = "the Upgrade that ran stopped where it was and goes on afterwards"
    for snapshot, before in (
        (refused, "spec.topology: none"),
        (replace(APP, paused=True), "paused: nothing is changed until spec.paused is false"),
    ):
        telling = plan(snapshot, state.memory(snapshot, NOW)).telling
        assert telling is not None
        assert telling.message == f"{before}; {said}"
    after(("Upgrade", Outcome.COMPLETED), state=state)
    telling = plan(refused, state.memory(refused, NOW)).telling
    assert telling is not None
    assert telling.message == "spec.topology: none"


def test_a_spec_that_is_as_what_runs_again_leaves_nothing_halfway() -> None:
    state = after(("Scale", Outcome.CANCELLED))
    state.memory(replace(APP, operation="", deployed_hash=APP.spec_hash), NOW)
    assert state.halfway == ""


WHOLE = replace(APP, operation="", deployed_hash=APP.spec_hash)
CORDONED = Evacuation("server", "x-0", "machine", "x-1", "x-0 is on a machine that is emptied")


@pytest.mark.parametrize(
    ("kind", "snapshot", "kept"),
    [
        ("Repair", WHOLE, False),
        ("Repair", APP, False),
        ("Repair", replace(WHOLE, drift=["Service x is missing"]), True),
        ("Switchover", WHOLE, False),
        ("Switchover", replace(WHOLE, evacuations=[CORDONED]), True),
        ("Upgrade", APP, True),
        ("Upgrade", WHOLE, False),
        ("Deploy", replace(APP, operation="", deployed_hash=""), True),
        ("Repair", replace(WHOLE, refusal="spec.topology: none"), True),  # nobody has looked for drift
    ],
)
def test_what_was_said_holds_while_something_calls_for_the_operation(
    kind: str, snapshot: AppSnapshot, kept: bool
) -> None:
    state = EntityState()
    state.interrupted(snapshot, kind, paused=True, aborted=True)
    state.memory(snapshot, NOW)
    assert (state.paused_type == kind, state.goes_back(kind, snapshot)) == (kept, kept)


@pytest.mark.parametrize("failed", [OperationType.UPGRADE, OperationType.REPAIR])
def test_what_failed_without_a_lost_secret_begins_again_when_that_is_back(failed: OperationType) -> None:
    """It was looked for again after five minutes, and each further failure doubled that."""
    state = after((failed, Outcome.FAILED), (failed, Outcome.FAILED), (failed, Outcome.FAILED))
    assert following(state, snapshot=LOST) in ("", OperationType.REPAIR)
    assert state.until_retry(NOW, NOW) == LOST_EVERY, "no watch tells it"
    assert EntityState.decode(state.encode()).lost
    assert following(state, minutes=0.25, snapshot=LOST) in ("", OperationType.REPAIR)
    assert following(state, minutes=0.5) == "Upgrade"
    assert state.until_retry(NOW, NOW) > LOST_EVERY


def test_not_what_an_operator_has_ended() -> None:
    state = after((OperationType.UPGRADE, Outcome.ABORTED))
    following(state, snapshot=LOST)
    assert following(state) == ""
