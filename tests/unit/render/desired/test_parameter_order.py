"""What rises goes to the replicas first, what falls to the primary; both at once are two operations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.plugin import Parameter
from render.desired.parameter_order import Turn, in_order, turn_of_replica

NUMBER: dict[str, Any] = {"schema": {"type": "integer"}, "default": 100}
NEVER_LESS = {"order": {"raise": "replicasFirst", "lower": "primaryFirst"}}
PARAMETERS = {name: Parameter.model_validate(NUMBER | NEVER_LESS) for name in ("connections", "workers")}
PARAMETERS["threads"] = Parameter.model_validate(NUMBER)


def test_a_replica_gets_what_rises_before_the_primary_and_what_falls_after_it() -> None:
    has: dict[str, Any] = {"connections": "100", "workers": "8", "threads": "1"}
    assert turn_of_replica(PARAMETERS, has, has | {"connections": 150}) is Turn.BEFORE_PRIMARY
    assert turn_of_replica(PARAMETERS, has, has | {"connections": 60}) is Turn.AFTER_PRIMARY
    assert turn_of_replica(PARAMETERS, has, has | {"connections": 100, "threads": 9}) is None


def test_of_one_that_rises_and_one_that_falls_the_first_half_comes_first() -> None:
    before = {"connections": 100, "workers": 8, "threads": 1}
    after = {"connections": 150, "workers": 4, "threads": 2}
    assert in_order(PARAMETERS, before, after) == {"connections": 150, "workers": 8, "threads": 2}
    assert in_order(PARAMETERS, before | {"connections": 150, "threads": 2}, after) == after


VALUES = st.fixed_dictionaries({name: st.integers(1, 4) for name in PARAMETERS})


@given(before=VALUES, after=VALUES)
def test_no_replica_ever_has_less_than_its_primary_and_the_change_comes_to_its_end(
    before: dict[str, int], after: dict[str, int]
) -> None:
    nodes = {name: dict(before) for name in ("primary", "a", "b")}
    for _ in range(3):
        goal = in_order(PARAMETERS, nodes["primary"], after)
        turns = {name: turn_of_replica(PARAMETERS, nodes[name], goal) or Turn.BEFORE_PRIMARY for name in ("a", "b")}
        for name in sorted(nodes, key=lambda name: turns.get(name, Turn.PRIMARY)):
            nodes[name] = {key: int(value) for key, value in goal.items()}
            for replica in ("a", "b"):
                for parameter in ("connections", "workers"):
                    assert nodes[replica][parameter] >= nodes["primary"][parameter]
    assert nodes["primary"] == nodes["a"] == nodes["b"] == after


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"schema": {"type": "string"}}, "only of a number"),
        ({"default": None}, "needs a default"),
        ({"default": None, "defaultExpression": "1"}, "needs a default"),
        ({"apply": "immutable"}, "an immutable parameter never changes"),
    ],
)
def test_an_order_that_cannot_be_kept_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Parameter.model_validate(NUMBER | NEVER_LESS | wrong)
