"""What one poll of PostgreSQL and of MariaDB costs an agent, against one ``psql`` a poll, and how much memory.

Real engines as the unit tests start them; the statements are those of a plugin for replication: who leads, how far, and
who follows. Memory is of an agent 2 in a process of its own that polls so, beside one whose tools ask nobody.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from agent.decoding import decode
from agent.document import Toolbox
from agent.process.reaper import Reaper
from agent.settings import Settings
from agent.tooling.connections import ConnectionPool
from agent.tooling.interpreter import Interpreter
from agent.tooling.secrets import Secrets
from tests.bench.processes import resident_mib
from tests.unit.agent.support import eventually, fetch, running_node, write_secret, written
from tests.unit.agent.tooling.sql.databases import PASSWORD, Database, Mariadb, Postgresql, postgresql_program, running

POLLED = 10.0
"""Seconds after which memory is looked at."""
_ROLE = {
    "postgresql": "SELECT pg_is_in_recovery() AS standby, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS position,"
    " (SELECT timeline_id FROM pg_control_checkpoint()) AS epoch,"
    " (SELECT json_agg(client_addr) FROM pg_stat_replication) AS followers",
    "mysql": "SELECT @@global.read_only AS standby, @@global.gtid_current_pos AS position",
}
Poll = Callable[[], Awaitable[object]]


def toolbox(kind: str, database: Database) -> dict[str, Any]:
    account = {"user": "scram", "database": "postgres"} if kind == "postgresql" else {"user": "native"}
    connection = {kind: database.tcp, "password": "{{ secret.password }}", "keep": True} | account
    result = {"role": "{{ 'replica' if rows[0].standby else 'primary' }}", "position": "{{ rows[0].position or 0 }}"}
    return {
        "connections": {"me": connection},
        "tools": {
            "ready": {"steps": [{kind: "SELECT 1 AS one"}]},
            "getRole": {"steps": [{kind: _ROLE[kind], "as": ["rows"]}], "result": result},
        },
    }


async def measured(
    times: int, cost: Callable[[Poll, int], Awaitable[Any]], show: Callable[[str, str, Any], None]
) -> None:
    for kind, engine in (("postgresql", Postgresql), ("mysql", Mariadb)):
        with tempfile.TemporaryDirectory() as shared, running(engine, Path(shared)) as database:
            if kind == "postgresql":
                # Before there is a reaper, which takes every child's exit code.
                show(kind, "psql a poll", await cost(partial(_psql, database), min(times, 200)))
            await _polled(kind, database, times, cost, show)
            print(f"{kind:<12}{'agent 2':<20}{await _resident(toolbox(kind, database)):>10.1f} MiB", flush=True)
    nobody = {"tools": {"ready": {"steps": [{"set": {"a": "b"}}]}, "getRole": {"steps": [{"set": {"a": "b"}}]}}}
    print(f"{'nobody':<12}{'agent 2':<20}{await _resident(nobody):>10.1f} MiB", flush=True)


async def _psql(database: Database) -> None:
    # /usr/bin/psql of Debian is a program in Perl that looks for the right one, which is no fair comparison.
    command = [
        postgresql_program("psql"),
        "-X",
        "-A",
        "-t",
        "-h",
        "127.0.0.1",
        "-p",
        str(database.port),
        "-U",
        "scram",
        "-d",
        "postgres",
    ]
    subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [*command, "-c", _ROLE["postgresql"]], env={"PGPASSWORD": PASSWORD, "PATH": "/usr/bin:/bin"},
        check=True, capture_output=True,
    )  # fmt: skip


async def _polled(
    kind: str,
    database: Database,
    times: int,
    cost: Callable[[Poll, int], Awaitable[Any]],
    show: Callable[[str, str, Any], None],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "password").write_text(PASSWORD)
        settings = Settings.from_environment({"MW_DATA_DIR": directory, "MW_SECRETS_DIR": directory})
        interpreter, pool = Interpreter(settings, Secrets(settings.secrets_dir), Reaper()), ConnectionPool()
        box = decode(Toolbox, written(toolbox(kind, database)), "toolbox")
        try:
            for tool in ("ready", "getRole"):
                show(kind, tool, await cost(partial(interpreter.run, tool, box, {}, pool=pool), times))
        finally:
            pool.close()


async def _resident(box: dict[str, Any]) -> float:
    """MiB of an agent 2 that has polled for a while."""
    with running_node() as node:
        write_secret(node.root / "secrets", {"password": PASSWORD.encode()})
        document = node.document(roles=["primary", "replica"], writableRoles=["primary"])
        node.mount({**document, "toolbox": written(box)})
        node.start_manager()
        agent = node.start_tools()

        async def ready() -> bool:
            return (await fetch(node.tools_health_port, "/readyz"))[0] == 200

        await eventually(ready, 60, "the agent polls")
        await asyncio.sleep(POLLED)
        return resident_mib(agent.pid)
