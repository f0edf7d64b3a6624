"""The tool language against real servers on sockets: what is sent, captured, retried, kept and said on failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.decoding import decode
from agent.document import Tool
from agent.process.reaper import Reaper
from agent.settings import Settings
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter, Outcome
from agent.tooling.tcp import ConnectionPool
from agent.tooling.variables import Secrets

SECRET = "s3cret-value"


@pytest.fixture
def interpreter(tmp_path: Path) -> Interpreter:
    for name in ("data", "scripts", "secrets"):
        (tmp_path / name).mkdir()
    (tmp_path / "secrets" / "password").write_text(SECRET + "\n")
    settings = Settings.from_environment(
        {
            "MW_DATA_DIR": str(tmp_path / "data"),
            "MW_SCRIPTS_DIR": str(tmp_path / "scripts"),
            "MW_SECRETS_DIR": str(tmp_path / "secrets"),
        }
    )
    # No programs here (see test_run): a reaper in this process would take the exit codes of other tests' children.
    return Interpreter(settings, Secrets(settings.secrets_dir), Reaper())


async def _run(interpreter: Interpreter, *steps: dict[str, Any], **options: Any) -> Outcome:
    known = options.pop("known", {"node.name": "n0", "node.first": "true"})
    arguments, pool, line = options.pop("arguments", None), options.pop("pool", None), options.pop("line", None)
    tool = decode(Tool, {"steps": list(steps)} | options, "tool")
    return await interpreter.run("probe", tool, known, arguments=arguments, pool=pool, line=line)


@dataclass
class FakeEngine:
    """Fake because only a scripted peer closes, stalls and splits its answers at a chosen moment.

    Answers each line with ``answers[line]``; a list is sent in pieces, None closes, a missing one is silence.
    """

    answers: dict[str, str | list[str] | None]
    received: list[str] = field(default_factory=list)
    connections: int = 0
    address: str = ""
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        while line := (await reader.readline()).decode():
            self.received.append(line.strip())
            if line.strip() not in self.answers:
                continue
            answer = self.answers[line.strip()]
            if answer is None:
                break
            for piece in [answer] if isinstance(answer, str) else answer:
                writer.write(piece.encode())
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()

    def drop_connections(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def _engine(**answers: str | list[str] | None) -> AsyncIterator[FakeEngine]:
    engine = FakeEngine(answers)
    async with _listening(engine.serve) as engine.address:
        yield engine
        engine.drop_connections()


async def test_set_captures_results_and_literal_dollars(interpreter: Interpreter) -> None:
    outcome = await _run(
        interpreter,
        {"set": {"greeting": "hello ${node.name}", "literal": "$${node.name}"}},
        result={"text": "${greeting}", "raw": "${literal}", "role": "slave"},
        roles={"slave": "replica"},
    )
    assert outcome.values == {"text": "hello n0", "raw": "${node.name}", "role": "replica"}


async def test_an_unknown_name_fails_with_that_name(interpreter: Interpreter) -> None:
    with pytest.raises(ToolError, match=r"^tool probe, step 2 'use it': \$\{nothing\} is unknown$"):
        await _run(interpreter, {"set": {"a": "b"}}, {"name": "use it", "set": {"c": "${nothing}"}})


async def test_a_name_that_was_not_captured_is_empty_and_when_can_ask_for_it(interpreter: Interpreter) -> None:
    async with _engine(ask="-ERR no\r\n") as engine:
        outcome = await _run(
            interpreter,
            {
                "tcp": {"address": engine.address, "send": "ask\n"},
                "expect": r"\+(?P<it>\w+)",
                "timeout": 0.2,
                "optional": True,
            },
            {"when": {"${it}": ""}, "set": {"answer": "none"}},
            {"when": {"${it}": ".+"}, "set": {"answer": "some"}},
            result={"answer": "${answer}"},
        )
    assert outcome.values == {"answer": "none"}


async def test_when_must_match_fully_and_all_must_hold(interpreter: Interpreter) -> None:
    outcome = await _run(
        interpreter,
        {"when": {"${node.name}": "n"}, "set": {"a": "partial"}},
        {"when": {"${node.name}": "n0", "${node.first}": "false"}, "set": {"a": "one of two"}},
        {"when": {"${node.name}": r"n\d", "${node.first}": "true"}, "set": {"b": "both"}},
        result={"a": "${a}", "b": "${b}"},
    )
    assert outcome.values == {"a": "", "b": "both"}


async def test_fail_says_its_sentence(interpreter: Interpreter) -> None:
    with pytest.raises(ToolError, match=r"^tool probe, step 1: n0 must wait$"):
        await _run(interpreter, {"fail": "${node.name} must wait"})


async def test_an_answer_in_pieces_is_read_until_it_matches(interpreter: Interpreter) -> None:
    async with _engine(INFO=["ro", "le:mas", "ter\r\noff", "set:7\r\n"]) as engine:
        outcome = await _run(
            interpreter,
            {
                "tcp": {"address": engine.address, "send": "INFO\n"},
                "expect": r"(?s)^role:(?P<role>\w+)\r\n.*^offset:(?P<n>\d+)\r",
            },
            result={"role": "${role}", "position": "${n}"},
        )
    assert outcome.values == {"role": "master", "position": "7"}


async def test_without_expect_it_reads_until_the_peer_closes(interpreter: Interpreter) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"Mode: leader\nZxid: 0x5\n")
        writer.close()

    async with _listening(serve) as address:
        outcome = await _run(
            interpreter,
            {"tcp": {"address": address, "send": "stat\n"}, "table": r"^(?P<key>\w+): (?P<value>\w+)$"},
        )
    assert outcome.values == {"Mode": "leader", "Zxid": "0x5"}


async def test_a_wrong_answer_names_step_expectation_and_answer(interpreter: Interpreter) -> None:
    async with _engine(PING="-LOADING\r\n") as engine:
        with pytest.raises(ToolError) as failure:
            await _run(
                interpreter,
                {
                    "name": "ping",
                    "tcp": {"address": engine.address, "send": "PING\n"},
                    "expect": r"^\+PONG",
                    "timeout": 0.2,
                },
            )
    assert str(failure.value) == (
        rf"tool probe, step 1 'ping': expected /^\+PONG/ from {engine.address} within 0.2 s, answered '-LOADING\r\n'"
    )


async def test_a_silent_peer_and_a_closed_port_are_told_apart(interpreter: Interpreter) -> None:
    async with _engine() as engine:
        with pytest.raises(ToolError, match=r"within 0.2 s, answered nothing$"):
            await _run(interpreter, {"tcp": {"address": engine.address, "send": "x\n"}, "expect": "y", "timeout": 0.2})
    with pytest.raises(ToolError, match=f"cannot connect to {engine.address}"):
        await _run(interpreter, {"tcp": {"address": engine.address, "send": "x\n"}, "expect": "y"})


async def test_a_kept_connection_logs_in_once_and_drops_what_was_left_of_the_last_answer(
    interpreter: Interpreter,
) -> None:
    async with _engine(**{f"AUTH {SECRET}": "+OK\r\n", "INFO": "role:a\r\nleft over role:b\r\n"}) as engine:
        pool = ConnectionPool()
        step = {
            "tcp": {
                "address": engine.address,
                "send": "INFO\n",
                "keep": True,
                "login": "AUTH ${secret.password}\n",
                "loginExpect": r"^\+OK\r\n",
            },
            "expect": r"^role:(?P<role>\w+)\r\n",
        }
        for _ in range(3):
            outcome = await _run(interpreter, step, pool=pool, result={"role": "${role}"})
            assert outcome.values == {"role": "a"}
        assert (engine.connections, engine.received) == (1, [f"AUTH {SECRET}", "INFO", "INFO", "INFO"])
        engine.drop_connections()
        assert (await _run(interpreter, step, pool=pool, result={"role": "${role}"})).values == {"role": "a"}
        assert engine.connections == 2
        pool.close()


async def test_a_failed_exchange_is_not_kept(interpreter: Interpreter) -> None:
    async with _engine(ask="late\n") as engine:
        pool = ConnectionPool()
        tcp = {"address": engine.address, "send": "nothing\n", "keep": True}
        with pytest.raises(ToolError):
            await _run(interpreter, {"tcp": tcp, "expect": "x", "timeout": 0.1}, pool=pool)
        await _run(interpreter, {"tcp": tcp | {"send": "ask\n"}, "expect": "late\n"}, pool=pool)
        assert engine.connections == 2
        pool.close()


async def test_a_refused_login_says_so_without_the_secret(interpreter: Interpreter) -> None:
    async with _engine(**{f"AUTH {SECRET}": None}) as engine:
        with pytest.raises(ToolError) as failure:
            await _run(
                interpreter,
                {
                    "tcp": {
                        "address": engine.address,
                        "send": "PING\n",
                        "login": "AUTH ${secret.password}\n",
                        "loginExpect": r"^\+OK",
                    },
                    "expect": "PONG",
                },
            )
    assert "login failed" in str(failure.value)
    assert SECRET not in str(failure.value)


async def test_an_answer_that_echoes_a_secret_is_masked_in_errors_and_results(interpreter: Interpreter) -> None:
    async with _engine(get=f"requirepass {SECRET}\n") as engine:
        tcp = {"address": engine.address, "send": "get\n"}
        with pytest.raises(ToolError, match=r"requirepass \*\*\*"):
            await _run(interpreter, {"tcp": tcp, "expect": "other", "timeout": 0.2})
        outcome = await _run(interpreter, {"tcp": tcp, "expect": "\n", "table": r"(?P<key>\w+) (?P<value>\S+)"})
    assert outcome.values == {"requirepass": "***"}


@pytest.mark.parametrize(
    "step",
    [
        {"run": {"argv": ["/bin/echo", "${secret.password}"]}},
        {"set": {"a": "${secret.password}"}},
        {"http": {"url": "http://127.0.0.1:1/${secret.password}"}},
        {"fail": "${secret.password}"},
    ],
)
async def test_a_secret_is_refused_where_others_could_read_it(interpreter: Interpreter, step: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match=r"\$\{secret.password\} is not allowed here"):
        await _run(interpreter, step)


async def test_an_unknown_secret_is_named(interpreter: Interpreter) -> None:
    for name in ("absent", "../password"):
        with pytest.raises(ToolError, match=f"secret.{name}"):
            await _run(interpreter, {"tcp": {"address": "127.0.0.1:1", "send": f"${{secret.{name}}}"}})


async def test_first_of_stops_at_the_first_success_and_remembers_it(interpreter: Interpreter) -> None:
    async with _engine(ask="no\n") as wrong, _engine(ask="master\n") as right, _engine(ask="master\n") as unasked:
        outcome = await _run(
            interpreter,
            {
                "firstOf": [wrong.address, right.address, unasked.address],
                "tcp": {"address": "${item}", "send": "ask\n"},
                "expect": "(?P<found>master)\n",
                "timeout": 0.2,
            },
            {"set": {"primary": "${item}"}},
            result={"primary": "${primary}"},
        )
        assert outcome.values == {"primary": right.address}
        assert (wrong.connections, right.connections, unasked.connections) == (1, 1, 0)
        with pytest.raises(ToolError, match=f"none succeeded: {wrong.address}: expected /master/"):
            await _run(
                interpreter,
                {
                    "firstOf": [wrong.address],
                    "tcp": {"address": "${item}", "send": "ask\n"},
                    "expect": "master",
                    "timeout": 0.1,
                },
            )


async def test_for_each_runs_over_texts_objects_words_and_arguments(interpreter: Interpreter) -> None:
    async with _engine(**{"a": "ok\n", "b": "ok\n", "x=1": "ok\n", "max=2": "ok\n", "min=1": "ok\n"}) as engine:
        tcp = {"address": engine.address}
        await _run(
            interpreter,
            {"set": {"words": "a b"}},
            {"forEach": ["a", "b"], "tcp": tcp | {"send": "${item}\n"}, "expect": "ok"},
            {"forEach": [{"k": "x", "v": 1}], "tcp": tcp | {"send": "${item.k}=${item.v}\n"}, "expect": "ok"},
            {"forEach": "${words}", "when": {"${item}": "b"}, "tcp": tcp | {"send": "${item}\n"}, "expect": "ok"},
            {"forEach": "arguments", "tcp": tcp | {"send": "${item.name}=${item.value}\n"}, "expect": "ok"},
            arguments={"min": "1", "max": "2"},
        )
    assert engine.received == ["a", "b", "x=1", "b", "max=2", "min=1"]


async def test_repeat_tries_until_it_succeeds_or_its_time_is_over(interpreter: Interpreter) -> None:
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readline()).decode())
        writer.write(b"synced\n" if len(seen) == 3 else b"syncing\n")
        writer.close()

    async with _listening(serve) as address:
        step = {
            "tcp": {"address": address, "send": "?\n"},
            "expect": "^synced",
            "repeat": {"every": 0.02, "timeout": 5},
        }
        await _run(interpreter, step)
        assert len(seen) == 3
        with pytest.raises(ToolError, match=r"answered 'syncing\\n' \(tried for 0.1 s\)"):
            await _run(interpreter, step | {"repeat": {"every": 0.02, "timeout": 0.1}})


async def test_the_tools_deadline_holds_over_all_repetitions(interpreter: Interpreter) -> None:
    with pytest.raises(ToolError, match=r"step 1: not finished within the tool's 0\.2 s"):
        await _run(interpreter, {"fail": "no", "repeat": {"every": 0.05, "timeout": 60}}, timeout=0.2)


async def test_values_in_patterns_are_matched_literally(interpreter: Interpreter) -> None:
    async with _engine(ask="host 10x0y0z1\n", again="host 10.0.0.1\n") as engine:
        step = {"tcp": {"address": engine.address, "send": "ask\n"}, "expect": "host ${node.address}\n", "timeout": 0.2}
        with pytest.raises(ToolError):
            await _run(interpreter, step, known={"node.address": "10.0.0.1"})
        step["tcp"] = {"address": engine.address, "send": "again\n"}
        await _run(interpreter, step, known={"node.address": "10.0.0.1"})


async def test_write_is_atomic_and_stays_below_the_data_directory(interpreter: Interpreter) -> None:
    await _run(interpreter, {"write": {"path": "/middleware/a/b", "content": "p ${secret.password}", "mode": "0600"}})
    path = interpreter.settings.data_dir / "a" / "b"
    assert path.read_text() == f"p {SECRET}"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["b"], "no temporary file is left"
    for refused in ("/etc/passwd", "/middleware/../x", "/middleware/.agent/record.json", "/scripts/x", "/middlewarex"):
        with pytest.raises(ToolError, match="is refused"):
            await _run(interpreter, {"write": {"path": refused, "content": ""}})


async def _http(answer: bytes, interpreter: Interpreter, http: dict[str, Any], **step: Any) -> tuple[Outcome, bytes]:
    received = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        received = head + await reader.readexactly(length)
        writer.write(answer)
        writer.close()

    async with _listening(serve) as address:
        outcome = await _run(
            interpreter,
            {"http": {"url": f"http://{address}/state?x=1"} | http} | step,
            result={name: "${" + name + "}" for name in http.get("json", {})},
        )
    return outcome, received


async def test_http_sends_headers_and_body_and_captures_json(interpreter: Interpreter) -> None:
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
                "headers": {"Authorization": "Bearer ${secret.password}"},
                "body": "hello",
                "json": {"ready": "cluster.nodes.0.ready", "lag": "cluster.nodes.0.lag"},
            },
        )
        assert outcome.values == {"ready": "true", "lag": "3"}
        assert received.startswith(b"POST /state?x=1 HTTP/1.1\r\n")
        assert f"Authorization: Bearer {SECRET}\r\n".encode() in received
        assert received.endswith(b"\r\n\r\nhello")


async def test_http_failures_say_what_was_answered(interpreter: Interpreter) -> None:
    for answer, http, sentence in (
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", {}, "expected status 200, answered 503, 'busy'"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            {"json": {"a": "b.c"}},
            "expected 'b.c' in the JSON answer",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", {}, "gave no complete HTTP answer"),
        (b"garbage\r\n\r\n", {}, "no HTTP status line"),
    ):
        with pytest.raises(ToolError, match=sentence):
            await _http(answer, interpreter, http)
    with pytest.raises(ToolError, match="https is not spoken"):
        await _run(interpreter, {"http": {"url": "https://127.0.0.1/"}})


async def test_count_says_how_often_a_pattern_is_found(interpreter: Interpreter) -> None:
    lines = "slave0:lag=0\r\nslave1:lag=1\r\nslave2:lag=7\r\nend\r\n"
    async with _engine(ask=lines) as engine:
        step = {"tcp": {"address": engine.address, "send": "ask\n"}, "expect": "^end\r\n"}
        outcome = await _run(
            interpreter,
            {"set": {"limit": "1"}},
            step | {"count": {"near": r"^slave\d+:lag=[0${limit}]\r$", "all": "^slave", "none": "^master"}},
            {"when": {"${near}": "[2-9]"}, "set": {"enough": "yes"}},
            result={name: f"${{{name}}}" for name in ("near", "all", "none", "enough")},
        )
    assert outcome.values == {"near": "2", "all": "3", "none": "0", "enough": "yes"}


async def test_what_was_not_counted_is_empty(interpreter: Interpreter) -> None:
    step = {"set": {"a": "b"}, "when": {"never": "ever"}, "count": {"found": "x"}}
    assert (await _run(interpreter, step, result={"found": "${found}"})).values == {"found": ""}
    with pytest.raises(ToolError, match=r"\$\{secret\.password\} is not allowed here"):
        await _run(interpreter, {"set": {"a": "b"}, "count": {"found": "${secret.password}"}})
