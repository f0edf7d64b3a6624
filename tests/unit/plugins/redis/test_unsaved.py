"""A replica that has copied its primary's data and not saved them yet: were it killed, it would load what it had."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.plugins.engines import Cluster, Engine, cluster, until

SLOWLY = "1000000"
"""Microseconds for each key that is written to a file, so that a moment is long enough to be seen."""


async def _saying(engine: Engine) -> str:
    return (await engine.tool("ready"))["unsaved"]


async def _copied_anew(made: Cluster) -> tuple[Engine, Engine]:
    """The primary, and its replica after a full copy of what it had not had."""
    primary = await made.primary()
    replica = next(engine for engine in made.servers if engine is not primary)
    await until(replica.ready, "in sync, and all of it saved")
    await replica.ask("REPLICAOF", "NO", "ONE")
    await replica.ask("SET", "of", "its own")
    for key in ("one", "two", "three"):
        await primary.ask("SET", key, "value")
    await replica.ask("CONFIG", "SET", "rdb-key-save-delay", SLOWLY)
    await replica.ask("REPLICAOF", primary.address, "6379")
    await until(lambda: _in_sync(replica), "it has copied")
    return primary, replica


async def _in_sync(replica: Engine) -> bool:
    return bool((await replica.ask("INFO", "replication"))["master_link_status"] == "up")


@pytest.mark.parametrize("plugin", ["redis", "redis-1.1"])
async def test_it_says_so_until_its_file_is_complete(tmp_path: Path, plugin: str) -> None:
    async with cluster(tmp_path, "replication", plugin=plugin, redis_server=2) as made:
        primary, replica = await _copied_anew(made)
        assert "still writing what it has copied" in await _saying(replica)
        assert await primary.ask("WAIT", "1", "1000") == 1, "in sync nevertheless"
        remembered = replica.node.record
        await until(replica.ready, "it has saved all")
        assert replica.node.record != remembered
        for engine in made.servers:
            await engine.kill()
        replica.node.lead = True
        await replica.start()
        await until(replica.ready, "it serves")
        assert await replica.ask("GET", "three") == "value"


async def test_an_ordinary_rewrite_of_the_file_is_no_reason(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        _, replica = await _copied_anew(made)
        await until(replica.ready, "it has saved all")
        await replica.ask("BGSAVE")
        await until(lambda: _says(replica, "rdb_bgsave_in_progress", 0), "a newer snapshot")
        await replica.ask("BGREWRITEAOF")
        await until(lambda: _says(replica, "aof_rewrite_in_progress", 1), "it rewrites")
        assert await _saying(replica) == ""
        assert await _says(replica, "aof_rewrite_in_progress", 1), "it still did when it was asked"


async def _says(engine: Engine, field: str, wanted: int) -> bool:
    return bool((await engine.ask("INFO", "persistence"))[field] == wanted)


async def test_one_that_was_killed_before_has_what_it_had_before(tmp_path: Path) -> None:
    """The reason for all this; the record of such a node stays what it was."""
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        _, replica = await _copied_anew(made)
        for engine in made.servers:
            await engine.kill()
        replica.node.lead = True
        await replica.start()
        assert await until(lambda: replica.ask("GET", "of"), "it serves") == "its own"
        assert await replica.ask("GET", "three") is None


async def test_one_that_takes_over_says_so_until_its_file_is_complete(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        primary, replica = await _copied_anew(made)
        await primary.kill()
        await replica.tool("failover", **{"from": primary.address})
        assert await replica.role() == "master"
        assert await _saying(replica)
        await until(replica.ready, "it has saved all")


async def test_a_file_that_is_written_for_the_first_time_holds_nothing_before_it_is_complete(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        primary = await made.primary()
        replica = next(engine for engine in made.servers if engine is not primary)
        await until(replica.ready, "in sync, and all of it saved")
        await replica.tool("reloadConfig", appendonly="no")
        for file in (replica.data / "data" / "appendonlydir").iterdir():
            file.unlink()
        await primary.ask("MSET", "one", "1", "two", "2", "three", "3")
        await replica.ask("CONFIG", "SET", "rdb-key-save-delay", SLOWLY)
        await replica.tool("reloadConfig", appendonly="yes")
        assert await _saying(replica)
        await until(replica.ready, "it has saved all")
