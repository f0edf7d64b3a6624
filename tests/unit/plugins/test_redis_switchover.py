"""The writable role is moved between real servers, under a client that writes: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.unit.plugins.engines import Cluster, cluster, switch, until, writing

LONGEST_GAP = 3.0
"""Seconds without an acknowledged write. Alone on the machine it is 0.1, with Sentinel 0.35; the tests share it."""


async def _moved_and_lost_nothing(made: Cluster, moves: int) -> None:
    async with writing(made.servers) as writer:
        await until(lambda: _more_than(writer.acknowledged, 100), "the first writes")
        for move in range(moves):
            old = await made.primary()
            new = [e for e in made.servers if e is not old][move % (len(made.servers) - 1)]
            before, writer.longest = len(writer.acknowledged), 0.0
            took = await switch(made, old, new)
            assert await made.primary() is new
            await until(lambda seen=before: _more_than(writer.acknowledged, seen + 100), "writes to the new primary")  # type: ignore[misc]
            assert writer.longest < LONGEST_GAP, took
            await asyncio.gather(*(until(e.ready, f"{e.name} ready") for e in made.servers))
    assert await writer.lost(await made.primary()) == set()
    assert {e.node.record.role if e.node.record else "" for e in made.servers} == {"master", "replica"}
    for engine in made.servers:
        assert await engine.ask("CONFIG", "GET", "replica-priority") == {"replica-priority": "100"}


async def _more_than(numbers: set[int], count: int) -> bool:
    return len(numbers) > count


async def test_plain_replication(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=3) as made:
        await _moved_and_lost_nothing(made, 3)


@pytest.mark.parametrize("servers", [2, 3])
async def test_with_sentinel_that_elects_whom_it_is_told_and_does_not_fight(tmp_path: Path, servers: int) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=servers, redis_sentinel=3) as made:
        await _moved_and_lost_nothing(made, 3)
        primary = await made.primary()

        async def agreed() -> bool:
            named = [await s.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "orders") for s in made.sentinels]
            return all(address == primary.address for address, _ in named)

        await until(agreed, "all Sentinels name the new primary", 15)
        # Sentinel corrects what it takes for wrong after 8 to 10 s.
        deadline = time.monotonic() + (13 if servers == 3 else 0)
        while time.monotonic() < deadline:
            assert await made.primary() is primary
            await asyncio.sleep(0.2)
        assert all([await s.ready() for s in made.sentinels])
