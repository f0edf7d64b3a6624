"""The models at the border: quantities, tools, the plugin definition."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from api.app import Resources
from api.meta import parse_quantity
from api.plugin import ComponentDefinition
from api.tools import Connection, Tool


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


def test_a_login_is_refused_where_nobody_would_read_its_answer() -> None:
    with pytest.raises(ValidationError, match="login: is known for resp only"):
        Connection.model_validate({"tcp": "h:1", "login": ["word"]})


def test_a_step_has_exactly_one_action() -> None:
    with pytest.raises(ValidationError, match="found run, fail"):
        Tool.model_validate({"steps": [{"run": {"argv": ["true"]}, "fail": "no"}]})


def test_two_ports_of_one_number_are_refused_with_that_number() -> None:
    """Kubernetes refuses the Service only when an App is deployed, in its own words."""
    definition = {
        "name": "store",
        "image": "shelf",
        "process": {"command": ["shelf"]},
        "ports": [{"name": "a", "port": 7000}, {"name": "b", "port": 7000}],
        "tools": "tools.yaml",
    }
    with pytest.raises(ValidationError, match="two have the number 7000"):
        ComponentDefinition.model_validate(definition)
