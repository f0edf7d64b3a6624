"""The node that a switchover has just promoted dies before Sentinel has seen it: nobody may be left but replicas."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.unit.plugins.engines import cluster, keep_asking, until


async def test_the_former_primary_takes_the_role_back(tmp_path: Path) -> None:
    """Sentinel would notice only after 22 s that its primary is none, and then find nobody to elect."""
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        old = await made.primary()
        new = next(engine for engine in made.servers if engine is not old)
        async with old.client() as client:
            await client.set("before", "kept")
        await new.tool("failover", **{"from": old.address})
        await new.kill()
        await old.tool("follow", primary=new.address)
        named = await made.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "orders")
        assert named[0] == old.address, "it died too late for this test"
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
