"""The writable role is moved between real servers, under a client that writes: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest
from redis.exceptions import ReadOnlyError, RedisError

from tests.support.stalls import in_time, stood_still
from tests.unit.plugins.engines import Cluster, Engine, cluster, switch, until, writing

LONGEST_GAP = 3.0
"""Seconds without an acknowledged write. Alone on the machine it is 0.1, with Sentinel 0.35; the tests share it."""


async def _moved_and_lost_nothing(made: Cluster, moves: int) -> None:
    async with writing(made.servers) as writer:
        await until(lambda: _more_than(writer.acknowledged, 100), "the first writes")
        for move in range(moves):
            old = await made.primary()
            new = [e for e in made.servers if e is not old][move % (len(made.servers) - 1)]
            before, writer.longest, began = len(writer.acknowledged), 0.0, time.monotonic()
            took = await switch(made, old, new)
            assert await made.primary() is new
            await until(lambda seen=before: _more_than(writer.acknowledged, seen + 100), "writes to the new primary")  # type: ignore[misc]
            judged = not stood_still(began) and not await _waited_for_the_disk(made)
            assert writer.longest < LONGEST_GAP or not judged, took
            await asyncio.gather(*(until(e.ready, f"{e.name} ready") for e in made.servers))
    assert await writer.lost(await made.primary()) == set()
    assert {e.node.record.role if e.node.record else "" for e in made.servers} == {"master", "replica"}
    for engine in made.servers:
        assert await engine.ask("CONFIG", "GET", "replica-priority") == {"replica-priority": "100"}


async def _waited_for_the_disk(made: Cluster) -> bool:
    """Redis waits with its writes where the last ones have been on their way to the disk for 2 s."""
    return any([(await e.ask("INFO", "persistence"))["aof_delayed_fsync"] for e in made.servers])


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

        await until(agreed, "all Sentinels name the new primary")
        # Sentinel corrects what it takes for wrong after 8 to 10 s.
        deadline = time.monotonic() + (13 if servers == 3 else 0)
        while time.monotonic() < deadline:
            assert await made.primary() is primary
            await asyncio.sleep(0.2)
        # A Sentinel that has just started is not ready until it has asked the primary, whoever that is by then.
        await asyncio.gather(*(until(s.ready, f"{s.name} ready") for s in made.sentinels))


async def test_a_sentinel_that_hung_is_not_asked_for_it(tmp_path: Path) -> None:
    # After 2 s without a look at its clock it is in TILT for 30 s: it answers OK to a failover, and begins none.
    async with cluster(tmp_path, "sentinel", redis_server=3, redis_sentinel=3) as made:
        hung = made.sentinels[0]
        await hung.tilts_for(600)
        assert hung.process is not None
        hung.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(2.5)
        hung.process.send_signal(signal.SIGCONT)
        await until(lambda: _tilted(hung), "the Sentinel is in TILT")
        old = await made.primary()
        new = next(e for e in made.servers if e is not old)
        await switch(made, old, new)
        assert await made.primary() is new
        assert await _tilted(hung)


async def _tilted(sentinel: Engine) -> bool:
    return int((await sentinel.ask("INFO", "sentinel"))["sentinel_tilt"]) == 1


async def _connected(engine: Engine, number: int) -> bool:
    return f"id={number} " in await engine.ask("CLIENT", "LIST")


# The tools of 6.0 are tried on the server at hand, a 7.0.
@pytest.mark.parametrize("version", ["6.0", "7.0"])
async def test_the_former_primary_follows_before_it_is_told_and_keeps_its_clients_until_then(
    tmp_path: Path, version: str
) -> None:
    async with cluster(tmp_path, "replication", version, redis_server=2) as made:
        old = await made.primary()
        new = next(e for e in made.servers if e is not old)
        async with old.client(timeout=20) as client, old.client(timeout=20) as writer, old.client(2) as late:
            number = await client.client_id()
            await writer.ping()
            fence = await old.tool("fence", seconds="30")
            waiting = asyncio.ensure_future(writer.set("behind the fence", 1))
            await until(lambda: _level(new, int(fence["position"])), "the candidate has all writes")
            await new.tool("failover", **{"from": old.address})
            assert await made.primary() is new, "two nodes are primary until the platform goes on"
            assert await _connected(old, number)
            if version == "7.0":
                assert not waiting.done()
            async with new.client() as after:
                await after.set("after", 1)

            await old.tool("follow", primary=new.address)
            with pytest.raises((RedisError, OSError)):
                await waiting
            assert not await _connected(old, number)
            await until(lambda: _has(old, "after"), "the former primary has what was written since")
            with pytest.raises(ReadOnlyError):
                await late.set("plain", 1)
            assert await old.ask("CONFIG", "GET", "replica-priority") == {"replica-priority": "100"}
            assert (await new.ask("INFO", "stats"))["sync_full"] == 0, "it copied everything anew"

            stays = await late.client_id()
            await old.tool("follow", primary=new.address)
            assert await _connected(old, stays), "who reads from a replica is disconnected for nothing"


async def test_a_former_primary_that_does_not_answer_holds_no_failover_up(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        old = await made.primary()
        new = next(e for e in made.servers if e is not old)
        await until(new.ready, "the candidate is ready")
        assert old.process is not None
        old.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        await new.tool("failover", **{"from": old.address})
        assert in_time(began, 3)
        assert await new.role() == "master"


async def _level(engine: Engine, position: int) -> bool:
    return int((await engine.tool("getRole"))["position"]) >= position


async def _has(engine: Engine, key: str) -> bool:
    return int(await engine.ask("EXISTS", key)) == 1
