"""Whether Redis takes writes is asked of Redis, and asking changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.unit.plugins.engines import Cluster, Engine, cluster, until


async def _said(engine: Engine) -> tuple[str, str]:
    found = await engine.tool("takesWrites")
    return found["writes"], found["refusal"]


async def _both(made: Cluster) -> tuple[Engine, Engine]:
    primary = await made.primary()
    replica = next(engine for engine in made.servers if engine is not primary)
    await until(replica.ready, "in sync")
    return primary, replica


async def _save_fails(engine: Engine) -> bool:
    await engine.ask("BGSAVE")

    async def failed() -> bool:
        return bool((await engine.ask("INFO", "persistence"))["rdb_last_bgsave_status"] == "err")

    return bool(await until(failed, "a save that failed"))


async def test_a_primary_that_takes_writes_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        primary, replica = await _both(made)
        assert await _said(primary) == ("accepted", "")
        await primary.ask("RPUSH", "-", "a user's own key")
        before = await primary.ask("INFO", "persistence")
        assert await _said(primary) == ("accepted", "")
        assert await primary.ask("LRANGE", "-", "0", "-1") == ["a user's own key"]
        after = await primary.ask("INFO", "persistence")
        assert after["rdb_changes_since_last_save"] == before["rdb_changes_since_last_save"]
        assert (await _said(replica))[0] == "", "a replica takes none, by its role"


async def test_a_primary_with_too_few_replicas_or_too_little_memory_says_so(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        primary, _ = await _both(made)
        await primary.ask("CONFIG", "SET", "min-replicas-to-write", "2")
        writes, why = await _said(primary)
        assert writes == "refused"
        assert why.startswith("NOREPLICAS")
        await primary.ask("CONFIG", "SET", "min-replicas-to-write", "0")
        await primary.ask("CONFIG", "SET", "maxmemory", "1")
        writes, why = await _said(primary)
        assert writes == "refused"
        assert why.startswith("OOM")
        await primary.ask("CONFIG", "SET", "maxmemory", "0")
        assert await _said(primary) == ("accepted", "")


async def test_a_node_whose_save_failed_says_so_as_primary_and_as_replica(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        primary, replica = await _both(made)
        for engine in (primary, replica):
            shutil.rmtree(engine.data / "data")
            await _save_fails(engine)
        writes, why = await _said(primary)
        assert writes == "refusedHere"
        assert why.startswith("MISCONF")
        assert (await _said(replica))[0] == "refusedHere", "so nobody takes it for a better one"
        for engine in (primary, replica):
            await engine.ask("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
        assert (await _said(primary))[0] == "accepted"
        assert (await _said(replica))[0] == ""


async def test_a_replica_says_whom_it_follows(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        primary, replica = await _both(made)
        assert (await replica.tool("ready"))["follows"] == primary.address
        assert (await primary.tool("ready"))["follows"] == ""


async def test_a_sentinel_with_another_password_than_the_primarys_says_that_there_is_no_failover(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        sentinel = made.sentinels[0]
        assert (await sentinel.tool("ready"))["failoverOff"] == ""
        await sentinel.ask("SENTINEL", "SET", "orders", "auth-pass", "another")
        await sentinel.ask("CLIENT", "KILL", "TYPE", "normal")

        async def says() -> bool:
            return (await sentinel.tool("ready"))["failoverOff"] == "this Sentinel does not reach the primary"

        await until(says, "it says so")
