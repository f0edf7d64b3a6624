"""Real servers: what a fence keeps out, how it is lifted, what can be set at run time and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from tests.unit.plugins.engines import Engine, cluster, until
from tests.unit.plugins.support import load

WAITS = 0.3
"""Seconds for which a write is waited for that is to be refused, or never answered."""


async def _acknowledged(engine: Engine, *words: str, within: float = WAITS) -> bool:
    async with engine.client(timeout=within) as client:
        try:
            await client.execute_command(*words)  # type: ignore[no-untyped-call]
        except (RedisError, OSError):
            return False
        return True


async def _transaction(engine: Engine, within: float) -> bool:
    async with engine.client(timeout=within) as client, client.pipeline(transaction=True) as pipe:
        pipe.set("transaction", 1)
        try:
            await pipe.execute()
        except (RedisError, OSError):
            return False
        return True


async def _taken(engine: Engine, within: float = WAITS) -> dict[str, bool]:
    return {
        "write": await _acknowledged(engine, "SET", "plain", "1", within=within),
        "removal": await _acknowledged(engine, "DEL", "plain", within=within),
        "script": await _acknowledged(engine, "EVAL", "return redis.call('SET', 'script', 1)", "0", within=within),
        "transaction": await _transaction(engine, within),
    }


# The tools of 6.0 are tried on the server at hand, a 7.0.
@pytest.mark.parametrize(
    ("topology", "version"),
    [("replication", "6.0"), ("replication", "7.0"), ("sentinel", "6.0"), ("sentinel", "7.0"), ("sentinel", "8.0")],
)
async def test_a_fence_keeps_every_kind_of_write_out_until_it_is_lifted(
    tmp_path: Path, topology: str, version: str
) -> None:
    groups: dict[str, Any] = {"redis_server": 2} | ({"redis_sentinel": 3} if topology == "sentinel" else {})
    async with cluster(tmp_path, topology, version, **groups) as made:
        primary = await made.primary()
        replica = next(e for e in made.servers if e is not primary)
        everything = dict.fromkeys(await _taken(primary), True)
        await primary.tool("unfence")
        assert await _taken(primary, within=10) == everything, "unfence is harmless where there is no fence"
        position = int((await primary.tool("fence", seconds="30"))["position"])
        await primary.tool("fence", seconds="30")
        assert position > 0
        for _ in range(2):  # the second time after the 1.5 s for which writes may wait under Sentinel
            assert await _taken(primary) == dict.fromkeys(everything, False)
        assert await _acknowledged(primary, "GET", "plain", within=10)
        assert "only a primary can be fenced" in await replica.node.failure("fence", seconds="30")
        await primary.tool("unfence")
        assert await _taken(primary, within=10) == everything
        assert await primary.ask("CONFIG", "GET", "min-replicas-to-write") == {"min-replicas-to-write": "0"}


async def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        primary = await made.primary()
        replica = next(e for e in made.servers if e is not primary)
        await primary.tool("failover", **{"from": replica.address})
        assert await made.primary() is primary, "it is the primary already"
        await replica.tool("follow", primary=primary.address)
        assert await made.primary() is primary
        assert "is this node itself" in await primary.node.failure("follow", primary=primary.address)
        await replica.ask("CONFIG", "SET", "replica-priority", "0")
        assert "not had the data" in await replica.node.failure("failover", **{"from": primary.address})


def _text(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


async def test_every_dynamic_parameter_can_be_set_and_every_one_is_read_back(tmp_path: Path) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        for engine in (await made.primary(), made.sentinels[0]):
            version = await engine.tool("getVersion")
            assert version["version"].startswith("7.0."), version
            parameters = load("redis").parameters[engine.component]
            before = await engine.tool("readConfig")
            assert set(before) == set(parameters)
            changed = {
                name: _text(_other(p.schema_, p.default)) for name, p in parameters.items() if p.apply == "dynamic"
            }
            for name, value in changed.items():
                await engine.tool("reloadConfig", **{name: value})
            after = await engine.tool("readConfig")
            assert {n for n in parameters if after[n] != before[n]} == set(changed)
            # Memory is answered in bytes, and the letters of events in an order of its own.
            same = {n for n in changed if sorted(after[n]) == sorted(changed[n])}
            assert set(changed) - same <= {"maxmemory", "auto-aof-rewrite-min-size", "repl-backlog-size"}
            unchanged = await engine.tool("readConfig")
            await engine.tool("reloadConfig")
            assert await engine.tool("readConfig") == unchanged


def _other(schema: Any, default: Any) -> Any:
    """An allowed value that is not the default."""
    if "enum" in schema:
        return next(value for value in schema["enum"] if value != default)
    if schema["type"] == "boolean":
        return not default
    if schema["type"] == "integer":
        return schema["minimum"] + 7 if schema["minimum"] + 7 != default else schema["minimum"] + 8
    if "minimum" in schema:  # bytes, also with a unit
        return "33mb"
    return "3600 2" if " " in schema["examples"][0] else "KEx"


async def test_an_empty_value_is_a_value(tmp_path: Path) -> None:
    async with cluster(tmp_path, "standalone", redis_server=1) as made:
        (engine,) = made.servers
        assert await until(engine.ready, "ready")
        await engine.tool("reloadConfig", **{"save": "", "notify-keyspace-events": "KEx"})
        await engine.tool("reloadConfig", **{"notify-keyspace-events": ""})
        read = await engine.tool("readConfig")
        assert (read["save"], read["notify-keyspace-events"]) == ("", "")
        assert not {"fence", "unfence", "failover", "follow"} & set(engine.node.bundle.document.tools)
