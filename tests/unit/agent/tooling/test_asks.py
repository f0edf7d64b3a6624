"""A tool that fails says whether what it was to bring about may come all the same."""

from __future__ import annotations

from typing import Any

import pytest

from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from tests.unit.agent.tooling.peers import interpreter, run_steps

__all__ = ["interpreter"]

ASKS: dict[str, Any] = {"asks": True, "set": {"told": "yes"}}
OVER: dict[str, Any] = {"asks": False, "set": {"over": "yes"}}
FAILS: dict[str, Any] = {"fail": "no"}


@pytest.mark.parametrize(
    ("steps", "asked"),
    [
        ([FAILS], None),
        ([FAILS, ASKS], False),
        ([{"when": "false", "steps": [ASKS]}, FAILS], False),
        ([ASKS, FAILS], True),
        ([{"asks": True, **FAILS}], True),
        ([{"steps": [ASKS]}, FAILS], True),
        ([{"call": "ask"}, FAILS], True),
        ([{"when": "false", "call": "ask"}, FAILS], False),
        ([ASKS, OVER, FAILS], False),
        ([ASKS, {**OVER, "expect": "false"}], True),
        ([ASKS, {**OVER, "expect": "false", "optional": True}, FAILS], True),
        ([ASKS, {**FAILS, "onFailure": [OVER, FAILS]}], False),
        ([OVER, ASKS, FAILS], True),
    ],
)
async def test_it_is_known_by_the_steps_that_have_begun(
    interpreter: Interpreter, steps: list[dict[str, Any]], asked: bool | None
) -> None:
    with pytest.raises(ToolError) as failed:
        await run_steps(interpreter, *steps, sequences={"ask": {"steps": [ASKS]}})
    assert failed.value.asked is asked


async def test_nor_may_a_tool_whose_time_is_up_be_taken_for_one_that_has_asked_nobody(interpreter: Interpreter) -> None:
    slow = {"forEach": "range(100000) | list", "set": {"n": "{{ item }}"}}
    with pytest.raises(ToolError, match="not finished within") as failed:
        await run_steps(interpreter, ASKS, slow, slow, slow, slow, timeout=0.2)
    assert failed.value.asked is True
