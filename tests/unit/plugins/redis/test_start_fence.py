"""A primary that comes back just as Sentinel replaces it takes no write at any address: until it is sure that nobody
replaces it, it takes writes only while all other servers follow it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from agent.tooling.failure import ToolError
from tests.support.stalls import in_time, stood_still
from tests.unit.plugins.engines import Cluster, Engine, cluster, keep_asking, until
from tests.unit.plugins.redis.test_tools import MASTER, bulk, redis
from tests.unit.plugins.support import FakeEngine, Node, addresses, files, listening, wanted

SOON = 4.0
"""Seconds in which one that is back takes writes where nobody has missed it; without the fence it is one less."""


SCRIPT = "return redis.call('SET', 'own', 1)"


@dataclass
class Probe:
    """Writes to one server at its own address, again and again."""

    taken: list[float] = field(default_factory=list)
    """When a write was acknowledged that was begun after the server had started anew."""
    refused: set[str] = field(default_factory=set)

    async def run(self, engine: Engine) -> None:
        while True:
            with suppress(OSError):
                async with engine.client(timeout=1) as client:
                    try:
                        while True:
                            await client.execute_command("EVAL", SCRIPT, "0")  # type: ignore[no-untyped-call]
                            self.taken.append(time.monotonic())
                            await asyncio.sleep(0.005)
                    except RedisError as error:
                        self.refused.add(str(error).split()[0])
            await asyncio.sleep(0.005)


@asynccontextmanager
async def probed(engine: Engine) -> AsyncIterator[Probe]:
    probe = Probe()
    task = asyncio.create_task(probe.run(engine))
    try:
        yield probe
    finally:
        task.cancel()


@asynccontextmanager
async def asked(engine: Engine) -> AsyncIterator[None]:
    task = asyncio.create_task(keep_asking(engine))
    try:
        yield
    finally:
        task.cancel()


async def _remembered(made: Cluster) -> Engine:
    """The primary, when all remember what they are."""
    for engine in made.servers:
        await until(engine.ready, "in sync, and remembered so")
    return await made.primary()


async def _fenced(engine: Engine) -> bool:
    return bool((await engine.ask("CONFIG", "GET", "replica-priority"))["replica-priority"] == "101")


@pytest.mark.parametrize(("servers", "version"), [(2, "6.0"), (2, "7.0"), (3, "8.0")])
async def test_it_takes_no_write_that_would_be_thrown_away(tmp_path: Path, servers: int, version: str) -> None:
    """It is slow between the look at its Sentinels and the start of its process."""
    async with cluster(tmp_path, "sentinel", version, redis_server=servers, redis_sentinel=3) as made:
        old = await _remembered(made)

        async def being_replaced() -> bool:
            flags = [(await each.ask("SENTINEL", "MASTER", "orders"))["flags"] for each in made.sentinels]
            return any("failover_in_progress" in said or "o_down" in said for said in flags)

        while True:
            began = time.monotonic()
            await old.kill()
            async with probed(old) as probe:
                await old.start(before_process=lambda: until(being_replaced, "a Sentinel replaces it"))
                async with asked(old):

                    async def follows() -> bool:
                        return await old.role() == "replica"

                    try:
                        await until(follows, "it follows")
                    except AssertionError:
                        if not stood_still(began):
                            raise
                        continue  # nobody was elected on a machine that stood still
            break
        assert probe.taken == []
        new = await made.primary()
        assert new is not old
        async with asked(old):
            await until(lambda: _lifted(old), "nothing of the fence is left with a replica")


@pytest.mark.parametrize("version", ["6.0", "7.0"])
async def test_one_that_nobody_has_missed_takes_writes_at_once(tmp_path: Path, version: str) -> None:
    async with cluster(tmp_path, "sentinel", version, redis_server=2, redis_sentinel=3) as made:
        primary = await _remembered(made)
        await primary.kill()
        began = time.monotonic()
        async with probed(primary) as probe:
            await primary.start()
            async with asked(primary):
                await until(lambda: _taken(probe), "it takes writes")
                print(f"{probe.taken[0] - began:.2f} s")
                assert in_time(began, SOON)
                await until(lambda: _lifted(primary), "the fence has gone")
        assert await made.primary() is primary


async def test_so_does_one_whose_replica_is_lost(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        primary = await _remembered(made)
        for engine in made.servers:
            await engine.kill()
        began = time.monotonic()
        async with probed(primary) as probe:
            await primary.start()
            async with asked(primary):
                await until(lambda: _taken(probe), "it takes writes")
                assert in_time(began, SOON)


async def test_a_majority_of_sentinels_is_enough_though_not_at_once(tmp_path: Path) -> None:
    """The one that is silent may just be replacing it."""
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        primary = await _remembered(made)
        for engine in (*made.servers, made.sentinels[0]):
            await engine.kill()
        began = time.monotonic()
        async with probed(primary) as probe:
            await primary.start()
            async with asked(primary):
                await until(lambda: _taken(probe), "it takes writes")
        assert probe.taken[0] - began > 2.9, "its uptime is counted in whole seconds"


async def test_without_sentinels_it_takes_writes_only_while_all_others_follow_it(tmp_path: Path) -> None:
    """Meanwhile it says why, the parameter is the App's, and no change of parameters lifts the fence."""
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        primary = await _remembered(made)
        (replica,) = (engine for engine in made.servers if engine is not primary)
        for engine in (*made.servers, *made.sentinels):
            await engine.kill()
        async with probed(primary) as probe:
            await primary.start()
            async with asked(primary):
                await until(primary.ready, "it serves those who read")
                await primary.tool("reloadConfig", **{"min-replicas-to-write": "0", "timeout": "7"})
                read = await primary.tool("readConfig")
                assert (read["min-replicas-to-write"], read["timeout"]) == ("0", "7")
                said = await primary.tool("takesWrites")
                assert said["writes"] == "refused"
                assert "it has begun as primary" in said["refusal"]
                assert "has just begun" in await primary.node.failure("fence", seconds="10")
                await primary.tool("unfence")  # as a Switchover does that was refused
                assert probe.taken == []
                assert "NOREPLICAS" in probe.refused
                await replica.start()
                await until(lambda: _taken(probe), "all follow it")
                assert await _fenced(primary)
                await replica.ask("REPLICAOF", "NO", "ONE")
                before = len(probe.taken)
                await replica.ask("SET", "elsewhere", "1")
                assert len(probe.taken) <= before + 1, "the promoted one has left it at that moment"
                for sentinel in made.sentinels:
                    await replica.ask("REPLICAOF", primary.address, "6379")
                    await sentinel.start()
                await until(lambda: _lifted(primary), "Sentinels are back, and confirm it")


APP = wanted("redis", "sentinel", redis_server=2, redis_sentinel=3)
ADDRESSES = addresses(APP)
OWN, OTHER = (ADDRESSES[node.name] for node in APP.component("redis-server").nodes)
SENTINELS = [ADDRESSES[node.name] for node in APP.component("redis-sentinel").nodes]


@dataclass
class Says:
    """What a Sentinel knows of this primary. ``vote``: the epoch of its last vote; ``heard``: ms ago."""

    names: str = OWN
    flags: str = "master"
    heard: int = 200
    epoch: int = 5
    vote: int = 5

    def answer(self, line: str) -> bytes | None:
        words = line.upper().split()
        if words[:2] == ["SENTINEL", "IS-MASTER-DOWN-BY-ADDR"]:
            assert words[4] == "0", "it asks for nobody's vote"
            return b"*3\r\n:0\r\n" + bulk("ab") + f":{self.vote}\r\n".encode()
        if words[:2] != ["SENTINEL", "MASTER"]:
            return b"+OK\r\n"
        fields = {"name": "orders", "ip": self.names, "flags": self.flags, "config-epoch": self.epoch}
        fields |= {"last-ok-ping-reply": self.heard, "down-after-milliseconds": 2500}
        text = "".join(f"${len(word)}\r\n{word}\r\n" for each in fields.items() for word in map(str, each))
        return f"*{2 * len(fields)}\r\n{text}".encode()


def _primary(uptime: int) -> FakeEngine:
    """In doubt."""
    known = redis(f"{MASTER}min_slaves_good_slaves:0\r\n", uptime=uptime)

    def answer(line: str) -> bytes | None:
        if line == "CONFIG GET replica-priority":
            return b"*2\r\n" + bulk("replica-priority") + bulk("101")
        return known.answer(line)

    return FakeEngine(answer)


AWAY = Says(names=OTHER)
MOVES = Says(flags="master,failover_in_progress")
DOWN = Says(flags="s_down,master")
LATE = Says(heard=1400)
VOTED = Says(vote=6)


@pytest.mark.parametrize(
    ("said", "uptime", "confirmed"),
    [
        ([Says(), Says(), Says()], 0, True),
        ([VOTED, VOTED, VOTED], 0, True),
        ([Says(), Says(), LATE], 0, False),
        ([Says(), Says(), LATE], 2, True),
        ([Says(), Says(), DOWN], 3, False),
        ([Says(), Says(), DOWN], 4, True),
        ([Says(), Says()], 3, False),
        ([Says(), Says()], 4, True),
        ([VOTED, Says()], 4, False),
        ([VOTED, Says()], 19, False),
        ([VOTED, Says()], 20, True),
        ([Says(), Says(), MOVES], 20, False),
        ([Says(), Says(), AWAY], 20, False),
        ([Says(), DOWN, DOWN], 20, False),
        ([Says()], 99, False),
        ([], 99, False),
    ],
)
async def test_it_is_confirmed_by_all_sentinels_or_by_a_majority_that_has_settled(
    tmp_path: Path, said: list[Says], uptime: int, confirmed: bool
) -> None:
    primary = _primary(uptime)
    asked: dict[tuple[str, int], FakeEngine] = {(OWN, 6379): primary}
    asked |= {(ip, 26379): FakeEngine(each.answer) for ip, each in zip(SENTINELS, said, strict=False)}
    async with listening(asked):
        with suppress(ToolError):  # whether it is ready is another matter
            await Node(tmp_path, files(APP, "redis-server")).run("ready")
    lifted = "CONFIG SET min-replicas-to-write 0" in primary.received
    assert lifted is ("CONFIG SET replica-priority 100" in primary.received)
    assert lifted is confirmed


async def _taken(probe: Probe) -> bool:
    return bool(probe.taken)


async def _lifted(engine: Engine) -> bool:
    found = await engine.ask("CONFIG", "GET", "min-replicas-to-write")
    own = engine.node.bundle.document.names["config"]["min-replicas-to-write"]
    return not await _fenced(engine) and bool(found["min-replicas-to-write"] == str(own))
