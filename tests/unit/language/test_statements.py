"""What a scanner of statements takes for a quote, a comment and a place for a value."""

from __future__ import annotations

import pytest

from language.statements import statement


def test_a_name_in_quotes_after_a_cast_is_a_type_and_no_place() -> None:
    asks = """SELECT relname FROM pg_class WHERE relkind = :kind::"char" """
    assert statement("postgresql", asks, {"kind": "r"}) == asks.replace(":kind", "'r'")


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_no_value_gets_out_of_a_comment_in_a_comment(kind: str) -> None:
    """Where the outer one ends differs from engine to engine."""
    with pytest.raises(ValueError, match="a comment of the statement has another in it; remove one"):
        statement(kind, "SELECT /* outer /* inner */ :n */ 1", {"n": "*/ ; DROP TABLE x; --"})
