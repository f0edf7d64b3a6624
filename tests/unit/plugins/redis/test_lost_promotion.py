"""The node that a switchover has just promoted dies before Sentinel has seen it: nobody may be left but replicas."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.unit.plugins.engines import Cluster, Engine, cluster, keep_asking, until

TRIES = 20
"""Sentinel sees a promotion within a tenth of a second, and a busy machine may take longer to kill who was promoted."""


async def _promoted_and_dead(made: Cluster) -> tuple[Engine, Engine]:
    """The former primary and whoever died in its place, before any Sentinel has seen that it had been promoted."""
    for _ in range(TRIES):
        old = await made.primary()
        new = next(engine for engine in made.servers if engine is not old)
        await new.tool("prepareFailover")
        await new.tool("failover", **{"from": old.address})
        await new.kill()
        await old.tool("follow", primary=new.address)
        named = [await s.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "orders") for s in made.sentinels]
        if all(address == old.address for address, _ in named):
            return old, new
        await new.start()
        await asyncio.gather(*(until(engine.ready, "as before") for engine in made.servers))
    raise AssertionError("each died too late for this test")


async def test_the_former_primary_takes_the_role_back(tmp_path: Path) -> None:
    """Sentinel would notice only after 22 s that its primary is none, and then find nobody to elect."""
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        async with (await made.primary()).client() as client:
            await client.set("before", "kept")
            assert await client.wait(1, 5000) == 1
        old, new = await _promoted_and_dead(made)
        began = time.monotonic()
        asked = asyncio.create_task(keep_asking(old))
        try:

            async def leads() -> bool:
                return await old.role() == "master"

            await until(leads, "it takes the role back", 20)
        finally:
            asked.cancel()
        print(f"{time.monotonic() - began:.1f} s")
        assert await old.ask("GET", "before") == "kept"
        await new.start()
        await until(new.ready, "the other follows it")
        assert await made.primary() is old
