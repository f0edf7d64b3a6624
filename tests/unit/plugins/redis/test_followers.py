"""Whom a primary counts as its followers, with real servers: its own component's nodes, and nobody else."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.unit.plugins.engines import Cluster, Engine, cluster, until
from tests.unit.plugins.support import PASSWORD


@asynccontextmanager
async def stranger(made: Cluster, primary: Engine, path: Path) -> AsyncIterator[str]:
    """Copies the primary's data, as another site's replica or a migration tool does; its address."""
    address = f"{made.network}.251"
    program = shutil.which("redis-server", path=f"{Path(sys.executable).parent}")
    assert program, "these tests need redis-server on PATH: make .venv/bin/redis-server"
    path.mkdir()  # noqa: ASYNC240 a test's own directory
    options = {"bind": address, "port": "6379", "dir": str(path), "masterauth": PASSWORD, "requirepass": PASSWORD}
    options |= {"replica-announce-ip": address}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    words += ["--save", "", "--replicaof", primary.address, "6379"]
    with (path / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(program, *words, stdout=log, stderr=log)
    try:

        async def follows() -> bool:
            return int((await primary.ask("INFO", "replication"))["connected_slaves"]) == len(made.servers)

        await until(follows, "the stranger follows")
        yield address
    finally:
        process.kill()
        await process.wait()


async def _followers(engine: Engine) -> list[str]:
    return sorted((await engine.tool("getRole")).get("followers", "").split())


@pytest.mark.parametrize("version", ["6.0", "7.0"])
async def test_a_stranger_that_copies_the_data_renews_no_lease(tmp_path: Path, version: str) -> None:
    async with cluster(tmp_path, "replication", version, redis_server=2) as made:
        primary = await made.primary()
        (replica,) = (engine for engine in made.servers if engine is not primary)
        document = primary.node.bundle.document
        async with stranger(made, primary, tmp_path / "stranger") as address:

            async def both() -> bool:
                return await _followers(primary) == sorted([replica.address, address])

            await until(both, "the engine hears of both")
            assert document.members_among(" ".join(await _followers(primary))) == 1
            await replica.tool("detach")

            async def alone() -> bool:
                return await _followers(primary) == [address]

            await until(alone, "the replica is gone, the stranger is not")
            assert document.members_among(address) == 0


async def test_who_asks_whether_it_is_still_primary_hears_those_that_follow_it(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=3) as made:
        primary = await made.primary()
        first, second = (engine for engine in made.servers if engine is not primary)
        await primary.kill()

        async def said() -> list[str]:
            return sorted((await primary.tool("followers"))["followers"].split())

        assert await said() == sorted([first.address, second.address])
        await first.tool("detach")
        assert await said() == [second.address]
        await first.tool("failover", **{"from": primary.address})
        await second.tool("follow", primary=first.address)
        assert await said() == []


async def test_whoever_finds_a_primary_begins_as_replica_and_says_so(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        primary = await made.primary()
        (replica,) = (engine for engine in made.servers if engine is not primary)
        await until(primary.ready, "its record is written")
        await until(replica.ready, "its record is written")
        await replica.kill()
        assert (await replica.node.run("preStart")).values["role"] == "replica"
        await primary.kill()
        assert (await primary.node.run("preStart")).values["role"] == "master"
