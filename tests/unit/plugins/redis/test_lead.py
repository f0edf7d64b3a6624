"""A replica that starts while there is no primary, with real servers: it waits, or begins as primary when told to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.plugins.engines import Cluster, Engine, cluster, until
from tests.unit.plugins.support import record


async def _down(made: Cluster) -> tuple[Engine, Engine]:
    """All engines have ended after a write that had reached everybody; the old primary, a replica."""
    old = await made.primary()
    replica = next(engine for engine in made.servers if engine is not old)
    await old.ask("SET", "key", "value")
    assert await old.ask("WAIT", "1", "5000") == 1
    await until(replica.ready, "in sync, and remembered so")
    for engine in made.servers:
        await engine.kill()
    return old, replica


@pytest.mark.parametrize("plugin", ["redis", "redis-1.1"])
async def test_it_waits_for_a_primary_until_it_is_told_to_lead(tmp_path: Path, plugin: str) -> None:
    async with cluster(tmp_path, "replication", plugin=plugin, redis_server=2) as made:
        old, replica = await _down(made)
        waiting = asyncio.create_task(replica.start())
        await asyncio.sleep(1.5)  # its preStart asks several times; that nothing follows has no condition to wait for
        assert not waiting.done(), "it has started without a primary"
        waiting.cancel()
        replica.node.lead = True
        async with asyncio.timeout(10):
            await replica.start()
        await until(replica.ready, "it serves")
        assert await replica.role() == "master"
        assert await replica.ask("GET", "key") == "value"
        await old.start()
        await until(old.ready, "the old one follows it")
        assert await made.primary() is replica


async def test_whoever_finds_a_primary_follows_it_though_it_was_told_to_lead(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        old, replica = await _down(made)
        await old.start()
        await until(old.ready, "it is back")
        replica.node.lead = True
        await replica.start()
        await until(replica.ready, "it follows")
        assert await made.primary() is old


async def test_one_without_data_never_leads(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        _, replica = await _down(made)
        replica.node.lead = True
        for remembered in (record("replica", 0), None):
            replica.node.record = remembered
            waiting = asyncio.create_task(replica.start())
            await asyncio.sleep(1.5)  # as above
            assert not waiting.done(), "it begins empty"
            waiting.cancel()
