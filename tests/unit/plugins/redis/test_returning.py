"""A primary that hung comes back and finds that Sentinel has replaced it: it must not go on taking writes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from tests.support.stalls import in_time
from tests.unit.plugins.engines import Cluster, Engine, cluster, keep_asking, until


async def _hangs_until_replaced(made: Cluster, old: Engine) -> None:
    assert old.process is not None
    os.kill(old.process.pid, signal.SIGSTOP)
    try:
        others = [engine for engine in made.servers if engine is not old]

        async def replaced() -> bool:
            return "master" in [await engine.role() for engine in others]

        await until(replaced, "Sentinel has replaced it")
    finally:
        os.kill(old.process.pid, signal.SIGCONT)


@pytest.mark.parametrize("servers", [2, 3])
async def test_it_follows_within_seconds_and_disconnects_who_waited_for_it(tmp_path: Path, servers: int) -> None:
    """Sentinel alone takes ten seconds and more, in which the writes of those who waited are taken and thrown away."""
    async with cluster(tmp_path, "sentinel", redis_server=servers, redis_sentinel=3) as made:
        old = await made.primary()
        async with old.client(timeout=30) as waiting:
            await waiting.set("before", 1)
            await _hangs_until_replaced(made, old)
            returned = time.monotonic()
            asked = asyncio.create_task(keep_asking(old))
            try:

                async def follows() -> bool:
                    return await old.role() == "replica"

                await until(follows, "it follows")
            finally:
                asked.cancel()
            assert in_time(returned, 7)
            with pytest.raises(RedisError):
                await waiting.set("after", 1)
        new = await made.primary()
        assert new is not old
        assert await new.ask("GET", "after") is None


async def test_a_primary_that_sentinel_names_stays_one_though_it_has_no_replica(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        primary = await made.primary()
        (replica,) = (engine for engine in made.servers if engine is not primary)
        await replica.kill()
        until_then = time.monotonic() + 5  # real servers: that nothing happens to it takes its time
        while time.monotonic() < until_then:
            await primary.ready()
            assert await primary.role() == "master"
            await asyncio.sleep(0.5)


async def test_one_that_was_just_chosen_is_not_put_back_by_its_own_agent(tmp_path: Path) -> None:
    """Its peers do not follow it yet, and a Sentinel may not have heard of it yet."""
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        for _ in range(3):
            old = await made.primary()
            new = next(engine for engine in made.servers if engine is not old)
            await new.tool("prepareFailover")
            asked = asyncio.create_task(keep_asking(new))
            await new.tool("failover", **{"from": old.address})
            until_then = time.monotonic() + 1.5  # in which its agent would have put it back
            while time.monotonic() < until_then:
                assert await new.role() == "master"
                await asyncio.sleep(0.05)
            await old.tool("follow", primary=new.address)
            asked.cancel()
            await until(old.ready, "the old one follows")
