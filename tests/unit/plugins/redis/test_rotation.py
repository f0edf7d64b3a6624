"""The password is changed under real engines: nobody with the old or the new one is refused while both are valid, no
node loses another, and a node that starts in the middle of it is let in by its peers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from render.desired.credentials import Changes, advanced, begun, turned_back
from tests.unit.plugins import engines, support
from tests.unit.plugins.engines import SENTINEL, Cluster, Engine, cluster, until
from tests.unit.plugins.support import files, wanted

OLD, NEW = support.PASSWORD, "new-Pass#word;1\\2"
NAMES = ["password"]


class Secret:
    """The App's Secret, mounted in all nodes at once."""

    def __init__(self, made: Cluster) -> None:
        self._made = made
        self.texts: dict[str, str] = {"password": OLD, "password.used": OLD}
        self.write({})

    def write(self, changes: Changes) -> None:
        for key, text in changes.items():
            if text is None:
                self.texts.pop(key, None)
            else:
                self.texts[key] = text
        for engine in self._made.engines:
            folder = engine.node.directory / "secrets"
            for old in folder.iterdir():
                old.unlink()
            for key, text in self.texts.items():
                (folder / key).write_text(text)


async def opens(engine: Engine, password: str) -> bool:
    client = Redis(host=engine.address, port=26379 if engine.component == SENTINEL else 6379, password=password)
    async with client:
        try:
            return bool(await client.ping())
        except AuthenticationError:
            return False


async def on_all(made: Cluster, tool: str) -> None:
    for engine in made.engines:
        await engine.tool(tool)


async def whom(made: Cluster, passwords: Mapping[str, bool]) -> None:
    """Each engine lets in who is to be let in."""
    for engine in made.engines:
        for password, wanted_in in passwords.items():
            assert await opens(engine, password) is wanted_in, f"{engine.name}, {'new' if password == NEW else 'old'}"


async def in_order(made: Cluster) -> bool:
    """Everybody is ready, and each Sentinel sees all others, and its primary, in good health."""
    well = [await each.ready() for each in made.engines]
    for sentinel in made.sentinels:
        others = await sentinel.ask("SENTINEL", "SENTINELS", "orders")
        well += [len(others) == len(made.sentinels) - 1, *(each["flags"] == "sentinel" for each in others)]
        well.append((await sentinel.ask("SENTINEL", "MASTER", "orders"))["flags"] == "master")
    return all(well)


def clients_have(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PASSWORD", password)


@pytest.mark.parametrize("topology", ["sentinel", "replication", "standalone"])
async def test_the_password_is_changed_and_nobody_is_refused_meanwhile(
    tmp_path: Path, topology: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers, sentinels = {"sentinel": (2, 3), "replication": (2, 0), "standalone": (1, 0)}[topology]
    made_of = cluster(tmp_path, topology, redis_server=servers, redis_sentinel=sentinels)
    if not sentinels:
        made_of = cluster(tmp_path, topology, redis_server=servers)
    async with made_of as made:
        secret, primary = Secret(made), await made.primary()
        secret.write(begun(secret.texts, NAMES, {"password": NEW}))
        await on_all(made, "acceptCredentials")
        await whom(made, {OLD: True, NEW: True})
        secret.write(advanced(secret.texts, NAMES))
        clients_have(NEW, monkeypatch)
        await on_all(made, "useCredentials")
        await whom(made, {OLD: True, NEW: True})
        if topology != "standalone":
            assert [await each.ask("CONFIG", "GET", "masterauth") for each in made.servers] == [{"masterauth": NEW}] * 2
        secret.write(advanced(secret.texts, NAMES))
        await on_all(made, "retireCredentials")
        secret.write(advanced(secret.texts, NAMES))
        await whom(made, {OLD: False, NEW: True})
        assert await made.primary() is primary
        await until(lambda: in_order(made), "all see each other")
        if topology == "standalone":
            return
        await primary.ask("SET", "key", "value")
        assert await primary.ask("WAIT", "1", "3000") == 1
        for again in made.engines:  # whoever starts later starts with the new one
            if again is primary:
                continue
            await again.kill()
            await again.start()
            await until(again.ready, f"{again.name} is back")
            assert (await opens(again, OLD), await opens(again, NEW)) == (False, True)
        if topology == "sentinel":
            await until(lambda: in_order(made), "all see each other again")
            await primary.kill()
            successor = next(each for each in made.servers if each is not primary)

            async def taken_over() -> bool:
                return await successor.role() == "master"

            await until(taken_over, "Sentinel replaces a lost primary afterwards")
            assert await successor.ask("GET", "key") == "value"


@pytest.mark.parametrize("stage", ["accept", "use"])
async def test_nodes_that_start_in_the_middle_are_let_in_and_let_both_in(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        secret, primary = Secret(made), await made.primary()
        secret.write(begun(secret.texts, NAMES, {"password": NEW}))
        replica = next(each for each in made.servers if each is not primary)
        if stage == "use":
            await on_all(made, "acceptCredentials")
            secret.write(advanced(secret.texts, NAMES))
            clients_have(NEW, monkeypatch)
        for again in (replica, made.sentinels[0]):
            await again.kill()
            await again.start()
            await until(again.ready, f"{again.name} is back")
            assert (await opens(again, OLD), await opens(again, NEW)) == (True, True)
        await until(lambda: in_order(made), "all see each other")


@pytest.mark.parametrize("stage", ["accept", "use"])
async def test_on_the_way_back_the_new_password_is_refused_again(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path, "sentinel", redis_server=2, redis_sentinel=3) as made:
        secret = Secret(made)
        before = dict(secret.texts)
        secret.write(begun(secret.texts, NAMES, {"password": NEW}))
        await on_all(made, "acceptCredentials")
        if stage == "use":
            secret.write(advanced(secret.texts, NAMES))
            await on_all(made, "useCredentials")
        secret.write(turned_back(secret.texts, NAMES))
        if stage == "use":
            await on_all(made, "useCredentials")
            await whom(made, {OLD: True, NEW: True})
            secret.write(advanced(secret.texts, NAMES))
        await on_all(made, "retireCredentials")
        secret.write(advanced(secret.texts, NAMES))
        await whom(made, {OLD: True, NEW: False})
        assert {key: text for key, text in secret.texts.items() if not key.startswith(".")} == before
        await until(lambda: in_order(made), "all see each other")


async def test_a_link_that_breaks_in_the_middle_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with cluster(tmp_path, "replication", redis_server=2) as made:
        secret, primary = Secret(made), await made.primary()

        async def broken() -> None:
            with contextlib.suppress(RedisError):
                await primary.ask("CLIENT", "KILL", "TYPE", "replica")

            async def linked() -> bool:
                return bool((await primary.ask("WAIT", "1", "500")) == 1)

            await primary.ask("INCR", "n")
            await until(linked, "the replica follows again")

        secret.write(begun(secret.texts, NAMES, {"password": NEW}))
        for step in ("acceptCredentials", "useCredentials", "retireCredentials"):
            for engine in made.servers:
                await engine.tool(step)
                await broken()
            secret.write(advanced(secret.texts, NAMES))
            clients_have(secret.texts["password.used"], monkeypatch)
        await asyncio.gather(*(until(each.ready, "ready") for each in made.servers))


@pytest.mark.parametrize("plugin", ["redis", "redis-1.1"])
@pytest.mark.parametrize("version", ["6.0", "7.0", "8.0"])
def test_what_can_hold_two_passwords_says_so(plugin: str, version: str) -> None:
    of = wanted(plugin, "sentinel", version)
    server, sentinel = (
        json.loads(files(of, name)["node.json"])["toolbox"]["tools"] for name in ("redis-server", SENTINEL)
    )
    both = {"acceptCredentials", "useCredentials", "retireCredentials"}
    assert both <= set(server)
    assert both & set(sentinel) == ({"useCredentials"} if version == "6.0" else both)
