"""What one poll of ``ready`` and of ``getRole`` costs an agent in processor time, against one ``redis-cli`` a poll.

The real engine, the plugin's own tools, the agent's interpreter on a kept connection, in this process.

    python -m tests.bench.poll
    python -m tests.bench.poll --zookeeper 127.0.0.1:2181

PostgreSQL and MariaDB: see ``poll_sql``. There is no ZooKeeper to start here; ``--zookeeper`` names one that runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from agent.documents import Bundle, DocumentStore, parse
from agent.nodefiles import node_names
from agent.process.reaper import Reaper
from agent.settings import Settings
from agent.tooling.connections import ConnectionPool
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter
from agent.tooling.secrets import Secrets
from tests.bench import poll_sql
from tests.bench.agents import members
from tests.unit.agent.support import eventually
from tests.unit.plugins.support import PASSWORD, files, wanted

TOOLS = ("ready", "getRole")
FIRST = 20
"""Polls before it counts: expressions are compiled and connections made."""


@dataclass(frozen=True)
class Cost:
    """Milliseconds of processor time for each poll, children's among them, and of the clock."""

    processor: float
    clock: float


async def cost(poll: Callable[[], Awaitable[object]], times: int) -> Cost:
    for _ in range(min(FIRST, times)):
        await poll()
    before, began = _used(), time.perf_counter()
    for _ in range(times):
        await poll()
    return Cost((_used() - before) / times * 1e3, (time.perf_counter() - began) / times * 1e3)


def _used() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


async def polled(settings: Settings, bundle: Bundle, times: int) -> dict[str, Cost]:
    """By tool. Raises ToolError."""
    reaper, pool = Reaper(), ConnectionPool()
    reaper.start()
    interpreter, names = Interpreter(settings, Secrets(settings.secrets_dir), reaper), node_names(bundle, None)

    async def poll(tool: str) -> None:
        await interpreter.run(tool, bundle.document.toolbox, names, pool=pool)

    try:
        return {tool: await cost(lambda tool=tool: poll(tool), times) for tool in TOOLS}  # type: ignore[misc]
    finally:
        pool.close()


async def of_redis(times: int) -> None:
    with ExitStack() as nodes:
        (member,) = members("standalone", nodes)
        await eventually(member.ready, 60, "the engine is ready")
        settings = Settings.from_environment(member.local.environment())
        bundle = DocumentStore(settings).effective()
        address = bundle.document.node.address

        async def command() -> None:
            subprocess.run(  # noqa: ASYNC221 - nothing else runs here
                ["redis-cli", "-h", address, "INFO", "replication"],
                env={**os.environ, "REDISCLI_AUTH": PASSWORD},
                check=True,
                capture_output=True,
            )

        # Before there is a reaper, which takes every child's exit code.
        if shutil.which("redis-cli"):
            show("redis", "redis-cli a poll", await cost(command, min(times, 200)))
        for tool, each in (await polled(settings, bundle, times)).items():
            show("redis", tool, each)


async def of_zookeeper(address: str, times: int) -> None:
    data = files(wanted("zookeeper", "standalone", zookeeper=1), "zookeeper")
    text = data["node.json"].replace("127.0.0.1:{{ component.ports.client }}", address)
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings.from_environment({"MW_DATA_DIR": directory, "MW_SECRETS_DIR": str(Path(directory))})
        for tool, each in (await polled(settings, parse({**data, "node.json": text}, "the plugin"), times)).items():
            show("zookeeper", tool, each)


def show(engine: str, what: str, each: Cost) -> None:
    print(f"{engine:<12}{what:<20}{each.processor:>10.3f} ms of processor{each.clock:>10.3f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--zookeeper", metavar="HOST:PORT")
    options = parser.parse_args()
    if shutil.which("redis-server") is None:
        parser.error("it needs redis-server on PATH: make .venv/bin/redis-server")
    asyncio.run(of_redis(options.times))
    asyncio.run(poll_sql.measured(options.times, cost, show))
    if options.zookeeper is None:
        print("zookeeper   not measured: no --zookeeper HOST:PORT given")
        return
    try:
        asyncio.run(of_zookeeper(options.zookeeper, options.times))
    except ToolError as error:
        parser.error(f"{options.zookeeper}: {error}")


if __name__ == "__main__":
    main()
