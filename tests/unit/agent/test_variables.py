"""Names filled in, and secrets that are rotated while they are masked."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.tooling.variables import Secrets, UnknownNameError, Variables
from tests.unit.agent.support import write_secret


def test_a_rotated_secret_is_masked_as_soon_as_it_is_mounted(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    write_secret(tmp_path, {"password": b"first-value\n", "pin": b"123"})
    assert secrets.mask("first-value, second-value, 123") == "***, second-value, 123"
    write_secret(tmp_path, {"password": b"second-value\n", "pin": b"123"})
    assert secrets.masked({"a": "first-value, second-value", "b": "b"}) == {"a": "first-value, ***", "b": "b"}


def test_a_secret_that_could_not_be_read_is_masked_once_it_can(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    write_secret(tmp_path, {"password": b"the-value", "token": b"longer-the-value"})
    (tmp_path / "..data" / "password").rename(tmp_path / "..data" / "elsewhere")
    assert secrets.mask("longer-the-value the-value") == "*** the-value"
    (tmp_path / "..data" / "elsewhere").rename(tmp_path / "..data" / "password")
    assert secrets.mask("longer-the-value the-value") == "*** ***"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("100 % of ${a}%s", "100 % of x%y%s"),
        ("$${a} ${a}", "${a} x%y"),
        ("${a}${b}", "x%y${a}"),
        ("{a} $ ${}".replace("${}", "$"), "{a} $ $"),
    ],
)
def test_what_is_no_name_stays_as_it_is(tmp_path: Path, text: str, filled: str) -> None:
    variables = Variables({"a": "x%y", "b": "${a}"}, Secrets(tmp_path))
    assert variables.fill(text) == filled
    assert variables.fill(text + " " * 10_000) == filled + " " * 10_000
    assert variables.pattern(text.replace("$ $", "")).pattern is not None


def test_a_name_that_nothing_defines_is_named(tmp_path: Path) -> None:
    variables = Variables({"a": "x"}, Secrets(tmp_path))
    for fill in (variables.fill, variables.pattern):
        with pytest.raises(UnknownNameError, match=r"\$\{b\} is unknown"):
            fill("${a} ${b}")
    with pytest.raises(UnknownNameError, match="must not reach a command line"):
        variables.fill("${a} ${secret.password}")
