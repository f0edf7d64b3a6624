"""A text that is cut is masked before: else the half of a secret that the cut leaves is no secret to the mask."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from agent.tooling.trace import Trace
from tests.unit.agent.tooling.peers import SECRET, interpreter, listening, redis, run_steps

__all__ = ["interpreter"]

HALF = SECRET[:6]
CUTS = [40 - 7, 80 - 7, 240 - 7, 400 - 7, 400 - 8, 240 - 8]
"""Where a secret straddles the end of what is shown."""


async def _failure(interpreter: Interpreter, *steps: dict[str, Any], **options: Any) -> str:
    with pytest.raises(ToolError) as failure:
        await run_steps(interpreter, *steps, **options)
    return str(failure.value)


@pytest.mark.parametrize("before", CUTS)
@pytest.mark.parametrize(
    "step",
    [
        {"set": {"a": "b"}, "expect": "false", "as": "told"},
        {"forEach": "said", "set": {"a": "b"}},
        {"call": "told", "as": ["a", "b"]},
    ],
)
async def test_a_value_that_is_shown(interpreter: Interpreter, before: int, step: dict[str, Any]) -> None:
    known = {"said": "x" * before + SECRET + "x" * 500}
    tell = {"steps": [{"set": {"a": "b"}}], "result": "{{ arg.said }}"}
    if step.get("call"):
        step = step | {"with": {"said": "{{ said }}"}}
    elif "expect" in step:
        step = {"call": "told", "with": {"said": "{{ said }}"}, "as": "told", "expect": "false"}
    said = await _failure(interpreter, step, known=known, sequences={"told": tell})
    assert "xxx" in said
    assert HALF not in said


@pytest.mark.parametrize("before", CUTS)
@pytest.mark.parametrize("answer", ["-ERR {}", "+{}", "*1\r\n+{}", "${size}\r\n{}", "$x{}", "?{}"])
async def test_an_answer_of_an_engine(interpreter: Interpreter, before: int, answer: str) -> None:
    text = "x" * before + SECRET + "x" * 500
    answers: dict[str, str | None] = {
        "AUTH " + SECRET: "+OK",
        "CONFIG GET a": answer.replace("{}", text).replace("{size}", str(len(text))),
    }
    async with redis(answers) as engine:
        connections = {"me": {"resp": engine.address, "login": ["{{ secret.password }}"]}}
        said = await _failure(interpreter, {"resp": ["CONFIG", "GET", "a"]}, connections=connections)
    assert "xxx" in said
    assert HALF not in said


@pytest.mark.parametrize("before", CUTS)
@pytest.mark.parametrize("action", ["unfinished", "json", "http"])
async def test_an_answer_by_line_or_http(interpreter: Interpreter, before: int, action: str) -> None:
    body = "x" * before + SECRET + "x" * 500
    head = f"HTTP/1.1 500 No\r\nContent-Length: {len(body)}\r\n\r\n" if action == "http" else ""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write((head + body).encode())
        await writer.drain()
        if action == "unfinished":
            await reader.read()
        writer.close()

    steps: dict[str, dict[str, Any]] = {
        "unfinished": {"tcp": {"send": "?\n", "end": "never"}, "timeout": 0.2},
        "json": {"tcp": {"send": "?\n", "parse": "json"}},
        "http": {"http": {"path": "/"}},
    }
    async with listening(serve) as address:
        connections = {"me": {"http" if action == "http" else "tcp": address}}
        said = await _failure(interpreter, steps[action], connections=connections)
    assert "xxx" in said
    assert HALF not in said


@pytest.mark.parametrize("before", CUTS)
async def test_what_a_trace_shows(interpreter: Interpreter, before: int) -> None:
    lines: list[str] = []
    trace = Trace(lines.append, interpreter.secrets.mask)
    text = "x" * before + SECRET + "x" * 500
    trace.found({"said": text, "more": {"deep": [text]}})
    trace.judged("until", "said", text)
    assert len(lines) == 3
    assert HALF not in json.dumps(lines)
