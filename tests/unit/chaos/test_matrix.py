"""How the cases of the fault matrix are dealt to its shards."""

from __future__ import annotations

from tests.chaos.matrix import Case, dealt

CASES: list[Case] = [("upgrade", f"rollNode#{number}", fault) for number in range(40) for fault in ("worker", "agent2")]


def test_every_case_is_dealt_once() -> None:
    shards = [dealt(CASES, 1, shard, 3) for shard in (1, 2, 3)]
    assert sorted(case for shard in shards for case in shard) == sorted(CASES)
    assert min(map(len, shards)) > len(CASES) / 6


def test_a_shard_that_saw_a_step_more_leaves_no_case_out() -> None:
    more: list[Case] = [*CASES, ("upgrade", "planMove#9", "worker")]
    assert set(dealt(CASES, 1, 2, 2)) == set(dealt(more, 1, 2, 2)) - {more[-1]}


def test_the_seed_decides_the_order() -> None:
    assert dealt(CASES, 1, 1, 1) == dealt(list(reversed(CASES)), 1, 1, 1) != dealt(CASES, 2, 1, 1)
