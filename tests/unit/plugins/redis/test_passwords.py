"""Somebody's own password, whatever signs it has, is one word to Redis in its files and on its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.plugins import engines, support
from tests.unit.plugins.engines import cluster, until


@pytest.fixture
def own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The password of each node, and of the clients."""
    password = str(request.param)
    for module in (support, engines):
        monkeypatch.setattr(module, "PASSWORD", password)
    return password


SIGNS = ["two words", 'say "no"', "it's", "back\\slash", "#no comment", "ümläut ${x} % \\n"]


@pytest.mark.parametrize("own", SIGNS, indirect=True)
async def test_nodes_with_an_own_password_serve_and_follow(tmp_path: Path, own: str) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        primary = await made.primary()
        assert await primary.ask("CONFIG", "GET", "requirepass") == {"requirepass": own}
        await primary.ask("SET", "key", "value")
        replica = next(each for each in made.servers if each is not primary)

        async def copied() -> bool:
            return bool(await replica.ask("GET", "key") == "value")

        await until(copied, "the replica has what was written")
        assert (await primary.tool("readConfig"))["maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize("own", ["back\\slash#ü;%"], indirect=True)
async def test_a_sentinel_reads_again_what_it_has_written(tmp_path: Path, own: str) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        sentinel = made.sentinels[0]
        await sentinel.kill()
        await sentinel.start()
        await until(sentinel.ready, "the Sentinel is back")
        assert await sentinel.ask("PING")
