"""The tool language against real servers on sockets: what is sent, captured, retried, kept and said on failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from agent.tooling.tcp import ConnectionPool
from tests.unit.agent.tooling.peers import SECRET, answering, interpreter, listening, run_steps

__all__ = ["interpreter"]


async def test_set_captures_results_and_literal_dollars(interpreter: Interpreter) -> None:
    outcome = await run_steps(
        interpreter,
        {"set": {"greeting": "hello ${node.name}", "literal": "$${node.name}"}},
        result={"text": "${greeting}", "raw": "${literal}", "role": "slave"},
        roles={"slave": "replica"},
    )
    assert outcome.values == {"text": "hello n0", "raw": "${node.name}", "role": "replica"}


async def test_an_unknown_name_fails_with_that_name(interpreter: Interpreter) -> None:
    with pytest.raises(ToolError, match=r"^tool probe, step 2 'use it': \$\{nothing\} is unknown$"):
        await run_steps(interpreter, {"set": {"a": "b"}}, {"name": "use it", "set": {"c": "${nothing}"}})


async def test_a_name_that_was_not_captured_is_empty_and_when_can_ask_for_it(interpreter: Interpreter) -> None:
    async with answering(ask="-ERR no\r\n") as engine:
        outcome = await run_steps(
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
    outcome = await run_steps(
        interpreter,
        {"when": {"${node.name}": "n"}, "set": {"a": "partial"}},
        {"when": {"${node.name}": "n0", "${node.first}": "false"}, "set": {"a": "one of two"}},
        {"when": {"${node.name}": r"n\d", "${node.first}": "true"}, "set": {"b": "both"}},
        result={"a": "${a}", "b": "${b}"},
    )
    assert outcome.values == {"a": "", "b": "both"}


async def test_fail_says_its_sentence(interpreter: Interpreter) -> None:
    with pytest.raises(ToolError, match=r"^tool probe, step 1: n0 must wait$"):
        await run_steps(interpreter, {"fail": "${node.name} must wait"})


async def test_what_a_failing_tool_had_found_is_told_and_what_it_had_not_is_left_out(interpreter: Interpreter) -> None:
    steps: list[dict[str, Any]] = [{"set": {"a": "", "b": "found"}}, {"fail": "no further"}, {"set": {"c": "late"}}]
    with pytest.raises(ToolError, match="no further") as failure:
        await run_steps(interpreter, *steps, result={"a": "${a}", "both": "${b}${c}", "c": "${c}", "d": "${a}x"})
    assert failure.value.values == {"a": "", "d": "x"}


async def test_an_answer_in_pieces_is_read_until_it_matches(interpreter: Interpreter) -> None:
    async with answering(INFO=["ro", "le:mas", "ter\r\noff", "set:7\r\n"]) as engine:
        outcome = await run_steps(
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

    async with listening(serve) as address:
        outcome = await run_steps(
            interpreter,
            {"tcp": {"address": address, "send": "stat\n"}, "table": r"^(?P<key>\w+): (?P<value>\w+)$"},
        )
    assert outcome.values == {"Mode": "leader", "Zxid": "0x5"}


async def test_a_wrong_answer_names_step_expectation_and_answer(interpreter: Interpreter) -> None:
    async with answering(PING="-LOADING\r\n") as engine:
        with pytest.raises(ToolError) as failure:
            await run_steps(
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
    async with answering() as engine:
        with pytest.raises(ToolError, match=r"within 0.2 s, answered nothing$"):
            await run_steps(
                interpreter, {"tcp": {"address": engine.address, "send": "x\n"}, "expect": "y", "timeout": 0.2}
            )
    with pytest.raises(ToolError, match=f"cannot connect to {engine.address}"):
        await run_steps(interpreter, {"tcp": {"address": engine.address, "send": "x\n"}, "expect": "y"})


async def test_a_kept_connection_logs_in_once_and_drops_what_was_left_of_the_last_answer(
    interpreter: Interpreter,
) -> None:
    async with answering(**{f"AUTH {SECRET}": "+OK\r\n", "INFO": "role:a\r\nleft over role:b\r\n"}) as engine:
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
            outcome = await run_steps(interpreter, step, pool=pool, result={"role": "${role}"})
            assert outcome.values == {"role": "a"}
        assert (engine.connections, engine.received) == (1, [f"AUTH {SECRET}", "INFO", "INFO", "INFO"])
        engine.drop_connections()
        assert (await run_steps(interpreter, step, pool=pool, result={"role": "${role}"})).values == {"role": "a"}
        assert engine.connections == 2
        pool.close()


async def test_a_failed_exchange_is_not_kept(interpreter: Interpreter) -> None:
    async with answering(ask="late\n") as engine:
        pool = ConnectionPool()
        tcp = {"address": engine.address, "send": "nothing\n", "keep": True}
        with pytest.raises(ToolError):
            await run_steps(interpreter, {"tcp": tcp, "expect": "x", "timeout": 0.1}, pool=pool)
        await run_steps(interpreter, {"tcp": tcp | {"send": "ask\n"}, "expect": "late\n"}, pool=pool)
        assert engine.connections == 2
        pool.close()


async def test_a_refused_login_says_so_without_the_secret(interpreter: Interpreter) -> None:
    async with answering(**{f"AUTH {SECRET}": None}) as engine:
        with pytest.raises(ToolError) as failure:
            await run_steps(
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


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("-WRONGPASS invalid username-password pair\r\n", True),
        (["-WRONG", "PASS invalid\r\n"], True),
        ("-ERR max number of clients reached\r\n", False),
        (["-ERR max number", " of clients reached\r\n"], False),
        ("", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("closes", [True, False])
async def test_only_an_answer_that_the_plugin_calls_so_is_a_refused_login(
    interpreter: Interpreter, answer: str | list[str] | None, refused: bool, closes: bool
) -> None:
    """An engine that had no connection left was told as a wrong password: its operator would have edited the Secret."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        for piece in [answer] if isinstance(answer, str) else answer or []:
            writer.write(piece.encode())
            await writer.drain()
            await asyncio.sleep(0.01)
        if not closes:
            await reader.read()
        writer.close()

    async with listening(serve) as address:
        login = {"login": "AUTH ${secret.password}\n", "loginExpect": r"^\+OK", "loginRefused": r"^-WRONGPASS"}
        step = {"tcp": {"address": address, "send": "PING\n", **login}, "expect": "PONG", "timeout": 0.3}
        with pytest.raises(ToolError) as failure:
            await run_steps(interpreter, step)
    assert failure.value.login_refused is refused, str(failure.value)


async def test_an_answer_that_echoes_a_secret_is_masked_in_errors_and_results(interpreter: Interpreter) -> None:
    async with answering(get=f"requirepass {SECRET}\n") as engine:
        tcp = {"address": engine.address, "send": "get\n"}
        with pytest.raises(ToolError, match=r"requirepass \*\*\*"):
            await run_steps(interpreter, {"tcp": tcp, "expect": "other", "timeout": 0.2})
        outcome = await run_steps(interpreter, {"tcp": tcp, "expect": "\n", "table": r"(?P<key>\w+) (?P<value>\S+)"})
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
        await run_steps(interpreter, step)


async def test_an_unknown_secret_is_named(interpreter: Interpreter) -> None:
    for name in ("absent", "../password"):
        with pytest.raises(ToolError, match=f"secret.{name}"):
            await run_steps(interpreter, {"tcp": {"address": "127.0.0.1:1", "send": f"${{secret.{name}}}"}})


async def test_first_of_stops_at_the_first_success_and_remembers_it(interpreter: Interpreter) -> None:
    async with answering(ask="no\n") as wrong, answering(ask="master\n") as right, answering(ask="master\n") as unasked:
        outcome = await run_steps(
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
            await run_steps(
                interpreter,
                {
                    "firstOf": [wrong.address],
                    "tcp": {"address": "${item}", "send": "ask\n"},
                    "expect": "master",
                    "timeout": 0.1,
                },
            )


async def test_for_each_runs_over_texts_objects_words_and_arguments(interpreter: Interpreter) -> None:
    async with answering(**{"a": "ok\n", "b": "ok\n", "x=1": "ok\n", "max=2": "ok\n", "min=1": "ok\n"}) as engine:
        tcp = {"address": engine.address}
        await run_steps(
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

    async with listening(serve) as address:
        step = {
            "tcp": {"address": address, "send": "?\n"},
            "expect": "^synced",
            "repeat": {"every": 0.02, "timeout": 5},
        }
        await run_steps(interpreter, step)
        assert len(seen) == 3
        with pytest.raises(ToolError, match=r"answered 'syncing\\n' \(tried for 0.1 s\)"):
            await run_steps(interpreter, step | {"repeat": {"every": 0.02, "timeout": 0.1}})


async def test_the_tools_deadline_holds_over_all_repetitions(interpreter: Interpreter) -> None:
    with pytest.raises(ToolError, match=r"step 1: not finished within the tool's 0\.2 s"):
        await run_steps(interpreter, {"fail": "no", "repeat": {"every": 0.05, "timeout": 60}}, timeout=0.2)


async def test_the_tools_deadline_holds_over_steps_that_each_have_more_time(interpreter: Interpreter) -> None:
    async with answering() as silent:
        step = {"tcp": {"address": silent.address, "send": "ask\n"}, "expect": "ok", "timeout": 0.3, "optional": True}
        with pytest.raises(ToolError, match=r"step 2: not finished within the tool's 0\.5 s"):
            await run_steps(interpreter, step, step, timeout=0.5)


async def test_a_condition_on_the_item_that_was_chosen_before_is_asked(interpreter: Interpreter) -> None:
    """It was passed over without a word: the step ran whatever had been chosen, and so did its opposite."""
    chosen = {"firstOf": ["rewound"], "set": {"a": "b"}}
    outcome = await run_steps(
        interpreter,
        chosen,
        {"when": {"${item}": "rewound"}, "set": {"did": "rewound"}},
        {"when": {"${item}": "cloned"}, "set": {"did": "cloned"}},
        result={"did": "${did}"},
    )
    assert outcome.values == {"did": "rewound"}
    with pytest.raises(ToolError, match="item"):
        await run_steps(interpreter, {"when": {"${item}": "rewound"}, "set": {"a": "b"}})


async def test_a_condition_of_all_items_passes_over_for_each_and_fails_first_of(interpreter: Interpreter) -> None:
    never = {"when": {"${node.name}": "n1", "${item}": ".*"}, "fail": "done"}
    await run_steps(interpreter, {"forEach": ["a", "b"], **never})
    with pytest.raises(ToolError, match="none succeeded: a: passed over by when; b: passed over by when"):
        await run_steps(interpreter, {"firstOf": ["a", "b"], **never})
    with pytest.raises(ToolError, match="step 1: done"):
        await run_steps(interpreter, {"forEach": ["a"], **never}, known={"node.name": "n1", "node.first": "true"})


async def test_values_in_patterns_are_matched_literally(interpreter: Interpreter) -> None:
    async with answering(ask="host 10x0y0z1\n", again="host 10.0.0.1\n") as engine:
        step = {"tcp": {"address": engine.address, "send": "ask\n"}, "expect": "host ${node.address}\n", "timeout": 0.2}
        with pytest.raises(ToolError):
            await run_steps(interpreter, step, known={"node.address": "10.0.0.1"})
        step["tcp"] = {"address": engine.address, "send": "again\n"}
        await run_steps(interpreter, step, known={"node.address": "10.0.0.1"})


async def test_write_is_atomic_and_stays_below_the_data_directory(interpreter: Interpreter) -> None:
    await run_steps(
        interpreter, {"write": {"path": "/middleware/a/b", "content": "p ${secret.password}", "mode": "0600"}}
    )
    path = interpreter.settings.data_dir / "a" / "b"
    assert path.read_text() == f"p {SECRET}"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["b"], "no temporary file is left"
    for refused in ("/etc/passwd", "/middleware/../x", "/middleware/.agent/record.json", "/scripts/x", "/middlewarex"):
        with pytest.raises(ToolError, match="is refused"):
            await run_steps(interpreter, {"write": {"path": refused, "content": ""}})


async def test_collect_gathers_what_a_pattern_finds(interpreter: Interpreter) -> None:
    lines = "slave0:lag=0\r\nslave1:lag=1\r\nslave2:lag=7\r\nend\r\n"
    async with answering(ask=lines) as engine:
        step = {"tcp": {"address": engine.address, "send": "ask\n"}, "expect": "^end\r\n"}
        outcome = await run_steps(
            interpreter,
            {"set": {"limit": "1"}},
            step | {"collect": {"near": r"^(slave\d+):lag=[0${limit}]\r$", "all": "^slave", "none": "^master"}},
            {"when": {"${near}": ".+"}, "set": {"enough": "yes"}},
            result={name: f"${{{name}}}" for name in ("near", "all", "none", "enough")},
        )
    assert outcome.values == {"near": "slave0 slave1", "all": "slave slave slave", "none": "", "enough": "yes"}


async def test_what_was_not_collected_is_empty(interpreter: Interpreter) -> None:
    step = {"set": {"a": "b"}, "when": {"never": "ever"}, "collect": {"found": "x"}}
    assert (await run_steps(interpreter, step, result={"found": "${found}"})).values == {"found": ""}
    with pytest.raises(ToolError, match=r"\$\{secret\.password\} is not allowed here"):
        await run_steps(interpreter, {"set": {"a": "b"}, "collect": {"found": "${secret.password}"}})
