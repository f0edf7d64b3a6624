"""An agent has one thread: nothing that a plugin asks for, or an engine answers, keeps it from all else."""

from __future__ import annotations

import time

import pytest

from agent.tooling.answers import TextAnswer, parsed
from agent.tooling.failure import StepError
from agent.tooling.protocols.resp import Reader
from language.expressions import ExpressionError, expression
from language.patterns import pattern
from tests.support.stalls import in_time

_SIXTY = "a" * 60


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("a*a*a*a*a*a*a*a*b", "beside each other"),
        ("(a|a)(a|a)(a|a)" * 9 + "b", "beside each other"),
        ("(?i)(?:aA+)*b", r"has flags; write \[Aa\]"),
        ("(?i:a)b", r"has flags; write \[Aa\]"),
        ("(?:é[à-ü]+)*b", "repeats what is itself"),
        ("(?:(?:a{0,20}){0,20}){0,20}b", "repeats what is itself"),
        ("(?:a{0,20}){0,20}b", "repeats what is itself"),
        (r"(.*)\1x", "refers to a group"),
        ("(x)?(?(1)(?:a+)+b|c)", "refers to a group"),
    ],
)
def test_a_pattern_whose_search_may_not_end_is_refused(written: str, sentence: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=sentence):
        pattern(written).search(_SIXTY)
    assert in_time(began, 5)


@pytest.mark.parametrize("written", ["a*a*b", ".*a.*b", "(?:a?){10}b", "a*b"])
def test_a_search_that_takes_too_long_in_a_long_line_is_refused_there_and_done_in_short_ones(written: str) -> None:
    lines = "\n".join([_SIXTY] * 100) + "\nab"
    began = time.monotonic()
    assert pattern(written).search(lines) is not None
    with pytest.raises(ValueError, match="may take too long; take the text apart first"):
        pattern(written).search("a" * 20_000)
    assert in_time(began, 6)


@pytest.mark.parametrize(
    "written", ["(?:[0-9]{1,3}[.]){3}[0-9]{1,3}", "([0-9]+[.])*x", "^Mode: (?P<mode>[a-z]+)", "o_down|failover"]
)
def test_a_pattern_that_says_what_ends_its_repetitions_is_taken(written: str) -> None:
    assert pattern(written).search(_SIXTY) is None


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("1 | round(90000000, 'ceil')", "round.* 20"),
        ("1 | round(-90000000, 'floor')", "round.* 20"),
        ("1 | round(precision=90000000, method='ceil')", "round.* 20"),
        ("([[1]] * 49000) | sum(start=[])", "sum is of numbers"),
        ("('x' * 50000) | list | sum(none, '')", "sum is of numbers"),
    ],
)
def test_a_filter_that_takes_for_ever_is_refused(source: str, sentence: str) -> None:
    began = time.monotonic()
    with pytest.raises(ExpressionError, match=sentence):
        expression(source)({})
    assert in_time(began, 5)


def test_filters_in_bounds_do_what_they_did() -> None:
    assert expression("[1.26 | round(1), [1, 2] | sum, [{'a': 2}] | sum('a', 1), [1.5] | sum(start=1)]")({}) == [
        1.3,
        3,
        3,
        2.5,
    ]


def test_a_long_list_that_comes_in_pieces_is_read_once() -> None:
    sent = b"*500000\r\n" + b"$1\r\na\r\n" * 500_000
    reader, began = Reader(), time.monotonic()
    for at in range(0, len(sent), 65536):
        reader.feed(sent[at : at + 65536])
    assert [len(each) for each in reader.replies] == [500_000]
    assert in_time(began, 12)


def test_lines_of_blanks_are_read_once() -> None:
    began = time.monotonic()
    found = parsed("keyValue", "a = b = c \n d:\t7\n no value\ntwo words: x\n=y\n" + "k=x" + " " * 50_000 + "y\n", str)
    assert found == {"a": "b = c", "d": "7", "k": "x" + " " * 50_000 + "y"}
    assert in_time(began, 5)


def test_the_end_of_a_long_answer_is_looked_for_in_what_is_new() -> None:
    answer, began = TextAnswer("127.0.0.1:1", "^END$", str), time.monotonic()
    for _ in range(4000):
        assert not answer.take(b"EN" + b"x" * 1000 + b"\n")
    assert not answer.take(b"E")
    assert answer.take(b"ND")
    assert len(answer.text) == 4000 * 1003 + 3
    assert in_time(began, 6)


def test_an_end_that_takes_too_long_to_look_for_fails_the_step() -> None:
    with pytest.raises(StepError, match=r"127\.0\.0\.1:1: .* may take too long"):
        TextAnswer("127.0.0.1:1", "a*a*b", str).take(b"a" * 5000)
