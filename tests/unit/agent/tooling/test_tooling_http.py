"""The tool language's HTTP steps against a real server on a socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter, Outcome
from tests.unit.agent.tooling.peers import SECRET, interpreter, listening, run_steps

__all__ = ["interpreter"]


async def _http(
    answer: bytes, interpreter: Interpreter, http: dict[str, Any], result: Any = None, **step: Any
) -> tuple[Outcome, bytes]:
    received = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        received = head + await reader.readexactly(length)
        writer.write(answer)
        writer.close()

    async with listening(serve) as address:
        outcome = await run_steps(
            interpreter,
            {"http": {"path": "/state?x=1"} | http, "as": "answer"} | step,
            connections={"me": {"http": address}},
            result=result,
        )
    return outcome, received


async def test_http_sends_headers_and_body_and_its_json_has_fields(interpreter: Interpreter) -> None:
    body = json.dumps({"cluster": {"nodes": [{"ready": True, "lag": 3}]}}).encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:10], body[10:])) + b"0\r\n\r\n"
    for answer in (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
        b"HTTP/1.0 200 OK\r\n\r\n" + body,
    ):
        outcome, received = await _http(
            answer,
            interpreter,
            {
                "method": "POST",
                "headers": {"Authorization": "Bearer {{ secret.password }}"},
                "body": "hello",
                "parse": "json",
            },
            {
                "status": "{{ answer.status }}",
                "ready": "{{ answer.body.cluster.nodes[0].ready }}",
                "lag": "{{ answer.body.cluster.nodes[0].lag }}",
            },
        )
        assert outcome.values == {"status": "200", "ready": "true", "lag": "3"}
        assert received.startswith(b"POST /state?x=1 HTTP/1.1\r\n")
        assert f"Authorization: Bearer {SECRET}\r\n".encode() in received
        assert received.endswith(b"\r\n\r\nhello")


async def test_http_failures_say_what_was_answered(interpreter: Interpreter) -> None:
    for answer, http, sentence in (
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", {}, "expected status 200, answered 503, 'busy'"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            {"parse": "json"},
            "'dict object' has no attribute 'b'",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{x",
            {"parse": "json"},
            "expected JSON, answered '{x'",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", {}, "gave no complete HTTP answer"),
        (b"garbage\r\n\r\n", {}, "no HTTP status line"),
    ):
        with pytest.raises(ToolError, match=sentence):
            await _http(answer, interpreter, http, expect="answer.body.b.c == 1")
    with pytest.raises(ToolError, match="https is not spoken"):
        await run_steps(interpreter, {"http": {"path": "/"}}, connections={"me": {"http": "user@127.0.0.1"}})
