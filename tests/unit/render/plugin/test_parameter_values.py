"""What an engine answers is the same value in its own words, another one, or nothing that can be compared."""

from __future__ import annotations

import pytest

from api.app import Scalar
from api.plugin import Parameter
from render.plugin.parameter_values import differs

BYTES = Parameter(schema_={"type": "string"}, unit="bytes")
TEXT = Parameter(schema_={"type": "string"})
CHOICE = Parameter(schema_={"enum": ["always", "never"]})


@pytest.mark.parametrize(
    ("asked", "answered", "parameter"),
    [
        (100, "100", TEXT),
        (0.5, "0.50", TEXT),
        ("256mb", "268435456", BYTES),
        ("1k", "1000", BYTES),
        ("64MB", "65536kB", TEXT),
        (True, "yes", TEXT),
        (False, "off", TEXT),
        ("ALWAYS", "always", CHOICE),
    ],
)
def test_the_same_value_in_other_words(asked: Scalar, answered: str, parameter: Parameter) -> None:
    assert not differs(parameter, asked, answered)


@pytest.mark.parametrize(
    ("asked", "answered", "parameter"),
    [
        (100, "150", TEXT),
        ("256mb", "134217728", BYTES),
        ("64MB", "32MB", TEXT),
        (True, "no", TEXT),
        ("always", "never", CHOICE),
    ],
)
def test_another_value(asked: Scalar, answered: str, parameter: Parameter) -> None:
    assert differs(parameter, asked, answered)


@pytest.mark.parametrize(
    ("asked", "answered", "parameter"),
    [
        ("KEx", "xKE", TEXT),
        ("64MB", "8192", TEXT),
        (True, "maybe", TEXT),
        ("always", "with every write", CHOICE),
        (100, "", TEXT),
    ],
)
def test_what_cannot_be_compared_is_no_difference(asked: Scalar, answered: str, parameter: Parameter) -> None:
    """``64MB`` may well be 8192 pages: who cries wolf at every look is not listened to."""
    assert not differs(parameter, asked, answered)
