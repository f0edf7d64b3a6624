"""Renders a real plugin and runs its tools with the agent's own interpreter against an engine that plays a script."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.documents import Bundle, parse
from agent.nodefiles import node_names
from agent.process.reaper import Child, Reaper
from agent.record import Record
from agent.settings import Settings
from agent.tooling.failure import ToolError
from agent.tooling.interpreter import Interpreter, Outcome
from agent.tooling.secrets import Secrets
from api.app import App
from api.group import AgentBundle
from render.desired.app import DesiredApp, desired
from render.manifests.node import node_config_map
from render.plugin.bundle import PluginBundle, load_folder
from tests.support.stalls import stood_still
from tests.support.workers import worker_number

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
UID = "uid-1"
NETWORK = f"127.{77 + worker_number()}.0"
"""Of the fakes: each of the run's workers has its own, since engines listen on their real ports."""
PASSWORD = "not-a-real-password"


def load(plugin: str) -> PluginBundle:
    """By its folder's name."""
    return load_folder(PLUGINS / plugin)


def wanted(
    plugin: str,
    topology: str | None = None,
    runtime_version: str | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    **groups: int,
) -> DesiredApp:
    """``groups``: component (with ``_``) -> replicas. ``config``: of the first of them."""
    components: list[dict[str, Any]] = [
        {"name": n.replace("_", "-"), "groups": [{"name": "g", "replicas": r}]} for n, r in groups.items()
    ]
    if config is not None:
        components[0]["config"] = dict(config)
    bundle = load(plugin)
    spec = {
        "plugin": {"name": bundle.name, "version": bundle.version},
        "topology": topology,
        "runtimeVersion": runtime_version,
        "components": components,
    }
    app = App.model_validate({"metadata": {"name": "orders", "namespace": "shop", "uid": UID}, "spec": spec})
    return desired(app, bundle, agent=AgentBundle(image="agent:1"))


def addresses(of: DesiredApp) -> dict[str, str]:
    """A loopback address for each node, so that fakes can listen there on the engine's real port."""
    return {node.name: f"{NETWORK}.{number}" for number, node in enumerate(of.nodes, start=1)}


def files(of: DesiredApp, component: str, index: int = 0, *, bootstrap: bool = True) -> dict[str, str]:
    """The ConfigMap of one node."""
    c = of.component(component)
    first = c.bootstrap_node if bootstrap else None
    made = node_config_map(of, c, c.nodes[index], addresses=addresses(of), bootstrap=first, revision=1)
    data: dict[str, str] = made["data"]
    return data


Answer = Callable[[str], bytes | None]


@dataclass
class FakeEngine:
    """Answers request lines of an engine: the real ones need minutes and cannot be made to hang or lie at will."""

    answer: Answer
    received: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await _request(reader):
            self.received.append(line)
            reply = self.answer(line)
            if reply is None:
                break
            writer.write(reply)
        writer.close()


async def _request(reader: asyncio.StreamReader) -> str:
    """A line, or a command of RESP with its words parted by blanks; empty where the peer has closed."""
    line = (await reader.readline()).decode().strip()
    if not line.startswith("*"):
        return line
    words = []
    for _ in range(int(line[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2].decode())
    return " ".join(words)


@asynccontextmanager
async def listening(engines: Mapping[tuple[str, int], FakeEngine]) -> AsyncIterator[None]:
    servers = [await asyncio.start_server(e.serve, host, port) for (host, port), e in engines.items()]
    try:
        yield
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


class WaitingReaper(Reaper):
    """Waits for its own children only: the agent's is process 1 and reaps everybody's."""

    def spawn(self, argv: Sequence[str], **how: Any) -> Child:
        child = super().spawn(argv, **how)
        loop = asyncio.get_running_loop()

        def wait() -> None:
            code = child._process.wait()
            loop.call_soon_threadsafe(child.ended, code)

        threading.Thread(target=wait).start()
        return child


@dataclass
class Node:
    """One node's agent without Pod and engine."""

    directory: Path
    data: dict[str, str]
    record: Record | None = None
    lead: bool = False
    """As the platform's Start says it to agent 1."""

    def __post_init__(self) -> None:
        secrets = self.directory / "secrets"
        secrets.mkdir(parents=True, exist_ok=True)
        (secrets / "password").write_text(PASSWORD + "\n")
        (self.directory / "data" / "data").mkdir(parents=True, exist_ok=True)

    @property
    def bundle(self) -> Bundle:
        document = json.loads(self.data["node.json"])
        tools = json.dumps(document["toolbox"]).replace("/middleware/conf", str(self.directory / "data" / "conf"))
        text = json.dumps({**document, "toolbox": json.loads(tools)})
        text = text.replace("127.0.0.1:", f"{document['node']['address']}:")
        for folder in ("data", "diverged"):
            text = text.replace(f"/middleware/{folder}", str(self.directory / "data" / folder))
        return parse({**self.data, "node.json": text}, "test")

    async def run(self, tool: str, **arguments: str) -> Outcome:
        """Again where it failed on a machine that stood still, as the platform and the agent do: then each answer is
        too late for its step."""
        while True:
            began = time.monotonic()
            try:
                return await self._run(tool, arguments)
            except ToolError:
                if not stood_still(began):
                    raise

    async def _run(self, tool: str, arguments: Mapping[str, str]) -> Outcome:
        environment = {
            "MW_SECRETS_DIR": str(self.directory / "secrets"),
            "MW_DATA_DIR": str(self.directory / "data"),
        }
        secrets = Secrets(self.directory / "secrets")
        interpreter = Interpreter(Settings.from_environment(environment), secrets, WaitingReaper())
        bundle = self.bundle
        names = node_names(bundle, self.record, lead=self.lead)
        return await interpreter.run(tool, bundle.document.toolbox, names, arguments=arguments)

    async def failure(self, tool: str, **arguments: str) -> str:
        while True:
            began = time.monotonic()
            try:
                outcome = await self.run(tool, **arguments)
            except ToolError as error:
                return str(error)
            # Whoever may be silent is heard in vain on a machine that stood still.
            if not stood_still(began):
                raise AssertionError(f"{tool} succeeded: {dict[str, Any](outcome.values)}")


def record(role: str, position: int = 1000, epoch: int = 7) -> Record:
    """What the volume remembers of an earlier run in this App."""
    return Record(app_uid=UID, role=role, position=str(position or ""), epoch=epoch)
