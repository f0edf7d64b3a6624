"""Which ordinals the nodes of a group have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.group import node_ordinals

reserved_lists = st.lists(st.integers(0, 120), max_size=99)


def test_without_reserved_ordinals_they_count_from_zero() -> None:
    assert node_ordinals(3, []) == [0, 1, 2]


def test_one_node_less_with_its_ordinal_reserved_removes_that_node_alone() -> None:
    assert node_ordinals(2, [1]) == [0, 2]
    assert node_ordinals(2, [0]) == [1, 2]


def test_an_ordinal_that_nobody_would_have_changes_nothing() -> None:
    assert node_ordinals(3, [7]) == [0, 1, 2]


@given(st.integers(1, 99), reserved_lists)
def test_there_are_as_many_as_asked_for_none_twice_and_none_reserved(replicas: int, reserved: list[int]) -> None:
    ordinals = node_ordinals(replicas, reserved)
    assert len(ordinals) == len(set(ordinals)) == replicas
    assert ordinals == sorted(ordinals)
    assert not set(ordinals) & set(reserved)
    assert set(range(ordinals[-1])) <= set(ordinals) | set(reserved), "the lowest that are free"


@given(st.integers(1, 98), reserved_lists)
def test_one_node_more_moves_no_other(replicas: int, reserved: list[int]) -> None:
    assert node_ordinals(replicas + 1, reserved)[:-1] == node_ordinals(replicas, reserved)


@given(st.integers(2, 99), reserved_lists, st.data())
def test_any_node_can_be_the_one_that_is_removed(replicas: int, reserved: list[int], data: st.DataObject) -> None:
    before = node_ordinals(replicas, reserved)
    chosen = data.draw(st.sampled_from(before))
    assert node_ordinals(replicas - 1, [*reserved, chosen]) == [each for each in before if each != chosen]
