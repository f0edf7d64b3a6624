"""What the steps ``postgresql`` and ``mysql`` have in common, against the real engines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from agent.decoding import decode
from agent.document import Toolbox
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from tests.support.stalls import grace
from tests.unit.agent.support import written
from tests.unit.agent.tooling.peers import interpreter, listening
from tests.unit.agent.tooling.sql.asking import MYSQL, POSTGRESQL, Asker
from tests.unit.agent.tooling.sql.databases import PASSWORD

__all__ = ["interpreter"]

HOSTILE = ["", "it's", 'a "name"', "back\\slash", "\\'; --", "/* :x */", "`", "$$", "ünï…😀", "a\nb\tc", "%s :x", "-1"]


@pytest.fixture(params=[POSTGRESQL, MYSQL], ids=lambda dialect: dialect.step)
def asker(request: pytest.FixtureRequest, interpreter: Interpreter) -> Iterator[Asker]:
    database = request.getfixturevalue("postgresql" if request.param is POSTGRESQL else "mariadb")
    (interpreter.settings.secrets_dir / "password").write_text(PASSWORD)
    asked = Asker(interpreter, database, request.param)
    yield asked
    asked.pool.close()


async def test_rows_are_maps_with_typed_values(asker: Asker) -> None:
    (row,) = await asker.rows("SELECT 7 AS seven, 2.5 AS part, 'text' AS word, NULL AS nothing, 12345678901 AS big")
    assert row == {"seven": 7, "part": 2.5, "word": "text", "nothing": None, "big": 12345678901}


async def test_a_whole_number_of_the_engine_s_decimals_stays_exact(asker: Asker) -> None:
    (row,) = await asker.rows("SELECT CAST(9007199254740993 AS decimal(30)) AS position")
    assert row == {"position": 9007199254740993}


async def test_several_statements_in_one_step_each_have_their_rows(asker: Asker) -> None:
    step = {asker.dialect.step: ["SELECT 1 AS a", "SELECT 2 AS b WHERE 1 = 0"], "as": ["one", "empty"]}
    outcome = await asker.ask("SELECT 0 AS zero", step, result={"one": "{{ one }}", "empty": "{{ empty }}"})
    assert outcome.result == {"one": [{"a": 1}], "empty": []}


@pytest.mark.parametrize("text", HOSTILE)
async def test_whatever_a_value_has_in_it_arrives_as_it_is(asker: Asker, text: str) -> None:
    assert await asker.rows("SELECT :x AS x, -:n AS n", args={"x": text, "n": -3}) == [{"x": text, "n": 3}]


async def test_values_arrive_as_they_are_also_where_the_engine_is_set_to_quote_otherwise(asker: Asker) -> None:
    """What a user of the App may have set for all sessions must not open a way into statements."""
    await asker.ask(asker.dialect.quotes_otherwise)
    asker.pool.close()
    try:
        for text in HOSTILE:
            assert await asker.rows("SELECT :x AS x", args={"x": text}) == [{"x": text}]
    finally:
        await asker.ask(asker.dialect.quotes_as_ever)
        asker.pool.close()


async def test_a_name_is_quoted_as_a_name(asker: Asker) -> None:
    name = 'odd " name ` of; DROP'
    created = 'CREATE TABLE :"name" (a int)'
    await asker.ask([created, 'INSERT INTO :"name" VALUES (:a)'], args={"name": name, "a": 5})
    try:
        assert await asker.rows('SELECT * FROM :"name"', args={"name": name}) == [{"a": 5}]
    finally:
        await asker.ask('DROP TABLE :"name"', args={"name": name})


async def test_what_the_engine_refuses_is_a_value_with_its_codes_where_the_step_is_optional(asker: Asker) -> None:
    outcome = await asker.ask(
        "SELECT * FROM nowhere_at_all",
        optional=True,
        result={"failed": "{{ found is failed }}", "state": "{{ found.sqlstate }}", "said": "{{ found.message }}"},
    )
    assert outcome.result["failed"] is True
    assert outcome.result["state"] == asker.dialect.missing_table
    assert "nowhere_at_all" in outcome.result["said"]


async def test_nobody_there_is_a_failure_without_codes(asker: Asker) -> None:
    outcome = await asker.ask(
        "SELECT 1",
        optional=True,
        connections=asker.connection("127.0.0.1:1"),
        result={"state": "{{ found.sqlstate }}", "errno": "{{ found.errno }}", "why": "{{ error }}"},
    )
    assert (outcome.result["state"], outcome.result["errno"]) == ("", 0)
    assert outcome.result["why"].startswith("cannot connect to 127.0.0.1:1: ")


async def test_statements_end_at_the_first_that_is_refused_unless_refusals_are_values(asker: Asker) -> None:
    statements = ["SELECT 1 AS a", "SELECT * FROM nowhere_at_all", "SELECT 3 AS c"]
    with pytest.raises(ToolError, match=r"step 1: statement 2: .* answers .*nowhere_at_all"):
        await asker.ask(statements)
    outcome = await asker.ask(
        statements,
        refusals="value",
        result={"last": "{{ found[2] }}", "failed": "{{ found[1] is failed }}", "state": "{{ found[1].sqlstate }}"},
    )
    assert outcome.result == {"last": [{"c": 3}], "failed": True, "state": asker.dialect.missing_table}


async def test_a_password_over_tcp_is_accepted_and_a_wrong_one_known_as_such(asker: Asker) -> None:
    tcp = asker.connection(asker.database.tcp)
    assert await asker.rows("SELECT 1 AS one", connections=tcp) == [{"one": 1}]
    (asker.interpreter.settings.secrets_dir / "password").write_text("another one")
    asker.pool.close()
    with pytest.raises(ToolError, match=rf"refuses the login: .*{asker.dialect.denied}") as failure:
        await asker.rows("SELECT 1 AS one", connections=tcp)
    assert failure.value.login_refused


async def test_a_database_that_is_not_there_is_no_wrong_password(asker: Asker) -> None:
    with pytest.raises(ToolError, match=r"refuses the login: .*not_there") as failure:
        await asker.rows("SELECT 1", connections=asker.connection(asker.database.tcp, database="not_there"))
    assert not failure.value.login_refused


async def test_no_part_of_a_secret_is_told_by_an_engine_that_quotes_the_statement(asker: Asker) -> None:
    """It cuts the statement where it likes, and half a secret is not masked."""
    for statement in ("SELECT FROM WHERE :p", f"{' ' * 3}SELECT 1 {'x ' * 20} :p"):
        with pytest.raises(ToolError) as failure:
            await asker.ask(statement, args={"p": "{{ secret.password }}"})
        assert not any(PASSWORD[at : at + 5] in str(failure.value) for at in range(len(PASSWORD) - 5))


async def test_a_trace_has_the_statement_and_its_values_without_secrets(asker: Asker) -> None:
    lines: list[str] = []
    step = {asker.dialect.step: "SELECT :p AS p, :q AS q", "args": {"p": "{{ secret.password }}", "q": "plain"}}
    tools = {"probe": {"steps": [{**step, "as": "found"}], "result": {}}}
    box = decode(Toolbox, written({"connections": asker.connection(), "tools": tools}), "box")
    await asker.interpreter.run("probe", box, {}, line=lines.append, traced=True)
    text = "\n".join(lines)
    assert f"to {asker.database.socket}: SELECT :p AS p, :q AS q with p='***', q='plain'" in text
    assert "found = [{'p': '***', 'q': 'plain'}]" in text
    assert PASSWORD not in text


async def test_a_kept_session_serves_the_next_poll_and_others_have_their_own(asker: Asker) -> None:
    first = await asker.rows(asker.dialect.session)
    assert await asker.rows(asker.dialect.session) == first
    assert await asker.rows(asker.dialect.session, connections=asker.connection(asker.database.tcp)) != first
    assert await asker.rows(asker.dialect.session, timeout=9) != first, "the server bounds it otherwise"
    assert await asker.rows(asker.dialect.session, connections=asker.connection(keep=False)) != first


async def test_a_session_that_a_step_leaves_in_a_transaction_is_not_used_again(asker: Asker) -> None:
    first = await asker.rows(asker.dialect.session)
    await asker.ask("BEGIN")
    assert await asker.rows(asker.dialect.session) != first


async def test_a_session_that_the_engine_ends_fails_one_poll_with_its_words(asker: Asker) -> None:
    first = await asker.rows(asker.dialect.session)
    with pytest.raises(ToolError, match=r"57P01: terminating connection|1927 70100: Connection was killed"):
        await asker.ask(asker.dialect.ends_itself)
    assert await asker.rows(asker.dialect.session) != first


async def test_an_engine_that_was_restarted_between_two_polls_is_asked_as_if_nothing_were(asker: Asker) -> None:
    first = await asker.rows(asker.dialect.session)
    asker.database.end()
    with pytest.raises(ToolError, match="cannot connect"):
        await asker.rows(asker.dialect.session)
    asker.database.begin()
    asker.pool.close()
    await asker.rows(asker.dialect.session)
    asker.database.end()
    asker.database.begin()
    assert first
    assert await asker.rows("SELECT 1 AS one") == [{"one": 1}]


async def test_an_engine_that_hangs_fails_the_step_in_its_time_and_holds_up_nothing_else(asker: Asker) -> None:
    await asker.rows("SELECT 1 AS one")
    assert asker.database.process is not None
    asker.database.stopped()
    longest = last = 0.0
    began = time.monotonic()

    async def ticks() -> None:
        nonlocal longest, last
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    ticking = asyncio.create_task(ticks())
    try:
        for connections in (asker.connection(), asker.connection(asker.database.tcp)):
            with pytest.raises(ToolError, match=r"did not answer .* within 0.3 s"):
                await asker.rows("SELECT 1 AS one", timeout=0.3, connections=connections)
    finally:
        ticking.cancel()
        asker.database.goes_on()
    assert time.monotonic() - began < 2 + grace(began)
    assert longest < 0.2 + grace(began)
    assert await asker.rows("SELECT 1 AS one") == [{"one": 1}]


async def test_what_nobody_waits_for_any_longer_ends_on_the_server_too(asker: Asker) -> None:
    """Else each poll would leave a session there, until the engine has no more for anybody."""
    for _ in range(3):
        with pytest.raises(ToolError):
            await asker.ask(asker.dialect.sleep, timeout=0.3)
    until = time.monotonic() + 10
    while (rows := await asker.rows(asker.dialect.sessions_of, args={"marker": "sleep(20"}))[0]["there"]:
        assert time.monotonic() < until, rows
        await asyncio.sleep(0.05)


async def test_an_answer_of_any_length_takes_no_more_memory_than_its_bound(asker: Asker) -> None:
    with pytest.raises(ToolError, match="answers more than 8388608 bytes; ask for fewer rows"):
        await asker.ask(asker.dialect.many_rows, connections=asker.connection(asker.database.tcp))
    assert await asker.rows("SELECT 1 AS one") == [{"one": 1}]


@asynccontextmanager
async def byte_by_byte(port: int) -> AsyncIterator[str]:
    """Relays both ways, a byte at a time."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(relay(reader, before), relay(behind, writer))
        await writer.wait_closed()

    async with listening(serve) as address:
        yield address


async def test_an_answer_may_come_in_any_pieces(asker: Asker) -> None:
    async with byte_by_byte(asker.database.port) as address:
        statements = ["SELECT 1 AS a, 'two' AS b", "SELECT * FROM nowhere_at_all", "SELECT 3 AS c"]
        outcome = await asker.ask(
            statements,
            refusals="value",
            connections=asker.connection(address),
            result={"first": "{{ found[0] }}", "last": "{{ found[2] }}"},
        )
        asker.pool.close()
    assert outcome.result == {"first": [{"a": 1, "b": "two"}], "last": [{"c": 3}]}


async def test_what_speaks_another_protocol_is_told_as_such(asker: Asker) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 this is something else\r\n" * 3)
        writer.close()

    async with listening(serve) as address:
        with pytest.raises(ToolError, match=r"protocol|not to be understood|closed the connection"):
            await asker.rows("SELECT 1", connections=asker.connection(address), timeout=2)


async def test_a_value_that_the_statement_asks_for_and_nobody_gives_is_named(asker: Asker) -> None:
    with pytest.raises(ToolError, match="args: has no 'x', which the statement asks for"):
        await asker.ask("SELECT :x")
    with pytest.raises(ToolError, match=r"args.x is a list or a map"):
        await asker.ask("SELECT :x", args={"x": [1]})
