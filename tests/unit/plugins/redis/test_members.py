"""Nodes come and go under real Sentinels: none is remembered, the quorum follows, those that stay stay ready."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.tooling.failure import ToolError
from tests.unit.plugins.engines import SENTINEL, Cluster, Engine, cluster, until, writing
from tests.unit.plugins.support import record, wanted


async def _quorum(sentinel: Engine) -> str:
    return str((await sentinel.ask("SENTINEL", "MASTER", "orders"))["quorum"])


async def _gone(made: Cluster, gone: Engine) -> None:
    await gone.kill()
    made.engines.remove(gone)


async def _forget(made: Cluster, gone: Engine) -> None:
    """One Sentinel after another, as the platform does."""
    primary = await made.primary()
    for sentinel in made.sentinels:
        await sentinel.tool("forget", node=gone.name, address=gone.address)
        assert await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "orders") == [primary.address, "6379"]


async def test_what_was_removed_is_forgotten_and_what_is_there_is_kept(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=3, redis_sentinel=5) as made:
        assert {await _quorum(s) for s in made.sentinels} == {"3"}
        server = made.servers[2]
        assert await server.role() == "replica"
        await _gone(made, server)
        made.render(wanted("redis", "sentinel", redis_server=2, redis_sentinel=5))
        assert await made.known_to(made.sentinels[0]) == ("2", "4")
        await _forget(made, server)
        assert await made.met()
        before = await made.sentinels[0].ask("SENTINEL", "SENTINELS", "orders")
        await _forget(made, server)  # nothing is reset where nothing is remembered
        assert len(await made.sentinels[0].ask("SENTINEL", "SENTINELS", "orders")) == len(before) == 4

        removed = made.sentinels[3:]
        for sentinel in removed:
            await _gone(made, sentinel)
        made.render(wanted("redis", "sentinel", redis_server=2, redis_sentinel=3))
        assert all([await s.ready() for s in made.sentinels]), "they stay ready before anything is forgotten"
        for sentinel in removed:
            await _forget(made, sentinel)
        assert await made.met()
        assert all([await s.ready() for s in made.sentinels])
        assert {await _quorum(s) for s in made.sentinels} == {"2"}


async def test_nothing_is_forgotten_while_somebody_else_is_missing(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=3, redis_sentinel=3) as made:
        removed, missing = made.servers[2], made.servers[1]
        await _gone(made, removed)
        await missing.kill()
        made.render(wanted("redis", "sentinel", redis_server=2, redis_sentinel=3))
        sentinel = made.sentinels[0]

        async def noticed() -> bool:
            replicas = await sentinel.ask("SENTINEL", "REPLICAS", "orders")
            return all("s_down" in replica["flags"] for replica in replicas)

        await until(noticed, "Sentinel misses both")
        reason = await sentinel.node.failure("forget", node=removed.name, address=removed.address)
        assert "each slave that should exist" in reason
        assert (await made.known_to(sentinel))[0] == "2", "it was reset though it could not find the missing one again"
        await missing.start()

        async def forgets() -> bool:
            await sentinel.tool("forget", node=removed.name, address=removed.address)
            return True

        await until(forgets, "it has seen the missing one again")
        assert await made.known_to(sentinel) == ("1", "2")


async def test_sentinels_are_added_one_by_one_or_at_once_and_those_that_run_stay_ready(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        old = list(made.sentinels)
        unready: list[str] = []

        async def watch() -> None:
            while True:
                for sentinel in old:
                    try:
                        await sentinel.ready()
                    except ToolError as error:
                        if "Sentinel" in str(error):  # not: this machine was too slow to answer
                            unready.append(str(error))
                await asyncio.sleep(0.1)

        watching = asyncio.create_task(watch())
        added = made.render(wanted("redis", "sentinel", redis_server=2, redis_sentinel=7))
        assert {e.component for e in added} == {SENTINEL}
        await added[0].start()
        await until(added[0].ready, "the first is ready though three more are to come")
        assert await _quorum(added[0]) == "2"
        await asyncio.gather(*(e.start() for e in added[1:]))
        await asyncio.gather(*(until(e.ready, f"{e.name} ready") for e in added))
        await until(made.met, "all know each other")
        for sentinel in made.sentinels:
            await sentinel.ready()
        watching.cancel()
        assert unready == []
        assert {await _quorum(s) for s in made.sentinels} == {"4"}


async def test_an_old_primary_that_dies_just_after_the_switch_comes_back_as_a_replica(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        old = await made.primary()
        new = next(e for e in made.servers if e is not old)
        async with writing(made.servers) as writer:
            await new.tool("prepareFailover")
            await old.tool("fence", seconds="30")
            await new.tool("failover", **{"from": old.address})
            await old.kill()
            old.node.record = record("master")
            await old.start()
            await until(old.ready, "the old primary is ready")
            assert await made.primary() is new
        assert await writer.lost(new) == set()


async def test_sentinel_still_replaces_a_dead_primary_after_all_that(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=3, redis_sentinel=3) as made:
        dead = await made.primary()
        made.engines.remove(dead)
        await dead.kill()

        async def replaced() -> bool:
            return [await e.role() for e in made.servers].count("master") == 1

        await until(replaced, "another primary")
        made.engines.append(dead)
        dead.node.record = record("master")
        await dead.start()
        await until(dead.ready, "the old primary is a replica")
        assert await made.primary() is not dead
