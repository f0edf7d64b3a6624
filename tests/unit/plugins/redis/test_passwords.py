"""Somebody's own password, whatever signs it has, is one word to Redis in its files and on its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.tooling.failure import ToolError
from tests.unit.plugins import engines, support
from tests.unit.plugins.engines import cluster, until
from tests.unit.plugins.support import FakeEngine, Node, files, listening, wanted


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


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("-WRONGPASS invalid username-password pair", True),  # 6.0
        ("-WRONGPASS invalid username-password pair or user is disabled.", True),
        ("-ERR AUTH <password> called without any password configured for the default user.", True),
        ("-ERR invalid password", True),
        ("-ERR max number of clients reached", False),
        ("-DENIED Redis is running in protected mode because protected mode is enabled", False),
    ],
)
@pytest.mark.parametrize("component", ["redis-server", "redis-sentinel"])
async def test_only_a_refused_password_is_told_as_a_wrong_secret(
    tmp_path: Path, component: str, answer: str, refused: bool
) -> None:
    of = wanted("redis", "sentinel", "6.0", redis_server=2, redis_sentinel=3)
    node = Node(tmp_path, files(of, component))
    peer = FakeEngine(lambda line: f"{answer}\r\n".encode() if line.startswith("AUTH") else None)
    port = {"redis-server": 6379, "redis-sentinel": 26379}[component]
    async with listening({(node.bundle.document.node.address, port): peer}):
        with pytest.raises(ToolError, match="login") as failure:
            await node.run("ready")
    assert failure.value.login_refused is refused
