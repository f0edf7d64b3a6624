"""A real Redis with its real Sentinels: the plugin's own files and tools, the agent's own interpreter, no Pods.

Each node has a loopback address of its own, so that it can listen on the engine's port as in its Pod.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from agent.nodefiles import node_names, start_names, write_files
from agent.settings import Settings
from agent.tooling.failure import ToolError
from agent.tooling.secrets import Secrets
from render.desired.app import DesiredApp
from render.manifests.node import node_config_map
from tests.support.stalls import grace, stood_still
from tests.support.workers import worker_number
from tests.unit.plugins.support import PASSWORD, Node, record, wanted

SERVER, SENTINEL = "redis-server", "redis-sentinel"
TILT = 3
"""Seconds for which a Sentinel does nothing that hung for 2 s, with this machine or alone. By itself it takes 30, which
is a test of its own."""


async def until(check: Callable[[], Awaitable[Any]], what: str, seconds: float = 60) -> Any:
    """The first true answer; an engine or tool that refuses is asked again."""
    began = time.monotonic()
    last: object = None
    while time.monotonic() - began < seconds + grace(began):
        try:
            if last := await check():
                return last
        except (ToolError, RedisError, OSError) as error:
            last = error
        await asyncio.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:g} s; last: {last}")


@dataclass
class Engine:
    """One node: its agent and its process."""

    name: str
    address: str
    component: str
    node: Node
    process: asyncio.subprocess.Process | None = None
    tilt: int = 0
    """Seconds, of a Sentinel; 0 until its process has been told."""

    @property
    def data(self) -> Path:
        return self.node.directory / "data"

    async def start(self, before_process: Callable[[], Awaitable[Any]] | None = None) -> None:
        """As agent 1 does: ``preStart``, files, process; what is awaited before the last as on a slow machine."""
        environment = {"MW_SECRETS_DIR": str(self.node.directory / "secrets"), "MW_DATA_DIR": str(self.data)}
        settings, secrets = Settings.from_environment(environment), Secrets(self.node.directory / "secrets")
        for directory in ("conf", "data"):
            (self.data / directory).mkdir(parents=True, exist_ok=True)
        bundle = self.node.bundle
        known, found = node_names(bundle, self.node.record), {}
        if "preStart" in bundle.document.tools:
            found = dict((await self.node.run("preStart")).values)
        names = start_names(known, found)
        for written in write_files(bundle, settings, names, secrets):
            file = settings.locate(written)
            text = file.read_text().replace("/middleware/", f"{self.data}/") + f"\nbind {self.address}\n"
            if self.component == SERVER and " allchannels " not in text:
                # The files of 6.0 on an engine of 7.0: 6.0 has no rights on channels, so everybody may use them.
                text += "acl-pubsub-default allchannels\n"
            file.write_text(text)
        program = shutil.which("redis-server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        assert program, "these tests need redis-server on PATH: make .venv/bin/redis-server"
        conf = self.data / "conf" / ("redis.conf" if self.component == SERVER else "sentinel.conf")
        mode = [] if self.component == SERVER else ["--sentinel"]
        self.tilt = 0
        if before_process is not None:
            await before_process()
        with (self.node.directory / "log").open("a") as log:
            self.process = await asyncio.create_subprocess_exec(program, str(conf), *mode, stdout=log, stderr=log)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def tool(self, name: str, **arguments: str) -> dict[str, str]:
        return dict((await self.node.run(name, **arguments)).values)

    async def ready(self) -> bool:
        said = await self.tool("ready")
        if self.component == SENTINEL and not self.tilt:
            await self.tilts_for(TILT)
        if unsaved := said.get("unsaved"):
            raise ToolError(unsaved)
        if self.component == SERVER:
            role = await self.tool("getRole")
            nothing_kept = said.get("volatile") == "true" and role["role"] == "replica"
            self.node.record = record(role["role"], 0 if nothing_kept else int(role["position"]))
        return True

    def client(self, timeout: float = 3) -> redis.asyncio.Redis:
        port = 6379 if self.component == SERVER else 26379
        # No retries of its own: a write that is sent twice would hide what became of the first.
        retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
        return redis.asyncio.Redis(
            host=self.address, port=port, password=PASSWORD, decode_responses=True, socket_timeout=timeout, retry=retry
        )

    async def ask(self, *words: str) -> Any:
        while True:
            began = time.monotonic()
            try:
                async with self.client() as client:
                    return await client.execute_command(*words)  # type: ignore[no-untyped-call]
            except redis.exceptions.TimeoutError:
                if not stood_still(began):
                    raise

    async def role(self) -> str:
        return (await self.tool("getRole"))["role"]

    async def tilts_for(self, seconds: int) -> None:
        """Of a Sentinel, for as long as its process runs."""
        await self.ask("SENTINEL", "DEBUG", "tilt-period", str(seconds * 1000))
        self.tilt = seconds


def _free_network() -> str:
    """Where nobody listens: whoever finds the Sentinels of another run believes them. Raises AssertionError."""
    for _ in range(50):
        network = f"127.{30 + worker_number()}.{random.randint(1, 250)}"
        if not any(_taken(f"{network}.{node}", port) for node in range(1, 12) for port in (6379, 26379)):
            return network
    raise AssertionError("somebody listens on the ports of Redis at each address that was tried")


def _taken(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


@dataclass
class Cluster:
    path: Path
    network: str = field(default_factory=_free_network)
    engines: list[Engine] = field(default_factory=list)

    @property
    def servers(self) -> list[Engine]:
        return [e for e in self.engines if e.component == SERVER]

    @property
    def sentinels(self) -> list[Engine]:
        return [e for e in self.engines if e.component == SENTINEL]

    def render(self, of: DesiredApp, *, first: bool = False) -> list[Engine]:
        """Gives every node the documents of ``of``; answers those that are new."""
        known = {e.name: e for e in self.engines}
        addresses = {e.name: e.address for e in self.engines}
        for node in of.nodes:
            addresses.setdefault(node.name, f"{self.network}.{len(addresses) + 1}")
        new = []
        for component in of.components:
            for node in component.nodes:
                bootstrap = component.bootstrap_node if first else None
                data = node_config_map(of, component, node, addresses=addresses, bootstrap=bootstrap, revision=1)[
                    "data"
                ]
                if node.name in known:
                    known[node.name].node.data = data
                    continue
                agent = Node(self.path / node.name, data)
                new.append(Engine(node.name, addresses[node.name], component.name, agent))
        self.engines += new
        return new

    async def start(self, of: DesiredApp) -> None:
        self.render(of, first=True)
        for group in (self.servers, self.sentinels):
            await asyncio.gather(*(e.start() for e in group))
            await asyncio.gather(*(until(e.ready, f"{e.name} ready") for e in group))
        if self.sentinels:
            await until(self.met, "all Sentinels know all nodes")

    async def met(self) -> bool:
        wanted_numbers = (str(len(self.servers) - 1), str(len(self.sentinels) - 1))
        return all([await self.known_to(s) == wanted_numbers for s in self.sentinels])

    async def known_to(self, sentinel: Engine) -> tuple[str, str]:
        """How many replicas and other Sentinels."""
        fields = await sentinel.ask("SENTINEL", "MASTER", "orders")
        return str(fields["num-slaves"]), str(fields["num-other-sentinels"])

    async def primary(self) -> Engine:
        """The only one; AssertionError where there is another number of them."""
        found = [e for e in self.servers if await e.role() == "master"]
        assert len(found) == 1, [e.name for e in found]
        return found[0]


@asynccontextmanager
async def cluster(
    path: Path,
    topology: str,
    version: str = "7.0",
    *,
    plugin: str = "redis",
    config: Mapping[str, Any] | None = None,
    **groups: int,
) -> AsyncIterator[Cluster]:
    """``config``: of the servers."""
    made = Cluster(path)
    try:
        await made.start(wanted(plugin, topology, version, config=config, **groups))
        yield made
    finally:
        for engine in made.engines:
            await engine.kill()


async def keep_asking(engine: Engine) -> None:
    """As its agent asks, twice a second, until cancelled."""
    while True:
        with suppress(ToolError):
            await engine.ready()
        await asyncio.sleep(0.5)


@dataclass
class Writer:
    """Writes numbered keys to whichever node takes them, as a client behind the Service does, and remembers what was
    acknowledged."""

    servers: Iterable[Engine]
    acknowledged: set[int] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0
    """Seconds between two acknowledged writes."""
    _stopping: bool = False

    async def run(self) -> None:
        number, last = 0, time.monotonic()
        while not self._stopping:
            for engine in self.servers:
                async with engine.client() as client:
                    try:
                        while not self._stopping:
                            number += 1
                            await client.set(f"key:{number}", number)
                            self.acknowledged.add(number)
                            now = time.monotonic()
                            self.longest, last = max(self.longest, now - last), now
                            await asyncio.sleep(0.001)
                    except (RedisError, OSError) as error:
                        self.errors.append(re.sub(r"\d+\.\d+\.\d+\.\d+", "HOST", f"{type(error).__name__}: {error}"))
            await asyncio.sleep(0.005)

    def stop(self) -> None:
        self._stopping = True

    async def lost(self, primary: Engine) -> set[int]:
        """Acknowledged and not there."""
        async with primary.client() as client:
            keys = {int(key.removeprefix("key:")) async for key in client.scan_iter("key:*", count=1000)}
        return self.acknowledged - keys


@asynccontextmanager
async def writing(servers: Iterable[Engine]) -> AsyncIterator[Writer]:
    writer = Writer(list(servers))
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        writer.stop()
        await task


async def switch(made: Cluster, old: Engine, new: Engine) -> dict[str, float]:
    """What the platform does to move the writable role; how long each call took. From the beginning where the machine
    stood still before it had moved: then no Sentinel moves it for a while."""
    while True:
        began = time.monotonic()
        try:
            return await _switched(made, old, new)
        except ToolError:
            if not stood_still(began):
                raise
            await old.tool("unfence")


async def _switched(made: Cluster, old: Engine, new: Engine) -> dict[str, float]:
    took: dict[str, float] = {}

    async def timed(name: str, work: Awaitable[Any]) -> Any:
        started = time.monotonic()
        result = await work
        took[name] = round(time.monotonic() - started, 3)
        return result

    if "prepareFailover" in new.node.bundle.document.tools:
        await timed("prepareFailover", new.tool("prepareFailover"))
    fenced = await timed("fence", old.tool("fence", seconds="10"))

    async def level() -> bool:
        return int((await new.tool("getRole"))["position"]) >= int(fenced["position"])

    await timed("level", until(level, "the candidate has all writes"))
    await timed("failover", new.tool("failover", **{"from": old.address}))
    for engine in sorted((e for e in made.servers if e is not new), key=lambda e: e is not old):
        await timed(f"follow {engine.name}", engine.tool("follow", primary=new.address))
    return took
