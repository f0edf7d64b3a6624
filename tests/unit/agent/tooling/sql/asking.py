"""One engine of SQL as a test asks it: its step, its connection, and the statements in which the engines differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.tooling.connections import ConnectionPool
from agent.tooling.interpreter import Interpreter, Outcome
from tests.unit.agent.tooling.peers import run_steps
from tests.unit.agent.tooling.sql.databases import Database


@dataclass(frozen=True)
class Dialect:
    """``user``: logs in with PASSWORD over TCP; ``local``: by the socket alone. ``denied``: SQLSTATE of a wrong
    password. ``session``: gives the number of the session as ``id``."""

    step: str
    user: str
    local: str
    denied: str
    missing_table: str
    session: str
    sleep: str
    sessions_of: str
    """Sessions, others than this one, that carry a statement with ``marker`` in it, as ``there``."""
    many_rows: str
    quotes_otherwise: str
    """In sessions from now on a backslash has another meaning than by default."""
    quotes_as_ever: str
    ends_itself: str


POSTGRESQL = Dialect(
    step="postgresql",
    user="scram",
    local="postgres",
    denied="28P01",
    missing_table="42P01",
    session="SELECT pg_backend_pid() AS id",
    sleep="SELECT pg_sleep(20)",
    sessions_of="SELECT count(*) AS there FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active'"
    " AND query LIKE '%' || :marker || '%'",
    many_rows="SELECT repeat('x', 1000) AS x FROM generate_series(1, 20000)",
    quotes_otherwise="ALTER ROLE ALL SET standard_conforming_strings = off",
    quotes_as_ever="ALTER ROLE ALL RESET standard_conforming_strings",
    ends_itself="SELECT pg_terminate_backend(pg_backend_pid())",
)
MYSQL = Dialect(
    step="mysql",
    user="native",
    local="root",
    denied="28000",
    missing_table="42S02",
    session="SELECT connection_id() AS id",
    sleep="SELECT sleep(20) AS slept",
    sessions_of="SELECT count(*) AS there FROM information_schema.processlist WHERE id <> connection_id()"
    " AND info LIKE concat('%', :marker, '%')",
    many_rows="SELECT repeat('x', 1000) AS x FROM seq_1_to_20000",
    quotes_otherwise="SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'",
    quotes_as_ever="SET GLOBAL sql_mode = DEFAULT",
    ends_itself="KILL CONNECTION connection_id()",
)


@dataclass
class Asker:
    interpreter: Interpreter
    database: Database
    dialect: Dialect
    pool: ConnectionPool = field(default_factory=ConnectionPool)
    lines: list[str] = field(default_factory=list)

    def connection(self, address: str | None = None, **more: Any) -> dict[str, Any]:
        by_socket = (address or self.database.socket).startswith("unix:")
        account = (
            {"user": self.dialect.local}
            if by_socket
            else {"user": self.dialect.user, "password": "{{ secret.password }}"}
        )
        database = "postgres" if self.dialect.step == "postgresql" else "test"
        return {
            "me": {self.dialect.step: address or self.database.socket, "database": database, "keep": True}
            | account
            | more
        }

    async def ask(self, statements: str | list[str], *after: dict[str, Any], **options: Any) -> Outcome:
        """Named ``found``."""
        connections = options.pop("connections", None) or self.connection()
        result = options.pop("result", {"found": "{{ found }}"})
        line: Callable[[str], None] | None = options.pop("line", None)
        step = {self.dialect.step: statements, "as": "found", "timeout": 10} | options
        return await run_steps(
            self.interpreter,
            step,
            *after,
            connections=connections,
            result=result,
            timeout=30,
            pool=self.pool,
            line=line,
        )

    async def rows(self, statement: str, **options: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask(statement, **options)).result["found"]
        return found
