"""A step that fails says what matters: in its author's words, or in the engine's own out of a long answer."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agent.tooling.failure import StepError, ToolError, answered
from agent.tooling.interpreter import Interpreter
from agent.tooling.trace import Trace
from api.tools import Step
from tests.unit.agent.tooling.peers import SECRET, answering, interpreter, run_steps

__all__ = ["interpreter"]

LONG = "line\n" * 200 + "ERROR 1045 (28000): access denied\n" + "line\n" * 200


async def said_of(interpreter: Interpreter, answer: str, **step: Any) -> str:
    async with answering(state=[answer, "."]) as engine:
        ask = {"tcp": {"send": "state\n", "end": "[.]$"}, "as": "said", **step}
        with pytest.raises(ToolError) as failed:
            await run_steps(interpreter, ask, connections={"me": {"tcp": engine.address}})
    return str(failed.value)


async def test_what_does_not_hold_is_told_in_the_authors_words(interpreter: Interpreter) -> None:
    said = await said_of(
        interpreter, LONG, expect="said == 'ok'", otherwise="{{ node.name }} refuses; {{ said | length }} signs"
    )
    assert said == f"tool probe, step 1: n0 refuses; {len(LONG) + 1} signs"


async def test_a_wait_that_is_over_is_told_in_the_authors_words(interpreter: Interpreter) -> None:
    said = await said_of(
        interpreter, LONG, until="said == 'ok'", every=0.01, within=0.05, otherwise="it does not join the others"
    )
    assert said == "tool probe, step 1: it does not join the others (tried for 0.05 s)"


async def test_the_engines_own_sentence_is_picked_out_of_a_long_answer(interpreter: Interpreter) -> None:
    for error in ("ERROR [0-9]+.*", "(ERROR [0-9]+.*)"):
        said = await said_of(interpreter, LONG, expect="said == 'ok'", error=error)
        assert said.endswith("but said says 'ERROR 1045 (28000): access denied'")
    assert "said is 'line" in await said_of(interpreter, LONG, expect="said == 'ok'", error="FATAL.*")


async def test_no_half_of_a_secret_is_picked(interpreter: Interpreter) -> None:
    said = await said_of(interpreter, f"ERROR {SECRET}", expect="said == 'ok'", error="ERROR (s3cret)")
    assert "s3cret" not in said


async def test_it_is_picked_from_what_a_refusal_says(interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(*_: object) -> str:
        raise answered("mysql ended with exit code 1, saying", LONG, str)

    monkeypatch.setattr("agent.tooling.actions.run_program", refuses)
    with pytest.raises(ToolError, match=r"ended with exit code 1, saying 'ERROR 1045 \(28000\): access denied'$"):
        await run_steps(interpreter, {"run": {"argv": ["mysql"]}, "error": "ERROR [0-9]+.*"})
    with pytest.raises(ToolError, match=r"ended with exit code 1, saying 'line"):
        await run_steps(interpreter, {"run": {"argv": ["mysql"]}})


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"fail": "no", "otherwise": "x"}, "give one of them"),
        ({"fail": "no", "error": "x"}, "fail gets none; leave it out"),
        ({"run": {"argv": ["x"]}, "error": "("}, "is not a regular expression"),
    ],
)
def test_words_that_would_never_be_said_are_refused(step: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Step.model_validate(step)


@pytest.mark.parametrize(("whole", "longest"), [(False, 450), (True, 5000)])
def test_a_trace_is_cut_unless_it_is_asked_for_whole(whole: bool, longest: int) -> None:
    lines: list[str] = []
    trace = Trace(lines.append, str, whole)
    trace.found({"said": "x" * 4000})
    trace.judged("expect", "said", "x" * 4000)
    assert [len(line) <= longest for line in lines] == [True, True]
    assert [len(line) > 4000 for line in lines] == [whole, whole]
    assert StepError("x").answer == ""
