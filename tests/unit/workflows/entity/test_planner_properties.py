"""What holds of the planner whatever an App looks like and whatever has failed before."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from api.look import AppSnapshot
from api.operations import OperationType, Suspicion
from workflows.entity.planner import Failure, Memory, interrupts, must_tell, plan

HASHES = st.sampled_from(["", "one", "two"])
PARTS = st.sampled_from(["", *(t.value for t in OperationType if t.value not in ("Delete", "Failover", "Repair"))])
DRIFT = st.lists(st.sampled_from(["Service x is missing", "Deployment y was changed"]), unique=True, max_size=2)
SNAPSHOTS = st.builds(
    AppSnapshot,
    exists=st.booleans(),
    uid=st.sampled_from(["u", "v"]),
    generation=st.integers(1, 3),
    deleting=st.booleans(),
    paused=st.booleans(),
    spec_hash=st.sampled_from(["one", "two"]),
    deployed_hash=HASHES,
    refusal=st.sampled_from(["", "spec.topology: none"]),
    operation=PARTS,
    change=st.just("what differs"),
    drift=DRIFT,
)
MEMORIES = st.builds(
    Memory,
    failure=st.none()
    | st.builds(
        Failure,
        st.sampled_from(list(OperationType)),
        HASHES,
        st.just("because"),
        due=st.booleans(),
        how=st.sampled_from(["failed", "was refused", "was aborted"]),
    ),
    unrepairable=DRIFT.map(frozenset),
    repair=st.sampled_from([None, Failure("Repair", "one", "no quota")]),
    suspicion=st.none() | st.just(Suspicion("server", "x-0", "x-0 is dead")),
    failover=st.sampled_from(["", "nobody can take over"]),
    halfway=PARTS,
)


@given(SNAPSHOTS, MEMORIES)
def test_it_decides_one_thing_and_says_why(snapshot: AppSnapshot, memory: Memory) -> None:
    decision = plan(snapshot, memory)
    assert [decision.gone, bool(decision.operation), decision.telling is not None].count(True) == 1
    if decision.operation:
        assert decision.reason
    if decision.telling is not None:
        assert decision.telling.message


@given(SNAPSHOTS, MEMORIES)
def test_a_deleted_app_is_only_ever_deleted(snapshot: AppSnapshot, memory: Memory) -> None:
    deleted = replace(snapshot, exists=True, deleting=True)
    assert plan(deleted, memory).operation == OperationType.DELETE


@given(SNAPSHOTS, MEMORIES)
def test_a_paused_app_and_a_refused_spec_touch_nothing_but_a_lost_primary(
    snapshot: AppSnapshot, memory: Memory
) -> None:
    here = replace(snapshot, exists=True, deleting=False)
    assert plan(replace(here, paused=True), memory).operation == ""
    refused = plan(replace(here, refusal="spec.topology: none"), memory).operation
    assert refused in ("", OperationType.FAILOVER)


@given(SNAPSHOTS, MEMORIES)
def test_a_lost_primary_goes_before_all_but_deletion_and_pause(snapshot: AppSnapshot, memory: Memory) -> None:
    here = replace(snapshot, exists=True, deleting=False, paused=False, deployed_hash="one")
    lost = replace(memory, suspicion=Suspicion("server", "x-0", "x-0 is dead"))
    decision = plan(here, lost)
    assert (decision.operation, decision.scope.node) == (OperationType.FAILOVER, "x-0")
    assert plan(here, replace(memory, suspicion=None)).operation != OperationType.FAILOVER


@given(SNAPSHOTS, MEMORIES)
def test_what_failed_for_good_is_not_begun_again_by_itself(snapshot: AppSnapshot, memory: Memory) -> None:
    stands = replace(memory, failure=Failure("Upgrade", snapshot.spec_hash, "because"))
    assert plan(snapshot, stands).operation in ("", OperationType.DELETE, OperationType.FAILOVER, OperationType.REPAIR)


@given(SNAPSHOTS, MEMORIES)
def test_a_repair_always_has_something_to_repair_that_the_last_one_did_not_leave(
    snapshot: AppSnapshot, memory: Memory
) -> None:
    if plan(snapshot, memory).operation == OperationType.REPAIR:
        assert set(snapshot.drift) - memory.unrepairable


@given(SNAPSHOTS, MEMORIES)
def test_without_past_and_drift_the_newest_spec_is_carried_out(snapshot: AppSnapshot, memory: Memory) -> None:
    clean = replace(snapshot, exists=True, deleting=False, paused=False, refusal="", drift=[])
    decision = plan(clean, Memory())
    as_wanted = bool(clean.deployed_hash) and not clean.operation and clean.deployed_hash == clean.spec_hash
    assert (decision.telling is not None) == as_wanted


@given(SNAPSHOTS, MEMORIES)
def test_what_was_planned_is_not_interrupted_by_what_it_was_planned_from(snapshot: AppSnapshot, memory: Memory) -> None:
    """Else an operation would be begun and ended without end."""
    decision = plan(snapshot, memory)
    if decision.operation:
        assert interrupts(snapshot, decision.operation, snapshot.uid, snapshot.spec_hash) == ""


@given(SNAPSHOTS, MEMORIES)
def test_what_was_told_is_not_told_again(snapshot: AppSnapshot, memory: Memory) -> None:
    telling = plan(snapshot, memory).telling
    if telling is not None:
        told = replace(snapshot, told=telling.told(), told_generation=snapshot.generation)
        assert not must_tell(told, telling)
        assert plan(told, memory).telling == telling
