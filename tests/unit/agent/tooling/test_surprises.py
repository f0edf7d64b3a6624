"""What nobody has thought of fails the tool with a sentence: no agent ends by it, nor tells on what was so before."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from agent.decoding import decode
from agent.document import Connection as AgentConnection
from agent.document import Step as AgentStep
from agent.document import Tool as AgentTool
from agent.document import Toolbox as AgentToolbox
from agent.process.state import State, Status
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from agent.tools.checks.engine import Writes
from agent.tools.monitor import Monitor
from api.tools import Step
from language.expressions import ExpressionError, expression, text
from tests.unit.agent.tooling.peers import SECRET, interpreter, listening, redis, run_steps

__all__ = ["interpreter"]


class _Odd:
    def __str__(self) -> str:
        raise AssertionError(f"nobody thought of {SECRET}")


async def test_an_error_of_any_kind_fails_the_tool_with_its_kind_and_no_secret(interpreter: Interpreter) -> None:
    with pytest.raises(ToolError, match=r"^tool probe, step 1: AssertionError: nobody thought of \*\*\*$"):
        await run_steps(interpreter, {"set": {"a": "x{{ odd }}"}}, known={"odd": _Odd()})
    with pytest.raises(ToolError, match=r"^tool probe, its result: AssertionError"):
        await run_steps(interpreter, {"set": {"a": "b"}}, known={"odd": _Odd()}, result={"odd": "x{{ odd }}"})


@pytest.mark.parametrize("written", ["{{ a }}{# c #}", "{# c #}{{ a }}", "{{- a -}}\n"])
def test_a_comment_beside_an_expression_changes_nothing(written: str) -> None:
    assert text(written)({"a": 7}) in (7, "7\n")


@pytest.mark.parametrize("operands", [300, 3000])
def test_an_expression_that_is_too_deep_for_the_compiler_says_so(operands: int) -> None:
    long = " + ".join(["1"] * operands)
    for read, source in ((expression, long), (text, "{{ " + long + " }}"), (text, "x{{ " + long + " }}")):
        with pytest.raises(ExpressionError, match="nested too deep"):
            read(source)


@pytest.mark.parametrize("words", [[["PING"], 5], [["INFO", "server"], "PING"], ["PING", ["INFO"]]])
async def test_commands_and_words_are_not_mixed(interpreter: Interpreter, words: list[Any]) -> None:
    """The plugin is refused; an agent that is given such a document by an older platform says so too."""
    with pytest.raises(ValidationError, match="one command"):
        Step.model_validate({"resp": words})
    step = decode(AgentStep, {"resp": words}, "step")
    async with redis({f"AUTH {SECRET}": "+OK"}) as engine:
        box = AgentToolbox(
            connections={"me": AgentConnection(resp=engine.address)}, tools={"probe": AgentTool(steps=(step,))}
        )
        with pytest.raises(ToolError, match=r"step 1: resp: .* a list of commands"):
            await interpreter.run("probe", box, {})
        assert engine.received == []


@pytest.mark.parametrize(
    ("action", "answer", "sentence"),
    [
        ({"resp": ["PING"]}, b"*1\r\n" * 2000 + b":1\r\n", "lists in lists"),
        ({"tcp": {"send": "?\n", "parse": "json"}}, b"[" * 100_000 + b"]" * 100_000, "expected JSON"),
    ],
)
async def test_an_answer_of_lists_in_lists_without_end_is_refused(
    interpreter: Interpreter, action: dict[str, Any], answer: bytes, sentence: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        await writer.drain()
        writer.close()

    kind = next(iter(action))
    async with listening(serve) as address:
        with pytest.raises(ToolError, match=sentence):
            await run_steps(interpreter, action, connections={"me": {kind: address}})


async def test_a_node_that_cannot_be_asked_is_not_told_as_ready(interpreter: Interpreter) -> None:
    """A surprise in a poll left the last report standing: ready, and primary, for as long as it lasted."""
    told = SimpleNamespace(listen=lambda _: None, share=lambda _: None, problem="", fenced=False)
    checks = SimpleNamespace(
        listen=lambda _: None,
        found=SimpleNamespace(
            writes=Writes.UNSPECIFIED,
            refusal="",
            credentials_refused=False,
            credentials_changed="",
            stop_refused=False,
        ),
    )
    board = SimpleNamespace(status=Status(state=State.RUNNING))
    documents = SimpleNamespace(effective=_surprise)
    monitor = Monitor(*cast(Any, (documents, interpreter, board, told, checks)))
    monitor.report = monitor._found = monitor.report.__class__(role="master", ready=True, sequence=7)
    report = await monitor.poll()
    assert (report.role, report.ready, report.process) == ("", False, State.RUNNING)
    assert report.message == "the engine cannot be asked: RuntimeError: nobody thought of ***"
    assert report.sequence == 8, "whoever watches is told"


def _surprise() -> None:
    raise RuntimeError(f"nobody thought of {SECRET}")
