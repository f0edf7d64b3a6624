"""What is done next, from what is wanted, what is there, and what failed before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.look import AppSnapshot
from api.operations import OperationType, Outcome, Suspicion
from workflows.entity.planner import Failure, Memory, Telling, interrupts, must_tell, plan, refuse_by_request, settle

NEW = AppSnapshot(exists=True, uid="u", generation=1, spec_hash="one")
DEPLOYED = replace(NEW, deployed_hash="one")
NOTHING = Memory()


@pytest.mark.parametrize(
    ("snapshot", "operation"),
    [
        (NEW, "Deploy"),
        (DEPLOYED, ""),
        (replace(DEPLOYED, spec_hash="two"), "Deploy"),
        (replace(DEPLOYED, drift=["Service x is missing"]), "Repair"),
        (replace(DEPLOYED, drift=["Service x is missing"], spec_hash="two"), "Repair"),
        (replace(DEPLOYED, spec_hash="two", operation="Scale"), "Scale"),
        (replace(DEPLOYED, drift=["Service x is missing"], spec_hash="two", operation="Scale"), "Repair"),
        (replace(NEW, deleting=True), "Delete"),
        (replace(NEW, deleting=True, refusal="spec.topology: none", paused=True), "Delete"),
        (replace(NEW, paused=True), ""),
        (replace(DEPLOYED, refusal="spec.topology: none", drift=["Service x is missing"]), ""),
    ],
)
def test_next_operation(snapshot: AppSnapshot, operation: str) -> None:
    assert plan(snapshot, NOTHING).operation == operation


def test_a_password_that_is_not_brought_about_is_told_when_nothing_else_is_to_do() -> None:
    refused = replace(DEPLOYED, credentials="password in Secret x is not brought about: it has a line break")
    told = plan(refused, NOTHING).telling
    assert told is not None
    assert (told.phase, told.accepted) == ("Waiting", True)
    assert "line break" in told.message
    assert plan(replace(refused, drift=["Service x is missing"]), NOTHING).operation == "Repair"


def test_before_the_first_deploy_has_completed_drift_is_its_own_to_put_back() -> None:
    drifted = replace(NEW, drift=["Service x is missing"])
    assert plan(drifted, NOTHING).operation == "Deploy"
    decision = plan(drifted, Memory(put_back="Service x is missing"))
    assert (decision.operation, decision.reason) == ("Deploy", "first deploy; Service x is missing")
    assert plan(drifted, Memory(Failure("Deploy", "one", "quota"))).operation == ""


def test_before_the_first_deploy_has_completed_a_lost_primary_is_replaced() -> None:
    assert plan(NEW, Memory(suspicion=Suspicion("server", "x-0", "lost"))).operation == "Failover"


def test_a_first_deploy_goes_on_though_a_failover_cannot_be_which_is_told() -> None:
    memory = Memory(failover="Failover failed: nobody can take over", failover_failed=True)
    decision = plan(NEW, memory)
    assert decision.operation == "Deploy"
    assert decision.telling is not None
    assert decision.telling.failed_operation == "Failover"
    stands = replace(memory, failure=Failure("Deploy", "one", "quota"))
    told = plan(NEW, stands).telling
    assert told is not None
    assert told.message == "Deploy failed: quota; Failover failed: nobody can take over"


def test_no_app_is_nothing_to_hold_on_to() -> None:
    assert plan(AppSnapshot(exists=False), NOTHING).gone


def test_a_refusal_is_told_with_its_reason() -> None:
    decision = plan(replace(DEPLOYED, refusal="spec.x: no", refusal_reason="InvalidSpec"), NOTHING)
    assert decision.telling == Telling("Refused", "spec.x: no", accepted=False, reason="InvalidSpec")


def test_what_failed_waits_until_it_is_due_or_the_spec_is_another() -> None:
    failure = Failure("Deploy", "one", "quota")
    waiting = plan(NEW, Memory(failure))
    assert waiting.operation == ""
    assert waiting.telling is not None
    assert waiting.telling.message == "Deploy failed: quota"
    assert plan(NEW, Memory(replace(failure, due=True))).operation == "Deploy"
    assert plan(replace(NEW, spec_hash="two"), Memory(failure)).operation == "Deploy"
    assert plan(replace(NEW, deleting=True), Memory(failure)).operation == "Delete"


def test_drift_that_a_repair_left_is_not_repaired_again() -> None:
    drifted = replace(DEPLOYED, drift=["a", "b"])
    assert plan(drifted, Memory(unrepairable=frozenset({"a", "b"}))).operation == ""
    decision = plan(drifted, Memory(unrepairable=frozenset({"a"})))
    assert (decision.operation, decision.reason) == ("Repair", "b")


def test_drift_that_a_repair_left_is_told_and_the_app_is_not_running_as_wanted() -> None:
    left = Memory(unrepairable=frozenset({"Service x: spec.selector differs", "b", "gone since"}))
    drifted = replace(DEPLOYED, drift=["Service x: spec.selector differs", "b"])
    told = plan(drifted, left).telling
    message = "Repair could not put back: Service x: spec.selector differs and 1 more"
    assert told == Telling("Waiting", message, failed_operation="Repair")
    assert plan(DEPLOYED, left).telling == Telling("Running", "")
    assert plan(replace(drifted, operation="Scale"), left).operation == "Scale", "the spec is carried out all the same"
    assert settle("Deploy", plan(drifted, left)) == (Outcome.NOTHING, message)


@pytest.mark.parametrize(
    ("snapshot", "interrupted"),
    [
        (NEW, False),
        (replace(NEW, generation=2), False),
        (replace(NEW, spec_hash="two"), True),
        (replace(NEW, deleting=True), True),
        (replace(NEW, paused=True), True),
        (replace(NEW, uid="other"), True),
        (AppSnapshot(exists=False), True),
    ],
)
def test_what_interrupts_a_deploy_interrupts_no_delete(snapshot: AppSnapshot, interrupted: bool) -> None:
    assert bool(interrupts(snapshot, OperationType.DEPLOY, "u", "one")) == interrupted
    assert interrupts(snapshot, OperationType.DELETE, "u", "one") == ""


@pytest.mark.parametrize(
    ("snapshot", "requested", "outcome"),
    [
        (NEW, "Deploy", None),
        (DEPLOYED, "Deploy", Outcome.NOTHING),
        (DEPLOYED, "Repair", Outcome.NOTHING),
        (replace(DEPLOYED, drift=["x"]), "Repair", None),
        (replace(DEPLOYED, drift=["x"]), "Deploy", Outcome.NOTHING),
        (replace(NEW, paused=True), "Deploy", Outcome.REFUSED),
        (replace(NEW, refusal="no"), "Deploy", Outcome.REFUSED),
        (NEW, "Delete", Outcome.REFUSED),
        (replace(NEW, deleting=True), "Delete", None),
        (AppSnapshot(exists=False), "Deploy", Outcome.REFUSED),
    ],
)
def test_by_hand_runs_only_what_is_needed(snapshot: AppSnapshot, requested: str, outcome: Outcome | None) -> None:
    settled = settle(requested, plan(snapshot, NOTHING))
    assert (settled[0] if settled else None) == outcome


def test_the_status_is_written_only_where_it_says_something_else() -> None:
    telling = Telling("Running", "")
    told = replace(DEPLOYED, told=telling.told(), told_generation=1)
    assert not must_tell(told, telling)
    assert must_tell(replace(told, generation=2), telling)
    assert must_tell(told, Telling("Paused", "paused"))


def test_the_order_of_what_is_done() -> None:
    """From the most to the least: each line removed, the next is what happens."""
    failure = Memory(Failure("Scale", "two", "quota"))
    snapshot = replace(
        DEPLOYED, spec_hash="two", operation="Scale", drift=["x"], paused=True, refusal="spec.x: no", deleting=True
    )
    assert plan(snapshot, failure).operation == "Delete"
    snapshot = replace(snapshot, deleting=False)
    refused = plan(snapshot, failure).telling
    assert refused is not None
    assert not refused.accepted
    snapshot = replace(snapshot, refusal="")
    paused = plan(snapshot, failure).telling
    assert paused is not None
    assert paused.paused
    snapshot = replace(snapshot, paused=False)
    assert plan(snapshot, failure).operation == "Repair"
    snapshot = replace(snapshot, drift=[])
    waiting = plan(snapshot, failure).telling
    assert waiting is not None
    assert waiting.failed_operation == "Scale"
    assert plan(snapshot, NOTHING).operation == "Scale"
    snapshot = replace(snapshot, operation="")
    assert plan(snapshot, NOTHING).operation == "Deploy"
    assert plan(replace(snapshot, deployed_hash="two"), NOTHING).telling == Telling("Running", "")


@pytest.mark.parametrize("how", ["was aborted", "was refused"])
def test_a_part_that_was_aborted_keeps_the_next_from_beginning(how: str) -> None:
    """Parts have an order: a Reconfigure may need what the Upgrade was to bring."""
    snapshot = replace(DEPLOYED, spec_hash="two", operation="Upgrade", change="1 to 2")
    decision = plan(snapshot, Memory(Failure("Upgrade", "two", "by an operator", how=how)))
    assert decision.telling is not None
    assert decision.telling.message == f"Upgrade {how}: by an operator"


def test_a_repair_that_failed_does_not_run_in_circles() -> None:
    drifted = replace(DEPLOYED, drift=["x"])
    decision = plan(drifted, Memory(repair=Failure("Repair", "one", "quota")))
    assert decision.operation == ""
    assert decision.telling is not None
    assert decision.telling.failed_operation == "Repair"


def test_the_reason_names_the_first_drift_and_how_many_more() -> None:
    assert plan(replace(DEPLOYED, drift=["a is missing"]), NOTHING).reason == "a is missing"
    assert plan(replace(DEPLOYED, drift=["a is missing", "b", "c"]), NOTHING).reason == "a is missing and 2 more"


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (AppSnapshot(exists=False), "apply it first"),
        (replace(DEPLOYED, paused=True), "spec.paused is false"),
        (replace(DEPLOYED, refusal="spec.x: no such thing"), "spec.x: no such thing"),
        (replace(DEPLOYED, deleting=True), "being deleted"),
        (NEW, "first Deploy has not completed"),
    ],
)
def test_why_an_operation_by_request_cannot_run(snapshot: AppSnapshot, words: str) -> None:
    refused = refuse_by_request(OperationType.RESTART, plan(snapshot, NOTHING), deployed=bool(snapshot.deployed_hash))
    assert refused is not None
    assert refused[0] == Outcome.REFUSED
    assert words in refused[1]


@pytest.mark.parametrize("failure", [None, Failure("Upgrade", "one", "quota"), Failure("Repair", "one", "quota")])
def test_an_operation_by_request_runs_also_where_another_failed(failure: Failure | None) -> None:
    """A Restart is what an operator may cure it with."""
    for snapshot in (DEPLOYED, replace(DEPLOYED, drift=["x"]), replace(DEPLOYED, operation="Upgrade")):
        assert refuse_by_request(OperationType.RESTART, plan(snapshot, Memory(failure)), deployed=True) is None


def test_a_plugin_half_moved_is_repaired_for_what_the_look_calls_missing_whatever_the_words() -> None:
    """Files of both versions look like drift; a Repair would move them one way or the other."""
    moving = OperationType.UPGRADE_PLUGIN
    drift = ["the label of ConfigMap x is missing", "nobody finds Service y"]
    looked = replace(DEPLOYED, operation=moving, drift=drift)
    assert plan(looked, Memory(halfway=moving)).operation == moving
    assert plan(replace(looked, missing=drift[1:]), Memory(halfway=moving)).reason == drift[1]
