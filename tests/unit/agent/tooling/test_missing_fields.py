"""What came back lacks a field that an expression asks for: the step failed, and its repetitions and lists go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from tests.unit.agent.tooling.peers import answering, interpreter, listening, run_steps

__all__ = ["interpreter"]


async def test_until_asks_again_while_the_field_is_not_there_yet(interpreter: Interpreter) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"{}" if len(asked) < 3 else b'{"synced": true}')
        writer.close()

    async with listening(serve) as address:
        step = {"tcp": {"send": "?\n", "parse": "json"}, "as": "info", "until": "info.synced", "every": 0.02}
        await run_steps(interpreter, step | {"within": 5}, connections={"me": {"tcp": address}})
        assert len(asked) == 3
        late = step | {"until": "info.late", "within": 0.1}
        with pytest.raises(ToolError, match=r"step 1: info\.late: .* no attribute 'late' \(tried for 0\.1 s\)"):
            await run_steps(interpreter, late, connections={"me": {"tcp": address}})


async def test_first_of_asks_the_next_where_the_first_lacks_the_field(interpreter: Interpreter) -> None:
    step = {"firstOf": "items", "set": {"role": "{{ item.role }}"}}
    known = {"items": [{"name": "a"}, {"role": "master"}]}
    outcome = await run_steps(interpreter, step, known=known, result={"role": "{{ role }}"})
    assert outcome.values == {"role": "master"}
    with pytest.raises(ToolError, match=r"none succeeded: .*no attribute 'role'"):
        await run_steps(interpreter, step, known={"items": [{"name": "a"}]})


async def test_for_each_passes_over_an_item_that_lacks_the_field_where_it_is_optional(
    interpreter: Interpreter,
) -> None:
    step = {
        "forEach": "items",
        "call": "role",
        "with": {"role": "{{ item.role }}"},
        "as": "role",
        "into": "roles",
        "optional": True,
    }
    role = {"steps": [{"set": {"a": "b"}}], "result": "{{ arg.role }}"}
    known = {"items": [{"role": "a"}, {}, {"role": "c"}]}
    outcome = await run_steps(interpreter, step, sequences={"role": role}, known=known, result={"roles": "{{ roles }}"})
    assert outcome.values == {"roles": "a c"}


async def test_what_a_failing_loop_had_gathered_is_there_for_on_failure(interpreter: Interpreter) -> None:
    async with answering(a="one.\n", b="two.\n") as engine:
        step: dict[str, Any] = {
            "forEach": "['a', 'b']",
            "tcp": {"send": "{{ item }}\n", "end": "[.]\n", "parse": "text"},
            "as": "said",
        }
        step = step | {"expect": "said == 'one.'", "into": "all", "onFailure": [{"set": {"kept": "{{ all }}"}}]}
        connections = {"me": {"tcp": engine.address}}
        outcome = await run_steps(interpreter, step, connections=connections, result={"kept": "{{ kept }}"})
    assert outcome.values == {"kept": "one."}


async def test_a_var_without_a_value_fails_only_where_it_is_used(interpreter: Interpreter) -> None:
    named = {"late": "found.role"}
    guarded = {"when": "found is defined and late == 'master'", "set": {"did": "it"}, "else": [{"set": {"did": "no"}}]}
    outcome = await run_steps(interpreter, guarded, vars=named, result={"did": "{{ did }}"})
    assert outcome.values == {"did": "no"}
    with pytest.raises(ToolError, match=r"vars\.late: found\.role: 'found' is undefined"):
        await run_steps(interpreter, {"when": "late == 'master'", "set": {"a": "b"}}, vars=named)
