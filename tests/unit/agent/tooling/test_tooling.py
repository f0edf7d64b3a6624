"""The tool language against real servers on sockets: what is sent, named, repeated, kept and said on failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.tooling.connections import ConnectionPool
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from tests.unit.agent.tooling.peers import SECRET, answering, interpreter, listening, redis, run_steps

__all__ = ["interpreter"]


def to(address: str, **more: Any) -> dict[str, Any]:
    """One connection, by line or RESP."""
    return {"me": {"tcp": address, **more}}


def resp(address: str, **more: Any) -> dict[str, Any]:
    return {"me": {"resp": address, "login": ["{{ secret.password }}"], **more}}


async def test_results_keep_what_steps_named(interpreter: Interpreter) -> None:
    outcome = await run_steps(
        interpreter,
        {"set": {"greeting": "hello {{ node.name }}", "number": "{{ 1 + 1 }}"}},
        result={"text": "{{ greeting }}", "more": "{{ number + 1 }}", "both": "{{ [greeting, number] }}"},
    )
    assert outcome.values == {"text": "hello n0", "more": "3", "both": "hello n0 2"}
    assert outcome.result["more"] == 3


async def test_an_unknown_name_fails_with_that_name(interpreter: Interpreter) -> None:
    with pytest.raises(ToolError, match=r"^tool probe, step 2 'use it': \{\{ nothing \}\}: 'nothing' is undefined$"):
        await run_steps(interpreter, {"set": {"a": "b"}}, {"name": "use it", "set": {"c": "{{ nothing }}"}})


async def test_fail_says_its_sentence(interpreter: Interpreter) -> None:
    with pytest.raises(ToolError, match=r"^tool probe, step 1: n0 must wait$"):
        await run_steps(interpreter, {"fail": "{{ node.name }} must wait"})


async def test_else_and_blocks(interpreter: Interpreter) -> None:
    outcome = await run_steps(
        interpreter,
        {
            "when": "node.name == 'n1'",
            "set": {"was": "other"},
            "else": [{"when": "node.first", "steps": [{"set": {"was": "first"}}, {"set": {"deep": "{{ was }}"}}]}],
        },
        result={"was": "{{ was }}", "deep": "{{ deep }}"},
    )
    assert outcome.values == {"was": "first", "deep": "first"}


async def test_what_a_failing_tool_had_found_is_told_and_what_it_had_not_is_left_out(interpreter: Interpreter) -> None:
    steps: list[dict[str, Any]] = [{"set": {"a": "", "b": "found"}}, {"fail": "no further"}, {"set": {"c": "late"}}]
    with pytest.raises(ToolError, match="no further") as failure:
        await run_steps(interpreter, *steps, result={"a": "{{ a }}", "both": "{{ b ~ c }}", "d": "{{ a }}x"})
    assert failure.value.values == {"a": "", "d": "x"}


async def test_a_failure_that_is_optional_is_a_value(interpreter: Interpreter) -> None:
    async with answering() as silent:
        outcome = await run_steps(
            interpreter,
            {"tcp": {"send": "ask\n", "end": "x"}, "as": "answer", "timeout": 0.1, "optional": True},
            {"when": "answer is failed", "set": {"why": "{{ answer.error }}"}},
            connections=to(silent.address),
            result={"why": "{{ why }}", "answer": "{{ answer }}"},
        )
    assert "did not answer the request within 0.1 s" in outcome.values["why"]
    assert outcome.values["answer"] == ""


async def test_on_failure_goes_another_way(interpreter: Interpreter) -> None:
    outcome = await run_steps(
        interpreter,
        {"fail": "cannot rewind", "onFailure": [{"set": {"did": "cloned, as it {{ error }}"}}]},
        result={"did": "{{ did }}"},
    )
    assert outcome.values == {"did": "cloned, as it cannot rewind"}
    with pytest.raises(ToolError, match=r"step 1, onFailure, step 1: this neither"):
        await run_steps(interpreter, {"fail": "cannot", "onFailure": [{"fail": "this neither"}]})


async def test_a_sequence_sees_its_arguments_and_nothing_of_its_caller(interpreter: Interpreter) -> None:
    add = {"steps": [{"set": {"sum": "{{ arg.a + arg.b }}"}}], "result": "{{ sum }}"}
    peek = {"steps": [{"set": {"seen": "{{ own is defined }}"}}], "result": "{{ seen }}"}
    outcome = await run_steps(
        interpreter,
        {"set": {"own": "mine"}},
        {"call": "add", "with": {"a": "{{ 1 }}", "b": 2}, "as": "sum"},
        {"call": "peek", "as": "seen"},
        sequences={"add": add, "peek": peek},
        result={"sum": "{{ sum }}", "seen": "{{ seen }}"},
    )
    assert outcome.values == {"sum": "3", "seen": "false"}
    with pytest.raises(ToolError, match="call each other more than"):
        await run_steps(interpreter, {"call": "a"}, sequences={"a": {"steps": [{"call": "a"}]}})


@pytest.mark.parametrize(("parts", "position"), [("[3, 7]", "3 7"), ("[3, none]", ""), ("[none]", ""), ("none", "")])
async def test_of_a_position_with_an_unknown_part_nothing_is_known(
    interpreter: Interpreter, parts: str, position: str
) -> None:
    """What was left of it was another position, from which all others had diverged."""
    outcome = await run_steps(interpreter, {"set": {"x": 1}}, result={"position": f"{{{{ {parts} }}}}"})
    assert outcome.values == {"position": position}


async def test_a_line_protocol_is_read_until_its_end_or_until_the_peer_closes(interpreter: Interpreter) -> None:
    async with answering(INFO=["ro", "le:mas", "ter\r\noff", "set:7\r\n."]) as engine:
        outcome = await run_steps(
            interpreter,
            {"tcp": {"send": "INFO\n", "end": "[.]$", "parse": "keyValue"}, "as": "info"},
            connections=to(engine.address),
            result={"role": "{{ info.role }}", "position": "{{ info.offset }}"},
        )
    assert outcome.values == {"role": "master", "position": "7"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"Mode: leader\nZxid: 0x5\n")
        writer.close()

    async with listening(serve) as address:
        step = {"tcp": {"send": "stat\n", "parse": "keyValue"}, "as": "stat"}
        outcome = await run_steps(interpreter, step, connections=to(address), result="{{ stat }}")
    assert outcome.values == {"Mode": "leader", "Zxid": "0x5"}


async def test_a_silent_peer_and_a_closed_port_are_told_apart(interpreter: Interpreter) -> None:
    step = {"tcp": {"send": "x\n", "end": "y"}, "timeout": 0.2}
    async with answering() as engine:
        with pytest.raises(ToolError, match=r"within 0.2 s; so far it answered nothing$"):
            await run_steps(interpreter, step, connections=to(engine.address))
    with pytest.raises(ToolError, match=f"cannot connect to {engine.address}"):
        await run_steps(interpreter, step, connections=to(engine.address))


async def test_a_kept_connection_logs_in_once(interpreter: Interpreter) -> None:
    async with redis({f"AUTH {SECRET}": "+OK", "INFO": "$6\r\nrole:a"}) as engine:
        pool = ConnectionPool()
        ask: dict[str, Any] = {"resp": ["INFO"], "as": "info"}
        for _ in range(3):
            outcome = await run_steps(
                interpreter,
                ask,
                connections=resp(engine.address, keep=True),
                pool=pool,
                result={"r": "{{ info.role }}"},
            )
            assert outcome.values == {"r": "a"}
        assert (engine.connections, engine.received) == (1, [f"AUTH {SECRET}", "INFO", "INFO", "INFO"])
        engine.drop_connections()
        await run_steps(interpreter, ask, connections=resp(engine.address, keep=True), pool=pool)
        assert engine.connections == 2
        pool.close()


async def test_a_failed_exchange_is_not_kept(interpreter: Interpreter) -> None:
    """What is left of its answer would be taken for the next one."""
    async with answering(ask="late\n") as engine:
        pool, connections = ConnectionPool(), to(engine.address, keep=True)
        step: dict[str, Any] = {"tcp": {"send": "nothing\n", "end": "x"}, "timeout": 0.1}
        with pytest.raises(ToolError):
            await run_steps(interpreter, step, pool=pool, connections=connections)
        await run_steps(interpreter, {"tcp": {"send": "ask\n", "end": "late\n"}}, pool=pool, connections=connections)
        assert engine.connections == 2
        pool.close()


async def test_what_was_left_of_an_answer_is_not_the_next_one(interpreter: Interpreter) -> None:
    async with answering(ask="a.\nleft over\n") as engine:
        pool = ConnectionPool()
        step = {"tcp": {"send": "ask\n", "end": "[.]\n"}, "as": "said"}
        for _ in range(3):
            outcome = await run_steps(
                interpreter,
                step,
                pool=pool,
                connections=to(engine.address, keep=True),
                result={"said": "{{ said.splitlines()[0] }}"},
            )
            assert outcome.values == {"said": "a."}
        assert engine.connections == 1
        pool.close()


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("-WRONGPASS invalid username-password pair", True),
        ("-ERR invalid password", True),
        ("-ERR max number of clients reached", False),
        ("-DENIED Redis is running in protected mode", False),
        (None, False),
    ],
)
async def test_only_a_refused_password_is_a_refused_login(
    interpreter: Interpreter, answer: str | None, refused: bool
) -> None:
    """An engine that had no connection left was told as a wrong password: its operator would have edited the Secret."""
    async with redis({f"AUTH {SECRET}": answer}) as engine:
        with pytest.raises(ToolError) as failure:
            await run_steps(interpreter, {"resp": ["PING"], "timeout": 1}, connections=resp(engine.address))
    assert failure.value.login_refused is refused, str(failure.value)
    assert SECRET not in str(failure.value)


async def test_what_an_engine_refuses_fails_the_step_or_is_a_value(interpreter: Interpreter) -> None:
    async with redis({f"AUTH {SECRET}": "+OK", "GET a": "-LOADING it loads", "GET b": "$1\r\nb"}) as engine:
        connections = resp(engine.address)
        with pytest.raises(ToolError, match="GET a: the engine answers 'LOADING it loads'"):
            await run_steps(interpreter, {"resp": ["GET", "a"]}, connections=connections)
        outcome = await run_steps(
            interpreter,
            {"resp": [["GET", "a"], ["GET", "b"]], "refusals": "value", "as": ["a", "b"]},
            connections=connections,
            result={"a": "{{ a.error if a is failed else a }}", "b": "{{ b }}"},
        )
    assert outcome.values == {"a": "LOADING it loads", "b": "b"}


async def test_expect_fails_and_says_what_came(interpreter: Interpreter) -> None:
    async with redis({f"AUTH {SECRET}": "+OK", "PING": "+LATER"}) as engine:
        step = {"name": "ping", "resp": ["PING"], "as": "pong", "expect": "pong == 'PONG'"}
        with pytest.raises(
            ToolError, match=r"^tool probe, step 1 'ping': expected pong == 'PONG', but pong is 'LATER'$"
        ):
            await run_steps(interpreter, step, connections=resp(engine.address))


async def test_an_answer_that_echoes_a_secret_is_masked_in_errors_and_results(interpreter: Interpreter) -> None:
    async with redis(
        {f"AUTH {SECRET}": "+OK", "CONFIG GET requirepass": f"*2\r\n$1\r\na\r\n${len(SECRET)}\r\n{SECRET}"}
    ) as engine:
        step = {"resp": ["CONFIG", "GET", "requirepass"], "as": "found"}
        with pytest.raises(ToolError, match=r"\*\*\*"):
            await run_steps(interpreter, step | {"expect": "false"}, connections=resp(engine.address))
        outcome = await run_steps(interpreter, step, connections=resp(engine.address), result="{{ found }}")
    assert outcome.values == {"a": "***"}


@pytest.mark.parametrize(
    "step",
    [
        {"run": {"argv": ["/bin/echo", "{{ secret.password }}"]}},
        {"set": {"a": "{{ secret.password }}"}},
        {"fail": "{{ secret.password }}"},
        {"when": "secret.password", "set": {"a": "b"}},
        {"call": "a", "with": {"a": "{{ secret.password }}"}},
    ],
)
async def test_a_secret_is_refused_where_others_could_read_it(interpreter: Interpreter, step: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="secret is not allowed here"):
        await run_steps(interpreter, step, sequences={"a": {"steps": [{"set": {"a": "b"}}]}})


async def test_first_of_stops_at_the_first_success_and_remembers_it(interpreter: Interpreter) -> None:
    async with answering(ask="no.\n") as wrong, answering(ask="yes.\n") as right, answering(ask="yes.\n") as unasked:
        step = {
            "firstOf": "addresses",
            "to": "me",
            "at": "{{ item }}",
            "tcp": {"send": "ask\n", "end": "[.]"},
            "as": "said",
            "expect": "said == 'yes.'",
        }
        addresses = [wrong.address, right.address, unasked.address]
        known = {"node": {"name": "n0"}, "addresses": addresses}
        outcome = await run_steps(
            interpreter,
            step,
            connections=to("{{ at }}"),
            known=known,
            result={"who": "{{ item }}", "said": "{{ said }}"},
        )
        assert outcome.values == {"who": right.address, "said": "yes."}
        assert (wrong.connections, right.connections, unasked.connections) == (1, 1, 0)
        with pytest.raises(ToolError, match=f"none succeeded: {wrong.address}: expected said == 'yes.'"):
            await run_steps(
                interpreter, step, connections=to("{{ at }}"), known={"addresses": [wrong.address], "node": {}}
            )


async def test_a_condition_can_ask_for_the_item_that_was_chosen(interpreter: Interpreter) -> None:
    outcome = await run_steps(
        interpreter,
        {"firstOf": "['rewound']", "set": {"a": "b"}},
        {"when": "item == 'rewound'", "set": {"did": "rewound"}},
        {"when": "item == 'cloned'", "set": {"did": "cloned"}},
        result={"did": "{{ did }}"},
    )
    assert outcome.values == {"did": "rewound"}
    with pytest.raises(ToolError, match="'item' is undefined"):
        await run_steps(interpreter, {"when": "item == 'rewound'", "set": {"a": "b"}})


async def test_for_each_of_steps_has_its_item_in_each_and_no_longer(interpreter: Interpreter) -> None:
    inner = [{"when": "item == 'b'", "set": {"found": "{{ item }}"}}, {"set": {"last": "{{ item }}"}}]
    outcome = await run_steps(
        interpreter,
        {"forEach": "['a', 'b', 'c']", "steps": inner},
        result={"found": "{{ found }}", "last": "{{ last }}", "item": "{{ item is defined }}"},
    )
    assert outcome.values == {"found": "b", "last": "c", "item": "false"}
    with pytest.raises(ToolError, match="x is no list, but 'text'"):
        await run_steps(interpreter, {"set": {"x": "text"}}, {"forEach": "x", "set": {"a": "b"}})
    with pytest.raises(ToolError, match="none succeeded: the list is empty"):
        await run_steps(interpreter, {"firstOf": "[]", "set": {"a": "b"}})


async def test_several_names_take_a_list_apart(interpreter: Interpreter) -> None:
    two = {"steps": [{"set": {"a": 1}}], "result": ["{{ a }}", "{{ a + 1 }}"]}
    step = {"call": "two", "as": ["one", "other"]}
    outcome = await run_steps(interpreter, step, sequences={"two": two}, result={"is": "{{ other - one }}"})
    assert outcome.values == {"is": "1"}
    with pytest.raises(ToolError, match="step 1: it gives 2 values, and as: names 3"):
        await run_steps(interpreter, {"call": "two", "as": ["a", "b", "c"]}, sequences={"two": two})
    gathered = {"forEach": "[1, 2]", "call": "two", "as": ["one", "other"], "into": "all"}
    outcome = await run_steps(interpreter, gathered, sequences={"two": two}, result={"all": "{{ all | length }}"})
    assert outcome.values == {"all": "2"}


async def test_vars_are_evaluated_where_they_are_used(interpreter: Interpreter) -> None:
    outcome = await run_steps(
        interpreter,
        {"set": {"said": "yes"}},
        {"when": "agreed", "set": {"did": "{{ both }}"}},
        vars={"agreed": "said == 'yes'", "both": "said ~ node.name ~ number", "number": 7},
        result={"did": "{{ did }}"},
    )
    assert outcome.values == {"did": "yesn07"}
    with pytest.raises(ToolError, match=r"vars.a asks for itself: a -> b -> a"):
        await run_steps(interpreter, {"when": "a", "set": {"x": "y"}}, vars={"a": "b", "b": "a"})


async def test_steps_that_wait_for_nobody_end_with_the_tools_time_and_hold_up_nobody(interpreter: Interpreter) -> None:
    """A plugin's loop over ten thousand items in each of ten thousand kept an agent from all else for ever."""
    loop = {"forEach": "range(10000)", "steps": [{"forEach": "range(10000)", "set": {"a": "{{ item }}"}}]}
    ticks = 0

    async def beats() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    beating = asyncio.ensure_future(beats())
    with pytest.raises(ToolError, match=r"not finished within the tool's 3 s"):
        await run_steps(interpreter, loop, timeout=3)
    beating.cancel()
    assert ticks >= 5, "of some hundred"


async def test_for_each_runs_over_lists_and_maps_and_gathers_what_came(interpreter: Interpreter) -> None:
    async with answering(**{"a": "ok.\n", "b": "no.\n", "x=1": "ok.\n"}) as engine:
        say = {"tcp": {"send": "{{ item }}\n", "end": "[.]"}, "as": "said"}
        outcome = await run_steps(
            interpreter,
            {"forEach": "['a', 'b']", **say, "expect": "said == 'ok.'", "into": "all", "optional": True},
            {"forEach": "arg", "tcp": {"send": "{{ item.name }}={{ item.value }}\n", "end": "[.]"}},
            connections=to(engine.address),
            arguments={"x": "1"},
            result={"all": "{{ all }}"},
        )
    assert (outcome.values, engine.received) == ({"all": "ok."}, ["a", "b", "x=1"])


async def test_until_asks_again_until_it_holds_or_its_time_is_over(interpreter: Interpreter) -> None:
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readline()).decode())
        writer.write(b"synced\n" if len(seen) == 3 else b"syncing\n")
        writer.close()

    async with listening(serve) as address:
        step = {"tcp": {"send": "?\n"}, "as": "state", "until": "state == 'synced'", "every": 0.02, "within": 5}
        await run_steps(interpreter, step, connections=to(address))
        assert len(seen) == 3
        with pytest.raises(ToolError, match=r"but state is 'syncing' \(tried for 0.1 s\)"):
            await run_steps(interpreter, step | {"within": 0.1}, connections=to(address))


async def test_the_tools_deadline_holds_over_all_repetitions(interpreter: Interpreter) -> None:
    with pytest.raises(ToolError, match=r"step 1: not finished within the tool's 0\.2 s"):
        await run_steps(interpreter, {"fail": "no", "until": "true", "every": 0.05, "within": 60}, timeout=0.2)


async def test_the_tools_deadline_holds_over_steps_that_each_have_more_time(interpreter: Interpreter) -> None:
    async with answering() as silent:
        step = {"tcp": {"send": "ask\n", "end": "ok"}, "timeout": 0.3, "optional": True}
        with pytest.raises(ToolError, match=r"step 2: not finished within the tool's 0\.5 s"):
            await run_steps(interpreter, step, step, connections=to(silent.address), timeout=0.5)


async def test_write_is_atomic_and_stays_below_its_folder(interpreter: Interpreter) -> None:
    await run_steps(
        interpreter, {"write": {"path": "/middleware/a/b", "content": "p {{ secret.password }}", "mode": "0600"}}
    )
    path = interpreter.settings.data_dir / "a" / "b"
    assert path.read_text() == f"p {SECRET}"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["b"], "no temporary file is left"
    for refused in ("/etc/passwd", "/middleware/../x", "/middleware/.agent/record.json", "/scripts/x", "/middlewarex"):
        with pytest.raises(ToolError, match="is refused"):
            await run_steps(interpreter, {"write": {"path": refused, "content": ""}})
