"""A primary whose process has ended and that would come back with less than it had, beside a replica that has it all:
with real servers, as its agent starts it again at once."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from agent.tooling.failure import ToolError
from tests.support.stalls import in_time
from tests.unit.plugins.engines import Cluster, Engine, cluster, until

NOTHING_KEPT: dict[str, Any] = {"appendonly": False, "save": ""}
SNAPSHOTS: dict[str, Any] = {"appendonly": False}
KEYS = 1000
STARTS_WITHIN = 90.0
"""Seconds. Sentinels whose vote was split vote again only after 20."""


async def _filled(made: Cluster) -> tuple[Engine, Engine]:
    """The primary and its replica, which both have it all and remember what they are."""
    primary = await made.primary()
    (replica,) = (engine for engine in made.servers if engine is not primary)
    async with primary.client() as client:
        await client.mset({f"key:{number}": number for number in range(KEYS)})
        assert await client.wait(1, 5000) == 1
    for engine in made.servers:
        await until(engine.ready, "in sync, and remembered so")
    return primary, replica


async def _started(engine: Engine) -> None:
    """As agent 1 does it: again and again."""
    while True:
        try:
            return await engine.start()
        except ToolError:
            await asyncio.sleep(0.5)


async def _all_there(made: Cluster) -> None:
    for engine in made.servers:
        await until(engine.ready, "in sync")
        assert await engine.ask("DBSIZE") == KEYS


@pytest.mark.parametrize(
    ("config", "last_words"),
    [(NOTHING_KEPT, ""), (NOTHING_KEPT, "SHUTDOWN NOSAVE"), (SNAPSHOTS, ""), (SNAPSHOTS, "SHUTDOWN NOSAVE")],
    ids=str,
)
async def test_under_sentinel_the_replica_takes_over_and_nothing_is_lost(
    tmp_path: Path, config: dict[str, Any], last_words: str
) -> None:
    async with cluster(tmp_path, "sentinel", config=config, redis_server=2, redis_sentinel=3) as made:
        old, new = await _filled(made)
        if last_words:
            with suppress(RedisError):  # it says nothing more
                await old.ask(*last_words.split())
        await old.kill()
        await asyncio.wait_for(_started(old), STARTS_WITHIN)
        assert await new.role() == "master"
        assert await until(old.role, "it answers") == "replica"
        await _all_there(made)


@pytest.mark.parametrize("version", ["6.0", "7.0"])
async def test_where_the_platform_moves_the_role_it_waits_to_be_replaced(tmp_path: Path, version: str) -> None:
    async with cluster(tmp_path, "replication", version, config=NOTHING_KEPT, redis_server=2) as made:
        old, new = await _filled(made)
        await old.kill()
        assert "it has lost what it had, and a replica has it" in await old.node.failure("preStart")
        await new.tool("detach")
        assert "a replica has it" in await old.node.failure("preStart"), "one that was detached still has it"
        await new.tool("failover", **{"from": old.address})
        await old.start()
        await _all_there(made)
        assert await made.primary() is new


async def test_whoever_a_person_forces_begins_with_what_it_has(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", config=NOTHING_KEPT, redis_server=2) as made:
        old, _ = await _filled(made)
        await old.kill()
        old.node.lead = True
        assert (await old.node.run("preStart")).values["role"] == "master"


@pytest.mark.parametrize("topology", ["sentinel", "replication"])
async def test_a_volume_that_lost_its_files_is_no_better(tmp_path: Path, topology: str) -> None:
    sentinels: dict[str, Any] = {"redis_sentinel": 3} if topology == "sentinel" else {}
    async with cluster(tmp_path, topology, redis_server=2, **sentinels) as made:
        old, new = await _filled(made)
        await old.kill()
        shutil.rmtree(old.data / "data")
        (old.data / "data").mkdir()  # as agent 1 makes it
        if topology == "replication":
            assert "a replica has it" in await old.node.failure("preStart")
            return
        await asyncio.wait_for(_started(old), STARTS_WITHIN)
        assert await new.role() == "master"
        await _all_there(made)


@pytest.mark.parametrize("topology", ["sentinel", "replication"])
async def test_where_nobody_has_more_it_serves_with_what_is_left(tmp_path: Path, topology: str) -> None:
    """A cache: everybody was killed."""
    sentinels: dict[str, Any] = {"redis_sentinel": 3} if topology == "sentinel" else {}
    async with cluster(tmp_path, topology, config=NOTHING_KEPT, redis_server=2, **sentinels) as made:
        old, other = await _filled(made)
        for engine in (old, other):
            await engine.kill()
        both = [asyncio.create_task(_started(engine)) for engine in (old, other)]
        async with asyncio.timeout(STARTS_WITHIN):
            await asyncio.gather(*both)
        await until(made.primary, "there is a primary")
        await asyncio.gather(*(until(engine.ready, "it serves") for engine in made.servers))


async def test_a_primary_that_kept_everything_is_back_before_anybody_misses_it(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        old, _ = await _filled(made)
        await old.kill()
        began = time.monotonic()
        await old.start()
        assert in_time(began, 2)
        assert await until(old.role, "it answers") == "master"
        await _all_there(made)


async def test_one_that_would_load_for_long_leaves_the_role_to_its_replica(tmp_path: Path) -> None:
    """It answers that it is loading, for which Sentinel does not take it for down."""
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        old, new = await _filled(made)
        async with old.client() as client:
            for number in range(40):
                await client.set(f"large:{number}", "x" * 1_000_000)
            assert await client.wait(1, 5000) == 1
        await until(old.ready, "its record says how far it was")
        await old.kill()
        began = time.monotonic()
        starting = asyncio.create_task(_started(old))

        async def taken_over() -> bool:
            return await new.role() == "master"

        await until(taken_over, "the replica is primary", 12)
        print(f"{time.monotonic() - began:.1f} s")
        await starting
        await until(old.ready, "it follows")
        assert await old.role() == "replica"
        assert await new.ask("DBSIZE") == KEYS + 40


async def test_one_that_would_load_for_long_does_where_nobody_else_can_serve(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        old, other = await _filled(made)
        async with old.client() as client:
            for number in range(40):
                await client.set(f"large:{number}", "x" * 1_000_000)
        await until(old.ready, "its record says how far it was")
        for engine in (other, old):
            await engine.kill()
        began = time.monotonic()
        await old.start()
        assert in_time(began, 5)
        await until(old.ready, "it serves")
        assert await old.role() == "master"


async def test_a_replica_that_comes_back_with_an_old_snapshot_is_not_elected(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", config=SNAPSHOTS, redis_server=2, redis_sentinel=3) as made:
        old, other = await _filled(made)
        await old.ask("SAVE")
        for engine in (other, old):
            await engine.kill()
        starting = [asyncio.create_task(_started(engine)) for engine in (other, old)]
        async with asyncio.timeout(STARTS_WITHIN):
            await asyncio.gather(*starting)
        await _all_there(made)
        assert await made.primary() is old


async def test_nor_does_it_lead_by_the_platforms_word(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", config=SNAPSHOTS, redis_server=2) as made:
        old, other = await _filled(made)
        for engine in (other, old):
            await engine.kill()
        other.node.lead = True
        waiting = asyncio.create_task(other.start())
        await asyncio.sleep(1.5)  # its preStart asks several times; that nothing follows has no condition to wait for
        assert not waiting.done(), "it begins with less"
        waiting.cancel()


@pytest.mark.parametrize("version", ["6.0", "7.0"])
async def test_a_replica_that_was_not_in_sync_does_not_keep_a_primary_waiting_that_has_saved_it_all(
    tmp_path: Path, version: str
) -> None:
    """Nobody may take over who lacks writes, so both waited for each other."""
    async with cluster(tmp_path, "replication", version, config=SNAPSHOTS, redis_server=2) as made:
        old, other = await _filled(made)
        await other.tool("detach")
        await old.ask("SET", "later", "x")
        await until(old.ready, "its record says how far it was")
        with suppress(RedisError):
            await old.ask("SHUTDOWN", "SAVE")
        await old.kill()
        began = time.monotonic()
        await old.start()
        assert in_time(began, 2)
        await until(old.ready, "it serves")
        assert (await old.role(), await old.ask("GET", "later")) == ("master", "x")


@pytest.mark.parametrize("who_has_more", ["its own record", "the replica"])
async def test_it_does_where_either_of_them_had_more_than_was_saved(tmp_path: Path, who_has_more: str) -> None:
    async with cluster(tmp_path, "replication", config=SNAPSHOTS, redis_server=2) as made:
        old, other = await _filled(made)
        await old.ask("SAVE")
        remembered = old.node.record
        async with old.client() as client:
            await client.set("later", "x")
            assert await client.wait(1, 5000) == 1
        if who_has_more == "its own record":
            await other.tool("detach")
            await old.ask("SET", "later still", "x")
            await until(old.ready, "its record says how far it was")
        else:
            old.node.record = remembered
        await old.kill()
        assert "it has lost what it had, and a replica has it" in await old.node.failure("preStart")
