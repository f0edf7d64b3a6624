"""How far data have come: an order where there is one, and the word that there is none where there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from language.positions import Order, Position, PositionError, diverged, furthest

OPPOSITE = {
    Order.EQUAL: Order.EQUAL,
    Order.AHEAD: Order.BEHIND,
    Order.BEHIND: Order.AHEAD,
    Order.DIVERGED: Order.DIVERGED,
}
NUMBERS = st.integers(0, 2**64 - 1).map(lambda number: Position.parse(str(number)))
PARTS = st.lists(st.integers(0, 9), min_size=2, max_size=3).map(lambda parts: Position.parse(" ".join(map(str, parts))))
HELD = st.dictionaries(st.sampled_from(["a", "b", "c:tag"]), st.sets(st.integers(1, 9), min_size=1), max_size=3)
"""What a set holds, spelt out."""


def as_set(held: dict[str, set[int]]) -> Position:
    given = [f"{name}:{number}" for name, numbers in held.items() for number in numbers]
    return Position.parse(",".join(given))


SETS = HELD.map(as_set)
ANY = st.one_of(NUMBERS, PARTS, SETS)


@given(ANY)
def test_it_is_written_in_one_way_and_read_again(position: Position) -> None:
    assert Position.parse(str(position)) == position
    assert Position.parse(f"  {position}\n") == position


@given(ANY, ANY)
def test_seen_from_the_other_side_the_order_is_the_opposite(one: Position, other: Position) -> None:
    assert other.order(one) is OPPOSITE[one.order(other)]
    assert (one.order(other) is Order.EQUAL) == (one == other) == (str(one) == str(other))


@given(st.one_of(st.tuples(SETS, SETS, SETS), st.tuples(PARTS, PARTS, PARTS), st.tuples(ANY, ANY, ANY)))
def test_who_reaches_one_reaches_all_that_it_reaches(three: tuple[Position, Position, Position]) -> None:
    first, second, third = three
    if first.reaches(second) and second.reaches(third):
        assert first.reaches(third)


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_numbers_compare_as_numbers(one: int, other: int) -> None:
    order = Position.parse(str(one)).order(Position.parse(str(other)))
    assert order is (Order.EQUAL if one == other else Order.AHEAD if one > other else Order.BEHIND)


@given(HELD, HELD)
def test_a_set_is_ahead_of_what_it_contains_and_of_nothing_else(
    one: dict[str, set[int]], other: dict[str, set[int]]
) -> None:
    mine, others = ({(name, n) for name, numbers in held.items() for n in numbers} for held in (one, other))
    order = as_set(one).order(as_set(other))
    if mine == others:
        assert order is Order.EQUAL
    elif mine > others:
        assert order is Order.AHEAD
    elif mine < others:
        assert order is Order.BEHIND
    else:
        assert order is Order.DIVERGED


@given(st.dictionaries(st.sampled_from("abcd"), ANY, min_size=1))
def test_of_the_furthest_one_reaches_all_or_two_have_diverged(positions: dict[str, Position]) -> None:
    tops = furthest(positions)
    assert tops
    assert all(other.order(positions[name]) is not Order.AHEAD for name in tops for other in positions.values())
    if diverged(positions) is None:
        assert all(positions[name].reaches(other) for name in tops for other in positions.values())


def test_a_later_timeline_is_ahead_of_any_offset_of_an_earlier_one() -> None:
    """An old primary that wrote on alone has the higher offset."""
    old, new = Position.parse("3 90000"), Position.parse("4 512")
    assert new.order(old) is Order.AHEAD
    assert old.beside(new) == "at 3 90000, behind 4 512"


def test_gtid_sets_as_mysql_writes_them() -> None:
    text = "3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5:7-9,\n2174B383-5441-11E8-B90A-C80AA9429562:1-3:tag_1:1-2"
    read = Position.parse(text)
    assert str(read) == (
        "2174b383-5441-11e8-b90a-c80aa9429562:1-3,2174b383-5441-11e8-b90a-c80aa9429562:tag_1:1-2,"
        "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7-9"
    )
    assert Position.parse("a:1-5:6-9") == Position.parse("a:1-9"), "ranges that touch are one"


def test_each_with_a_write_of_its_own_neither_is_ahead() -> None:
    one, other = Position.parse("p:1-100"), Position.parse("p:1-99,errant:1")
    assert one.order(other) is Order.DIVERGED
    assert diverged({"x": one, "y": other, "z": Position.parse("p:1-50")}) == ("x", "y")


@pytest.mark.parametrize("text", ["", "0", "-1", " \n"])
def test_what_says_nothing_is_behind_all_else(text: str) -> None:
    nothing = Position.parse(text)
    assert not nothing
    for other in ("1", "0 0", "a:1"):
        assert nothing.order(Position.parse(other)) is Order.BEHIND


def test_positions_of_two_kinds_do_not_compare() -> None:
    kinds = [Position.parse(text) for text in ("5", "1 5", "1 5 2", "a:1-5")]
    assert all(one.order(other) is Order.DIVERGED for one in kinds for other in kinds if one is not other)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0/16B3748", "'0/16B3748' is no position; it has to be a whole number, a list of whole numbers, or a set"),
        ("1.5", "'1.5' is no position"),
        ("9" * 5000, "is no position"),
        (f"a:1-{'9' * 5000}", "is no range"),
        (str(2**64), "a number of it is beyond 64 bits"),
        ("a:5-1", "'5-1' in 'a:5-1' is no range"),
        ("a:", "is no range; it has to be FROM-TO"),
        (":1-5", "':1-5' is no part of a set; it has to be SOURCE:1-5:7"),
        ("a:1,b", "'b' is no part of a set"),
    ],
)
def test_what_is_none_is_told(text: str, sentence: str) -> None:
    with pytest.raises(PositionError) as error:
        Position.parse(text)
    assert sentence in str(error.value)


@pytest.mark.parametrize(("text", "value"), [("", 0), ("42", 42), ("3 7", [3, 7]), ("b:1,a:2-3", "a:2-3,b:1")])
def test_expressions_know_it_as_a_value_of_its_kind(text: str, value: object) -> None:
    assert Position.parse(text).value == value
