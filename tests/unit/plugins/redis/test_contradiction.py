"""A server's own agent makes it follow, or lead, only where all Sentinels that answer say the same."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.tooling.failure import ToolError
from tests.unit.plugins.redis.test_tools import MASTER, bulk, redis
from tests.unit.plugins.support import FakeEngine, Node, addresses, files, listening, wanted

APP = wanted("redis", "sentinel", redis_server=2, redis_sentinel=3)
ADDRESSES = addresses(APP)
OWN, OTHER = (ADDRESSES[node.name] for node in APP.component("redis-server").nodes)
SENTINELS = [ADDRESSES[node.name] for node in APP.component("redis-sentinel").nodes]
STRANGER = MASTER.replace(f"ip={OTHER}", "ip=10.99.0.7")
ALONE = MASTER.replace("connected_slaves:1", "connected_slaves:0").replace(f"slave0:ip={OTHER}", "was0:ip=x")
LEFT = MASTER.replace("role:master\r\n", "").replace(
    "# Replication\r\n",
    f"# Replication\r\nrole:slave\r\nmaster_host:{OTHER}\r\nmaster_port:6379\r\nmaster_link_status:down\r\n"
    "master_last_io_seconds_ago:-1\r\nmaster_sync_in_progress:0\r\nslave_repl_offset:41\r\nslave_priority:100\r\n",
)


@dataclass
class Says:
    """What a Sentinel knows: whom it names, and as what it has seen this node for how many milliseconds."""

    names: str = OTHER
    epoch: int = 5
    flags: str = "master"
    own: str = "master"
    since: int = 1500
    majority: bool = True

    def answer(self, line: str) -> bytes | None:
        words = line.upper().split()
        if words[0] == "PING":
            return b"+PONG\r\n"
        if words[:2] == ["SENTINEL", "CKQUORUM"]:
            return b"+OK 3 usable Sentinels.\r\n" if self.majority else b"-NOQUORUM 1 usable Sentinels.\r\n"
        if words[:2] == ["SENTINEL", "MASTER"]:
            reports = (self.own, self.since) if self.names == OWN else ("master", 99000)
            return _fields(_node("orders", self.names, self.flags, *reports) | {"config-epoch": str(self.epoch)})
        if words[:2] == ["SENTINEL", "REPLICAS"]:
            other, reports = (OTHER, ("slave", 99000)) if self.names == OWN else (OWN, (self.own, self.since))
            return b"*1\r\n" + _fields(_node(f"{other}:6379", other, "slave", *reports))
        return b"+OK\r\n"


def _node(name: str, ip: str, flags: str, reported: str, since: int) -> dict[str, str]:
    times = {"role-reported": reported, "role-reported-time": str(since)}
    return {"name": name, "ip": ip, "port": "6379", "runid": "ab", "flags": flags, "info-refresh": "9"} | times


def _fields(fields: dict[str, str]) -> bytes:
    return f"*{2 * len(fields)}\r\n".encode() + b"".join(bulk(k) + bulk(v) for k, v in fields.items())


async def _commanded(path: Path, replication: str, *said: Says) -> str:
    """What its agent has told the engine to do, empty for nothing."""
    engine = redis(replication)
    asked: dict[tuple[str, int], FakeEngine] = {(OWN, 6379): engine}
    asked |= {(ip, 26379): FakeEngine(each.answer) for ip, each in zip(SENTINELS, said, strict=False)}
    async with listening(asked):
        with suppress(ToolError):  # whether it is ready is another matter
            await Node(path, files(APP, "redis-server")).run("ready")
    return next((line for line in engine.received if line.startswith("REPLICAOF")), "")


@pytest.mark.parametrize("replication", [ALONE, STRANGER], ids=["alone", "stranger"])
async def test_a_primary_that_all_have_replaced_follows_whoever_copies_from_it(
    tmp_path: Path, replication: str
) -> None:
    assert await _commanded(tmp_path, replication, Says(), Says(), Says()) == f"REPLICAOF {OTHER} 6379"


@pytest.mark.parametrize(
    "third",
    [
        {"names": OWN, "epoch": 6, "own": "master"},
        {"flags": "master,failover_in_progress"},
        {"flags": "master,s_down"},
        {"epoch": 6},
        {"since": 300},
        {"own": "slave"},
        {"names": "127.77.0.99"},
    ],
    ids=["names this one", "failover", "down", "epoch", "moments", "replica", "names a third"],
)
@pytest.mark.parametrize("place", [0, 2])
async def test_one_that_says_otherwise_is_enough_to_wait(tmp_path: Path, third: dict[str, Any], place: int) -> None:
    """One who was just chosen is seen so by a Sentinel that has not heard of it: following then loses writes."""
    said = [Says(), Says()]
    said.insert(place, Says(**third))
    assert await _commanded(tmp_path, ALONE, *said) == ""


async def test_one_that_does_not_answer_may_know_more_for_a_while(tmp_path: Path) -> None:
    assert await _commanded(tmp_path, ALONE, Says(), Says()) == ""
    assert await _commanded(tmp_path, ALONE, Says(), Says(), Says(names=OWN, majority=False)) == ""
    assert await _commanded(tmp_path, ALONE, Says(since=4500), Says(since=9000)) == f"REPLICAOF {OTHER} 6379"


async def test_a_sentinel_without_a_majority_is_not_believed(tmp_path: Path) -> None:
    assert await _commanded(tmp_path, ALONE, *[Says(since=60_000, majority=False)] * 3) == ""


NAMED: dict[str, Any] = {"names": OWN, "own": "slave", "since": 3500}


async def test_a_replica_of_nobody_that_all_name_leads(tmp_path: Path) -> None:
    assert await _commanded(tmp_path, LEFT, *[Says(**NAMED)] * 3) == "REPLICAOF NO ONE"


@pytest.mark.parametrize(
    "third",
    [{}, {"epoch": 6}, {"since": 900}, {"flags": "master,failover_in_progress"}],
    ids=["names another", "epoch", "moments", "failover"],
)
async def test_it_does_not_where_one_says_otherwise(tmp_path: Path, third: dict[str, Any]) -> None:
    other = Says(**(NAMED | third)) if third else Says()
    assert await _commanded(tmp_path, LEFT, Says(**NAMED), Says(**NAMED), other) == ""
