"""Expressions: their values keep their types, unknown names are named, and nothing of Python can be reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.tooling.names import Scope
from agent.tooling.variables import Secrets
from language.expressions import ExpressionError, expression, filled, text
from language.filters import Failure
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
