"""What only the running node knows, put into its files: on the line where it stands, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.nodefiles import CLOSE, OPEN, written
from agent.tooling.names import Scope
from agent.tooling.secrets import Secrets
from language.expressions import ExpressionError


def put_in(tmp_path: Path, expression: str, **names: Any) -> str:
    (tmp_path / "password").write_text("own one")
    return written(f"a {OPEN}{expression}{CLOSE} z\n", Scope(names, {}, Secrets(tmp_path)))


def test_an_expression_becomes_its_value(tmp_path: Path) -> None:
    assert put_in(tmp_path, "preStart.role", preStart={"role": "replica"}) == "a replica z\n"
    assert put_in(tmp_path, "secret.password | quoted") == 'a "own one" z\n'
    assert put_in(tmp_path, "last.position", last={"position": 7}) == "a 7 z\n"


@pytest.mark.parametrize("value", ["x\nloadmodule /x.so", "x\r", "x\x00", "\x7f"])
def test_a_value_that_would_end_its_line_is_refused(tmp_path: Path, value: str) -> None:
    """A peer may have said it: behind the line break it would be a directive of the engine's."""
    with pytest.raises(ExpressionError, match=r"preStart\.primary: its value has a line break"):
        put_in(tmp_path, "preStart.primary", preStart={"primary": value})


def test_quoted_it_stays_on_its_line(tmp_path: Path) -> None:
    assert put_in(tmp_path, "preStart.motto | quoted", preStart={"motto": "x\ny"}) == 'a "x\\ny" z\n'


def test_who_says_that_nothing_has_to_be_quoted_is_believed(tmp_path: Path) -> None:
    assert put_in(tmp_path, "preStart.list | raw", preStart={"list": "x\ny"}) == "a x\ny z\n"
