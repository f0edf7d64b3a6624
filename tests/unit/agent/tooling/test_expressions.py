"""Expressions: their values keep their types, unknown names are named, and nothing of Python can be reached."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from agent.tooling.names import Scope
from agent.tooling.secrets import Secrets
from language.expressions import ExpressionError, expression, filled, text
from language.filters import Failure
from tests.support.stalls import in_time
from tests.unit.agent.support import write_secret

KNOWN = {
    "info": {"role": "master", "offset": 12, "items": 3},
    "peers": ["10.0.0.1", "10.0.0.2"],
    "runtimeVersion": "7.0",
    "failed_step": Failure("no answer"),
}


@pytest.fixture
def scope(tmp_path: Path) -> Scope:
    write_secret(tmp_path, {"password": b"a-password", "password.used": b"a-password", "password.next": b"b-password"})
    named = {"mine": "info.role", "twice": "mine ~ mine", "round": "about", "about": "round"}
    return Scope(KNOWN, named, Secrets(tmp_path))


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ info.offset }}", 12),
        ("{{ peers }}", ["10.0.0.1", "10.0.0.2"]),
        ("{{ info.role }}:{{ info.offset }}", "master:12"),
        ("plain", "plain"),
        ("{{ info.items }}", 3),
        ("{{ '}}' }}", "}}"),
        ("{{ twice }}", "mastermaster"),
        ("{{ not failed_step and failed_step.error }}", "no answer"),
    ],
)
def test_a_text_that_is_one_expression_keeps_its_type(scope: Scope, source: str, value: Any) -> None:
    assert text(source)(scope) == value


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("info.role == 'master' and info.offset < 13", True),
        ("runtimeVersion is version('>=6.0, <8')", True),
        ("runtimeVersion is version('>=7.0.1')", False),
        ("failed_step is failed", True),
        ("'10.0.0.2' in peers", True),
        ("absent is defined", False),
    ],
)
def test_conditions(scope: Scope, condition: str, holds: bool) -> None:
    assert bool(expression(condition)(scope)) is holds


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("absent", "'absent' is undefined"),
        ("info.absent", "'dict object' has no attribute 'absent'"),
        ("info.role +", "unexpected"),
        ("info.role.__class__", "unsafe"),
        ("().__class__.__bases__", "unsafe"),
        ("round", "vars.about asks for itself|vars.round asks for itself"),
        ("secret.password", "must not reach a command line or a log"),
    ],
)
def test_what_cannot_be_evaluated_says_why(scope: Scope, source: str, sentence: str) -> None:
    with pytest.raises(ExpressionError, match=sentence):
        expression(source)(scope)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("'x' * 10000000", "more than 1048576"),
        ("peers * 1000000", "more than 100000"),
        ("range(10000000) | list", "more than 100000"),
        ("2 ** 100000", "more than 4096 bits"),
        ("'x'.ljust(1000000000)", "unsafe"),
        ("'{:>1000000000}'.format(1)", "unsafe"),
        ("'%01000000000d' % 1", "texts are put together by ~"),
        ("('x' * 10000) | replace('x', 'y' * 10000)", "more than 1048576"),
        ("peers | join('x' * 1000000) ~ 'x' * 1000000", "more than 1048576"),
        ("half ~ half ~ half", "more than 1048576"),
        ("four", "lists of more than 100000 items"),
        ("'a' is matching('(a+)+b')", "its search may not end"),
        ("'a' is matching('(a|aa)*b')", "its search may not end"),
        ("(" * 3000 + "1" + ")" * 3000, "nested too deep"),
        ("1 " + " " * 70000, "65536 is the most"),
    ],
)
def test_an_expression_neither_fills_the_memory_nor_goes_on_for_ever(
    tmp_path: Path, source: str, sentence: str
) -> None:
    many = {"one": "[peers] * 30", "two": "[one] * 30", "three": "[two] * 30", "four": "[three] * 30"}
    scope = Scope(KNOWN, {"half": "'x' * 500000", **many}, Secrets(tmp_path))
    began = time.monotonic()
    with pytest.raises(ExpressionError, match=sentence):
        expression(source)(scope)
    assert in_time(began, 6)


@pytest.mark.parametrize(
    "pattern", ["^version: ([0-9]+(?:[.][0-9]+)*)$", "^(NOREPLICAS|OOM)", "(?P<lag>[0-9]+) ms", "a*b"]
)
def test_patterns_whose_search_ends_are_taken(scope: Scope, pattern: str) -> None:
    assert filled("{{ 'x' is matching('" + pattern + "') }}", scope) is False


def test_truth_values_are_written_as_engines_write_them(scope: Scope) -> None:
    assert text("first {{ true }}")(scope) == "first true"
    assert text("{{ true | quoted }} {{ 7 | quoted }}")(scope) == '"true" "7"'
    assert text("{{ true }}")(scope) is True


def test_a_statement_is_no_text(scope: Scope) -> None:
    with pytest.raises(ExpressionError, match="no statements"):
        text("{% if true %}x{% endif %}")


def test_secrets_are_known_only_where_they_may_be(scope: Scope) -> None:
    with scope.with_secrets():
        assert filled({"a": "{{ secret.password }}", "b": ["{{ alsoValid.password }}"]}, scope) == {
            "a": "a-password",
            "b": ["b-password"],
        }
        with pytest.raises(ExpressionError, match=r"secret\.absent"):
            expression("secret.absent")(scope)
    with pytest.raises(ExpressionError):
        expression("secret.password")(scope)


def test_a_carriage_return_stays_where_it_stands() -> None:
    """Jinja2 makes a plain line end of it; a protocol of lines wants the whole."""
    assert text("PUB {{ subject }} 2\r\nok\r\n")({"subject": "a"}) == "PUB a 2\r\nok\r\n"
    assert text("{{ 'a\r\nb' }}")({}) == "a\r\nb"


@pytest.mark.parametrize(("value", "said"), [(True, "true"), (120, "120"), (None, "null"), ('a"b', '"a\\"b"')])
def test_json_writes_each_value_as_its_own_kind(value: object, said: str) -> None:
    assert expression("value | json")({"value": value}) == said
