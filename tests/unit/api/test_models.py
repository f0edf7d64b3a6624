"""The models at the border: quantities, tools, the plugin definition."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from api.app import Resources
from api.meta import parse_quantity
from api.tools import TcpAction, Tool


@pytest.mark.parametrize(
    ("text", "amount"),
    [("500m", "0.5"), ("2", "2"), ("64Mi", "67108864"), ("1G", "1000000000"), ("1.5Gi", "1610612736"), ("1k", "1000")],
)
def test_quantities_are_those_of_kubernetes(text: str, amount: str) -> None:
    assert parse_quantity(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["1Gib", "-1", "", "256mb", "one"])
def test_a_bad_quantity_is_refused_with_forms_that_would_do(text: str) -> None:
    with pytest.raises(ValueError, match="64Mi or 1Gi"):
        parse_quantity(text)


def test_a_number_is_a_quantity_as_in_kubernetes() -> None:
    assert Resources.model_validate({"limits": {"cpu": 2}}).limits == {"cpu": "2"}


def test_a_secret_in_argv_is_refused() -> None:
    with pytest.raises(ValidationError, match="pass it by env or stdin"):
        Tool.model_validate({"steps": [{"run": {"argv": ["redis-cli", "-a", "${secret.password}"]}}]})


def test_a_refused_login_is_known_only_where_its_answer_is_read() -> None:
    with pytest.raises(ValidationError, match="loginRefused needs loginExpect"):
        TcpAction.model_validate({"address": "h:1", "login": "AUTH\r\n", "loginRefused": "^-WRONGPASS"})


def test_a_step_has_exactly_one_action() -> None:
    with pytest.raises(ValidationError, match="found run, fail"):
        Tool.model_validate({"steps": [{"run": {"argv": ["true"]}, "fail": "no"}]})
