"""What the Redis plugin's tools conclude from an engine's answers, and whom a starting node follows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.tooling.failure import ToolError
from tests.support.stalls import in_time
from tests.unit.plugins.engines import until
from tests.unit.plugins.support import NETWORK, Answer, FakeEngine, Node, addresses, files, listening, record, wanted

MASTER = (
    "# Replication\r\nrole:master\r\nconnected_slaves:1\r\n"
    f"slave0:ip={NETWORK}.2,port=6379,state=online,offset=42,lag=0\r\n"
    "master_failover_state:no-failover\r\nmaster_replid:aa\r\nmaster_replid2:00\r\nmaster_repl_offset:42\r\n"
    "second_repl_offset:-1\r\nrepl_backlog_active:1\r\nrepl_backlog_size:16777216\r\n"
    "repl_backlog_first_byte_offset:1\r\nrepl_backlog_histlen:42\r\n"
)


def replica(link: str = "up", sync: int = 0, priority: int = 100) -> str:
    return (
        f"# Replication\r\nrole:slave\r\nmaster_host:{NETWORK}.1\r\nmaster_port:6379\r\nmaster_link_status:{link}\r\n"
        f"master_last_io_seconds_ago:1\r\nmaster_sync_in_progress:{sync}\r\nslave_repl_offset:41\r\n"
        f"slave_priority:{priority}\r\nslave_read_only:1\r\nconnected_slaves:0\r\nmaster_replid:aa\r\n"
        "master_repl_offset:41\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:1\r\nrepl_backlog_size:16777216\r\n"
        "repl_backlog_first_byte_offset:1\r\nrepl_backlog_histlen:41\r\n"
    )


SYNCED, EMPTY = replica(), replica(priority=0)


def bulk(text: str) -> bytes:
    return f"${len(text)}\r\n{text}\r\n".encode()


def redis(replication: str, loading: int = 0, uptime: int = 60) -> FakeEngine:
    """A server with this INFO section."""

    def answer(line: str) -> bytes | None:
        if line == "QUIT":
            return None
        if line == "INFO replication":
            return bulk(replication)
        if line == "INFO server":
            return bulk(f"# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:{uptime}\r\nuptime_in_days:0\r\n")
        if line == "INFO persistence":
            return bulk(
                f"# Persistence\r\nloading:{loading}\r\nasync_loading:0\r\nrdb_changes_since_last_save:0\r\n"
                "aof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n"
                "aof_last_bgrewrite_status:ok\r\n"
            )
        return b"+OK\r\n"

    return FakeEngine(answer)


def sentinel(
    master: str,
    *,
    majority: bool = True,
    flags: str = "master",
    others: int = 2,
    runid: str = "ab",
    quorum: int = 2,
    uptime: int = 60,
    heard: int = 200,
    run: str = "0a",
) -> FakeEngine:
    """A Sentinel that names ``master``, of whom it has heard ``heard`` ms ago."""

    def answer(line: str) -> bytes | None:
        command = line.upper().split()
        if command[0] == "QUIT":
            return None
        if command[:2] == ["INFO", "SERVER"]:
            ages = f"uptime_in_seconds:{uptime}\r\nuptime_in_days:0\r\n"
            return bulk(f"redis_version:7.0.15\r\nrun_id:{run}\r\ntcp_port:26379\r\n{ages}")
        if command[0] == "PING":
            return b"+PONG\r\n"
        if command[:2] == ["SENTINEL", "CKQUORUM"]:
            if not majority:
                return b"-NOQUORUM 1 usable Sentinels. Not enough available Sentinels\r\n"
            return b"+OK 3 usable Sentinels. Quorum and failover authorization can be reached\r\n"
        if command[:2] == ["SENTINEL", "GET-MASTER-ADDR-BY-NAME"]:
            return b"*2\r\n" + bulk(master) + bulk("6379")
        if command[:2] == ["SENTINEL", "MASTER"]:
            fields = {"name": "orders", "ip": master, "port": "6379", "runid": runid, "flags": flags}
            fields |= {
                "last-ping-sent": "0",
                "last-ok-ping-reply": str(heard),
                "last-ping-reply": str(heard),
                "num-slaves": "1",
                "num-other-sentinels": str(others),
                "quorum": str(quorum),
                "parallel-syncs": "1",
            }
            return f"*{2 * len(fields)}\r\n".encode() + b"".join(bulk(k) + bulk(v) for k, v in fields.items())
        return b"+OK\r\n"

    return FakeEngine(answer)


SENTINEL = wanted("redis", "sentinel", redis_server=2, redis_sentinel=3)
ADDRESSES = addresses(SENTINEL)
FIRST, SECOND = (ADDRESSES[node.name] for node in SENTINEL.component("redis-server").nodes)
SENTINELS = [ADDRESSES[node.name] for node in SENTINEL.component("redis-sentinel").nodes]


@pytest.fixture
async def world() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def server(
    path: Path, index: int = 0, role: str | None = None, *, position: int = 1000, bootstrap: bool = True
) -> Node:
    """``role``: that it remembers, with the data that it had."""
    data = files(SENTINEL, "redis-server", index, bootstrap=bootstrap)
    made = Node(path, data, None if role is None else record(role, position))
    if role is not None:
        (path / "data" / "data" / "appendonly.aof").touch()
    return made


async def conclusion(node: Node) -> tuple[str, str]:
    names = (await node.run("preStart")).values
    return names["replicaof"], names["priority"]


async def test_role_and_position(tmp_path: Path, world: AsyncExitStack) -> None:
    await world.enter_async_context(listening({(FIRST, 6379): redis(MASTER), (SECOND, 6379): redis(SYNCED)}))
    assert (await server(tmp_path).run("getRole")).values == {"role": "master", "position": "42", "followers": SECOND}
    assert (await server(tmp_path, 1).run("getRole")).values == {"role": "replica", "position": "41", "followers": ""}


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (redis(MASTER, loading=1), "loading its data from disk"),
        (redis(replica("down")), "no connection to its primary"),
        (redis(replica("down", sync=1)), "copying the data of its primary"),
    ],
)
async def test_not_ready_says_why(tmp_path: Path, world: AsyncExitStack, engine: FakeEngine, reason: str) -> None:
    await world.enter_async_context(listening({(FIRST, 6379): engine}))
    assert reason in await server(tmp_path).failure("ready")


NOT_HEARD = [{"flags": "master,s_down"}, {"heard": 1500}, {"heard": 86000}]


@pytest.mark.parametrize(
    "said",
    [
        [{}, {}, {"flags": "master,failover_in_progress"}],
        [{}, {"flags": "master,s_down,o_down"}, {}],
        *([{}, missed, missed] for missed in NOT_HEARD),
        [NOT_HEARD[1], {}, NOT_HEARD[0]],
    ],
)
async def test_a_primary_that_has_just_started_waits_while_sentinel_may_replace_it(
    tmp_path: Path, world: AsyncExitStack, said: list[dict[str, Any]]
) -> None:
    """What clients wrote here until then would be thrown away."""
    await world.enter_async_context(listening(just_started(said)))
    assert "Sentinel has missed this primary" in await server(tmp_path).failure("ready")


@pytest.mark.parametrize("missed", [{}, *NOT_HEARD])
@pytest.mark.parametrize("which", [0, 2])
async def test_one_sentinel_alone_that_has_not_heard_of_it_keeps_nobody_waiting(
    tmp_path: Path, world: AsyncExitStack, missed: dict[str, Any], which: int
) -> None:
    """Its connection may hang for a quarter of a minute, and alone it replaces nobody."""
    said: list[dict[str, Any]] = [{}, {}, {}]
    said[which] = missed
    await world.enter_async_context(listening(just_started(said)))
    await server(tmp_path).run("ready")


def just_started(said: list[dict[str, Any]]) -> dict[tuple[str, int], FakeEngine]:
    voters = {
        (each, 26379): sentinel(FIRST, run=each.replace(".", ""), **what)
        for each, what in zip(SENTINELS, said, strict=True)
    }
    return {(FIRST, 6379): redis(MASTER, uptime=2), **voters}


@pytest.mark.parametrize(("named", "uptime"), [(SECOND, 2), (FIRST, 6)], ids=["not meant", "for a while"])
async def test_one_that_is_not_meant_or_has_run_for_a_while_is_ready_at_once(
    tmp_path: Path, world: AsyncExitStack, named: str, uptime: int
) -> None:
    voters = {(each, 26379): sentinel(named, flags="master,s_down") for each in SENTINELS}
    await world.enter_async_context(listening({(FIRST, 6379): redis(MASTER, uptime=uptime), **voters}))
    await server(tmp_path).run("ready")


async def test_a_primary_is_ready_without_any_sentinel(tmp_path: Path, world: AsyncExitStack) -> None:
    await world.enter_async_context(listening({(FIRST, 6379): redis(MASTER, uptime=2)}))
    began = time.monotonic()
    await server(tmp_path).run("ready")
    assert in_time(began, 2)


async def test_a_replica_may_be_elected_only_after_its_first_sync(tmp_path: Path, world: AsyncExitStack) -> None:
    engine = redis(EMPTY)
    await world.enter_async_context(listening({(SECOND, 6379): engine}))
    await server(tmp_path, 1).run("ready")
    assert "CONFIG SET replica-priority 100" in engine.received


async def test_first_start_makes_the_bootstrap_node_primary_without_delay(tmp_path: Path) -> None:
    began = time.monotonic()
    assert await conclusion(server(tmp_path)) == ("", "100")
    assert in_time(began, 2)


async def test_first_start_of_another_node_waits_for_the_primary(tmp_path: Path, world: AsyncExitStack) -> None:
    starting = asyncio.create_task(conclusion(server(tmp_path, 1)))
    await asyncio.sleep(0.5)  # it asks addresses where nobody listens yet, which nobody sees
    assert not starting.done()
    await world.enter_async_context(listening({(FIRST, 6379): redis(MASTER)}))
    assert await starting == (f"replicaof {FIRST} 6379", "0")


async def test_a_returning_primary_follows_the_one_that_sentinel_chose(tmp_path: Path, world: AsyncExitStack) -> None:
    await world.enter_async_context(listening({(a, 26379): sentinel(SECOND) for a in SENTINELS}))
    assert await conclusion(server(tmp_path, 0, "master")) == (f"replicaof {SECOND} 6379", "100")


async def test_a_primary_that_sentinel_has_not_missed_goes_on(tmp_path: Path, world: AsyncExitStack) -> None:
    await world.enter_async_context(listening({(a, 26379): sentinel(FIRST) for a in SENTINELS}))
    began = time.monotonic()
    assert await conclusion(server(tmp_path, 0, "master")) == ("", "101")
    assert in_time(began, 2)


async def test_a_primary_that_sentinel_is_just_replacing_waits_for_the_news(
    tmp_path: Path, world: AsyncExitStack
) -> None:
    named = [FIRST]
    engines = {(a, 26379): FakeEngine(_changing(named)) for a in SENTINELS}
    await world.enter_async_context(listening(engines))
    starting = asyncio.create_task(conclusion(server(tmp_path, 0, "master")))
    await _asked_again(engines)
    assert not starting.done(), "it started as a second primary"
    named[0] = SECOND
    assert await starting == (f"replicaof {SECOND} 6379", "100")


async def test_a_primary_that_was_just_switched_away_waits_for_sentinel_to_say_so(
    tmp_path: Path, world: AsyncExitStack
) -> None:
    named = [FIRST]
    engines = {(a, 26379): FakeEngine(_changing(named, "master")) for a in SENTINELS}
    await world.enter_async_context(listening({**engines, (SECOND, 6379): redis(MASTER)}))
    starting = asyncio.create_task(conclusion(server(tmp_path, 0, "master")))
    await _asked_again(engines)
    assert not starting.done(), "it started as a second primary"
    named[0] = SECOND
    assert await starting == (f"replicaof {SECOND} 6379", "100")


async def _asked_again(sentinels: Mapping[tuple[str, int], FakeEngine]) -> None:
    """Each has been asked for the primary in three rounds, so two were not enough to decide by."""

    async def asked() -> bool:
        rounds = [sum("GET-MASTER-ADDR" in line.upper() for line in each.received) for each in sentinels.values()]
        return min(rounds) >= 3

    await until(asked, "three rounds", 10)


def _changing(named: list[str], flags: str = "master,s_down,o_down") -> Answer:
    return lambda line: sentinel(named[0], flags=flags).answer(line)


async def test_an_empty_volume_never_becomes_primary_because_sentinel_says_so(
    tmp_path: Path, world: AsyncExitStack
) -> None:
    await world.enter_async_context(listening({(a, 26379): sentinel(FIRST) for a in SENTINELS}))
    assert "its volume is empty" in await server(tmp_path, 0).failure("preStart")


@pytest.mark.parametrize("named", ["10.0.0.9 6379\nloadmodule /x.so\n#", "some-host", ""])
async def test_what_is_no_address_is_believed_from_no_sentinel(
    tmp_path: Path, world: AsyncExitStack, named: str
) -> None:
    """It would stand in redis.conf, and what stands behind its line break would be a directive."""
    await world.enter_async_context(
        listening({**{(a, 26379): sentinel(named) for a in SENTINELS}, (SECOND, 6379): redis(MASTER)})
    )
    assert await conclusion(server(tmp_path, 0, "replica")) == (f"replicaof {SECOND} 6379", "100")


async def test_of_a_server_that_does_not_answer_nobody_says_that_it_has_saved_all(
    tmp_path: Path, world: AsyncExitStack
) -> None:
    """Its volume would remember from then on that it has what it had not written yet, and lead with less."""
    node = server(tmp_path, 0, "replica")
    with pytest.raises(ToolError) as failure:
        await node.run("ready")
    assert "unsaved" not in failure.value.values


async def test_a_sentinel_without_majority_is_not_believed(tmp_path: Path, world: AsyncExitStack) -> None:
    isolated = {(SENTINELS[0], 26379): sentinel(FIRST, majority=False)}
    await world.enter_async_context(
        listening({**isolated, (FIRST, 6379): redis(SYNCED), (SECOND, 6379): redis(MASTER)})
    )
    assert await conclusion(server(tmp_path, 0, "replica")) == (f"replicaof {SECOND} 6379", "100")


async def test_a_replica_whose_primary_is_dead_still_starts_so_that_it_can_be_elected(
    tmp_path: Path, world: AsyncExitStack
) -> None:
    await world.enter_async_context(listening({(a, 26379): sentinel(FIRST) for a in SENTINELS}))
    assert await conclusion(server(tmp_path, 1, "replica")) == (f"replicaof {FIRST} 6379", "100")


async def test_a_replica_that_never_synced_is_not_electable(tmp_path: Path, world: AsyncExitStack) -> None:
    await world.enter_async_context(listening({(a, 26379): sentinel(FIRST) for a in SENTINELS}))
    assert await conclusion(server(tmp_path, 1, "replica", position=0)) == (f"replicaof {FIRST} 6379", "0")


def replaced(path: Path, epoch: int = 7) -> tuple[Node, Path]:
    """One that was primary when it ended, with what it had, while another is primary now."""
    node = Node(path, files(wanted("redis", "replication", redis_server=2), "redis-server"), record("master", 9, epoch))
    volume = path / "data"
    (volume / "data" / "dump.rdb").write_text("its own")
    return node, volume


async def test_one_whose_data_were_set_aside_may_not_take_over_before_it_has_its_primarys(
    tmp_path: Path, world: AsyncExitStack
) -> None:
    """It remembers a position of its own, and its data directory is empty; also where the start is repeated."""
    node, volume = replaced(tmp_path)
    await world.enter_async_context(listening({(SECOND, 6379): redis(MASTER)}))
    for _ in range(2):
        assert await conclusion(node) == (f"replicaof {SECOND} 6379", "0")
        assert (volume / "diverged" / "dump.rdb").read_text() == "its own"
        assert not (volume / "data" / "dump.rdb").exists()


async def test_what_was_set_aside_is_not_replaced_by_what_an_interrupted_start_has_begun(
    tmp_path: Path, world: AsyncExitStack
) -> None:
    """Its engine died before the agent had recorded that it is a replica now."""
    node, volume = replaced(tmp_path)
    await world.enter_async_context(listening({(SECOND, 6379): redis(MASTER)}))
    await conclusion(node)
    (volume / "data" / "dump.rdb").write_text("half a copy")
    await conclusion(node)
    assert (volume / "diverged" / "dump.rdb").read_text() == "its own"
    later, _ = replaced(tmp_path, epoch=8)
    (volume / "data" / "dump.rdb").write_text("of its next time as primary")
    await conclusion(later)
    assert (volume / "diverged" / "dump.rdb").read_text() == "of its next time as primary"


async def test_a_start_that_ended_between_two_moves_is_gone_on_with(tmp_path: Path, world: AsyncExitStack) -> None:
    node, volume = replaced(tmp_path)
    await world.enter_async_context(listening({(SECOND, 6379): redis(MASTER)}))
    await conclusion(node)
    (volume / "data").rmdir()
    assert await conclusion(node) == (f"replicaof {SECOND} 6379", "0")
    assert (volume / "data").is_dir()


def voter(path: Path, role: str | None = None) -> Node:
    return Node(path, files(SENTINEL, "redis-sentinel"), None if role is None else record(role))


async def test_a_new_sentinel_asks_the_others_before_the_servers(tmp_path: Path, world: AsyncExitStack) -> None:
    others = {(a, 26379): sentinel(SECOND) for a in SENTINELS[1:]}
    await world.enter_async_context(listening({**others, (FIRST, 6379): redis(MASTER)}))
    assert (await voter(tmp_path).run("preStart")).values["primary"] == SECOND


async def test_the_first_sentinel_finds_the_primary_among_the_servers(tmp_path: Path, world: AsyncExitStack) -> None:
    await world.enter_async_context(listening({(FIRST, 6379): redis(SYNCED), (SECOND, 6379): redis(MASTER)}))
    assert (await voter(tmp_path).run("preStart")).values["primary"] == SECOND


async def test_a_known_sentinel_starts_though_nobody_answers(tmp_path: Path) -> None:
    began = time.monotonic()
    await voter(tmp_path, "").run("preStart")
    assert in_time(began, 3)


@pytest.mark.parametrize("flags", ["master", "master,s_down,o_down,disconnected"])
async def test_sentinels_stay_ready_while_the_primary_is_down(
    tmp_path: Path, world: AsyncExitStack, flags: str
) -> None:
    await world.enter_async_context(listening({(SENTINELS[0], 26379): sentinel(FIRST, flags=flags)}))
    await voter(tmp_path).run("ready")


async def test_sentinels_stay_ready_while_they_turn_to_another_primary(tmp_path: Path, world: AsyncExitStack) -> None:
    await world.enter_async_context(listening({(SENTINELS[0], 26379): sentinel(FIRST, runid="", uptime=20)}))
    await voter(tmp_path).run("ready")


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (sentinel(FIRST, others=0), "knows 0 other Sentinels, too few for its quorum of 2; there should be 2"),
        (sentinel(FIRST, others=1, quorum=3), "knows 1 other Sentinels, too few for its quorum of 3"),
        (sentinel(FIRST, runid="", uptime=19), "not reached"),
    ],
)
async def test_a_lonely_sentinel_is_not_ready(
    tmp_path: Path, world: AsyncExitStack, engine: FakeEngine, reason: str
) -> None:
    await world.enter_async_context(listening({(SENTINELS[0], 26379): engine}))
    assert reason in await voter(tmp_path).failure("ready")
