"""What the entity remembers of lost primaries: when it acts on a suspicion, and when a failure is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from api.operations import OperationResult, Outcome, Suspicion
from workflows.entity.failover_memory import LONGEST_PAUSE, TOLD_FOR, Failed, FailoverMemory
from workflows.entity.state import EntityState

NOW = datetime(2026, 11, 25, tzinfo=UTC)
LOST = Suspicion("server", "x-0", "x-0 is dead")
NEXT = Suspicion("server", "x-1", "x-1 is dead")


def result(outcome: Outcome) -> OperationResult:
    return OperationResult("Failover", outcome, "nobody can take over")


def replaced(cool_down: int = 60) -> FailoverMemory:
    found = FailoverMemory(cool_down=cool_down)
    found.suspect(LOST)
    assert found.due(NOW) == LOST
    found.begin(LOST)
    found.learn(result(Outcome.COMPLETED), NOW)
    return found


def test_the_next_one_of_the_component_waits_for_the_cool_down() -> None:
    found = replaced()
    found.suspect(NEXT)
    assert found.due(NOW + timedelta(seconds=59)) is None
    assert "coolDownSeconds" in found.waiting(NOW)
    assert found.next_at() == NOW + timedelta(seconds=60)
    assert found.due(NOW + timedelta(seconds=60)) == NEXT


def test_another_component_does_not_wait_for_it() -> None:
    found = replaced()
    other = Suspicion("shard", "y-0", "y-0 is dead")
    found.suspect(other)
    assert found.due(NOW) == other


def test_who_is_back_does_not_wait_and_counts_for_nothing() -> None:
    found = replaced()
    back = Suspicion("server", "x-0", "x-0 is back", back=True)
    found.suspect(back)
    assert found.due(NOW) == back
    found.begin(back)
    found.learn(result(Outcome.COMPLETED), NOW + timedelta(seconds=30))
    assert found.replaced == {"server": NOW.isoformat()}


def test_who_comes_back_after_a_failure_does_not_wait_for_the_pause_of_it() -> None:
    found = FailoverMemory()
    for _ in range(5):
        found.suspect(LOST)
        found.begin(LOST)
        found.learn(result(Outcome.FAILED), NOW)
    back = Suspicion("server", "x-0", "x-0 waits for the word", back=True)
    found.suspect(back)
    assert found.due(NOW) == back
    found.begin(back)
    found.suspect(back)
    found.learn(result(Outcome.FAILED), NOW)
    assert found.due(NOW + timedelta(seconds=4)) is None, "what is said again is no news"


def test_who_comes_back_while_a_failover_fails_does_not_wait_for_the_pause_of_that() -> None:
    """A replica ran that could not take over: the primary was back, and had to wait for up to two minutes."""
    asks = Suspicion("server", "x-0", "x-0 waits for the word", asks=True)
    found = FailoverMemory()
    for _ in range(8):
        found.suspect(LOST)
        found.begin(LOST)
        found.learn(result(Outcome.FAILED), NOW)
    found.suspect(LOST)
    found.begin(LOST)
    found.suspect(asks)
    found.learn(result(Outcome.FAILED), NOW)
    assert found.due(NOW) == asks
    found.begin(asks)
    found.learn(result(Outcome.FAILED), NOW)
    assert found.due(NOW + timedelta(seconds=5)) == asks, "what failed without it does not count"


def test_a_lost_primary_does_not_wait_because_another_cannot_be_taken_in_again() -> None:
    back = Suspicion("server", "x-0", "x-0 is back", back=True)
    found = FailoverMemory()
    for _ in range(8):
        found.suspect(back)
        found.begin(back)
        found.learn(result(Outcome.FAILED), NOW)
    found.suspect(NEXT)
    assert found.due(NOW) == NEXT
    found.begin(NEXT)
    found.learn(result(Outcome.COMPLETED), NOW)
    assert found.failure(NOW) == "Failover failed: nobody can take over", "that of the other stands"


def test_what_was_said_of_the_replaced_node_meanwhile_is_dropped_and_of_its_successor_kept() -> None:
    found = FailoverMemory()
    found.suspect(LOST)
    found.begin(LOST)
    found.suspect(LOST)
    found.suspect(NEXT)
    found.learn(result(Outcome.COMPLETED), NOW)
    assert list(found.suspicions) == ["x-1"]


def test_a_failure_is_told_and_looked_at_again_until_it_is_none() -> None:
    found = FailoverMemory()
    found.suspect(LOST)
    found.begin(LOST)
    found.learn(result(Outcome.FAILED), NOW)
    assert found.failure(NOW) == "Failover failed: nobody can take over"
    soon = NOW + timedelta(seconds=5)
    assert found.next_at() == soon
    assert found.due(soon) == LOST, "though nobody has repeated it"
    found.begin(LOST)
    found.learn(result(Outcome.NOTHING), soon)
    assert (found.failure(soon), found.next_at()) == ("", None)


def test_a_failure_of_one_by_hand_is_told_for_a_while() -> None:
    found = FailoverMemory()
    found.learn(result(Outcome.FAILED), NOW)
    assert found.next_at() == NOW + TOLD_FOR, "somebody has to look then"
    assert found.failure(NOW + TOLD_FOR) == ""
    assert found.next_at() is None


def test_one_that_was_refused_is_no_failure_and_takes_none_away() -> None:
    found = FailoverMemory()
    found.learn(result(Outcome.REFUSED), NOW)
    assert (found.failure(NOW), found.next_at()) == ("", None)
    found.suspect(LOST)
    found.begin(LOST)
    found.learn(result(Outcome.FAILED), NOW)
    before = found.failure(NOW)
    found.learn(result(Outcome.REFUSED), NOW)
    assert before
    assert found.failure(NOW) == before


@given(st.integers(1, 40))
def test_one_that_fails_is_tried_again_with_growing_pauses(times: int) -> None:
    found = FailoverMemory()
    for _ in range(times):
        found.suspect(LOST)
        found.begin(LOST)
        found.learn(result(Outcome.FAILED), NOW)
    found.suspect(LOST)
    assert found.due(NOW + timedelta(seconds=4)) is None
    assert found.due(NOW + LONGEST_PAUSE) == LOST


def test_nothing_of_it_is_lost_from_one_run_of_the_entity_to_the_next() -> None:
    state = EntityState(failovers=replaced(7))
    state.failovers.suspect(NEXT)
    state.failovers.suspect(Suspicion("server", "x-2", "x-2 waits", asks=True))
    state.failovers.failures["x-2"] = Failed("no", NOW.isoformat(), 3)
    assert EntityState.decode(state.encode()).failovers == state.failovers


def test_what_cannot_be_read_is_forgotten() -> None:
    spoilt = {"suspicions": {"x": 1}, "replaced": {"server": "never"}, "failures": {"x": {"at": 5}}, "cool_down": "a"}
    assert EntityState.decode({"failovers": spoilt}).failovers == FailoverMemory()
    assert EntityState.decode({"failovers": "none"}).failovers == FailoverMemory()
