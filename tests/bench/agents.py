"""What the agents of an idle Redis cost, without a cluster: its real processes, asked as in a Pod.

As there, somebody listens to each agent 2's stream, a primary's lease is renewed each second, and the kubelet's probes
come: /readyz each second, each /livez every 5 s.

    python -m tests.bench.agents --seconds 60
    python -m tests.bench.agents --seconds 60 --topology sentinel
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
from collections.abc import Coroutine
from contextlib import AsyncExitStack, ExitStack
from typing import Any

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from render.manifests.node import node_config_map
from tests.bench.processes import cpu_seconds, median, resident_mib
from tests.unit.agent.support import Node, eventually, fetch, running_node, write_secret
from tests.unit.plugins.support import PASSWORD, wanted

TOPOLOGIES: dict[str, Any] = {
    "standalone": {"redis_server": 1},
    "replication": {"redis_server": 3},
    "sentinel": {"redis_server": 2, "redis_sentinel": 3},
}
"""Their components and replicas."""
SETTLE = 20.0
"""Seconds after all are ready: an agent asks more often at first, and Sentinels get to know each other."""


class Member:
    """One node: an engine and its agents, which are as in a Pod but for their addresses and directories."""

    def __init__(self, component: str, local: Node, files: dict[str, str], address: str) -> None:
        self.component, self.local = component, local

        def here(text: str) -> str:
            return text.replace("127.0.0.1:", f"{address}:").replace("/middleware/", f"{local.data}/")

        document = json.loads(files["node.json"])
        document |= {part: json.loads(here(json.dumps(document[part]))) for part in ("toolbox", "process")}
        sources = {key: f"{here(text)}\nbind {address}\n" for key, text in files.items() if key != "node.json"}
        write_secret(local.root / "secrets", {"password": PASSWORD.encode()})
        local.mount(document, **sources)
        self.leased = "lease" in document
        self.agents = {"agent 1": local.start("-m", "agent", "manager"), "agent 2": local.start_tools()}

    async def ready(self) -> bool:
        return (await fetch(self.local.tools_health_port, "/readyz"))[0] == 200


def members(topology: str, nodes: ExitStack) -> list[Member]:
    of = wanted("redis", topology, **TOPOLOGIES[topology])
    network = f"127.{os.getpid() % 200 + 30}.{random.randint(1, 250)}"
    addresses = {node.name: f"{network}.{number}" for number, node in enumerate(of.nodes, start=1)}
    made = []
    for component in of.components:
        for node in component.nodes:
            first = component.bootstrap_node
            files = node_config_map(of, component, node, addresses=addresses, bootstrap=first, revision=1)["data"]
            local = nodes.enter_context(running_node())
            made.append(Member(component.name, local, files, addresses[node.name]))
    return made


async def listen(tools: agent_pb2_grpc.ToolsAsyncStub) -> None:
    """As the watcher does."""
    async for _ in tools.WatchRole(pb.GetRoleRequest(), wait_for_ready=True):
        continue


async def renew(tools: agent_pb2_grpc.ToolsAsyncStub) -> None:
    """Of a replica it is refused, and the watcher would not ask it."""
    held = True
    while held:
        held = (await tools.RenewLease(pb.RenewLeaseRequest(), timeout=1)).held
        await asyncio.sleep(1)


async def probe(port: int, path: str, period: float) -> None:
    while True:
        await fetch(port, path)
        await asyncio.sleep(period)


async def measure(topology: str, seconds: float) -> None:
    with ExitStack() as nodes:
        made = members(topology, nodes)
        async with AsyncExitStack() as channels, asyncio.TaskGroup() as asking:
            tasks: list[asyncio.Task[None]] = []

            def ask(question: Coroutine[Any, Any, None]) -> None:
                tasks.append(asking.create_task(question))

            for member in made:
                await eventually(member.ready, 60, "the engine is ready")
                channel = await channels.enter_async_context(member.local.channel(member.local.tools_port))
                tools = agent_pb2_grpc.ToolsStub(channel)
                ask(listen(tools))
                if member.leased:
                    ask(renew(tools))
                ask(probe(member.local.manager_health_port, "/livez", 5))
                ask(probe(member.local.tools_health_port, "/livez", 5))
                ask(probe(member.local.tools_health_port, "/readyz", 1))
            await asyncio.sleep(SETTLE)
            print_usage(made, await used(made, seconds))
            for task in tasks:
                task.cancel()


async def used(made: list[Member], seconds: float) -> dict[int, float]:
    """Percent of a core, by process id."""
    pids = [process.pid for member in made for process in member.agents.values()]
    before = {pid: cpu_seconds(pid) for pid in pids}
    await asyncio.sleep(seconds)
    return {pid: 100 * (cpu_seconds(pid) - before[pid]) / seconds for pid in pids}


def print_usage(made: list[Member], percent: dict[int, float]) -> None:
    print(
        f"{'component':<16}{'process':<10}{'count':>6}{'% of a core: median':>21}{'max':>7}{'resident MiB: median':>22}"
    )
    for component in dict.fromkeys(member.component for member in made):
        for name in ("agent 1", "agent 2"):
            pids = [member.agents[name].pid for member in made if member.component == component]
            cpu, memory = [percent[pid] for pid in pids], [resident_mib(pid) for pid in pids]
            print(f"{component:<16}{name:<10}{len(pids):>6}{median(cpu):>21.2f}{max(cpu):>7.2f}{median(memory):>14.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--topology", choices=TOPOLOGIES, default="replication")
    options = parser.parse_args()
    if shutil.which("redis-server") is None:
        parser.error("it needs redis-server on PATH: make .venv/bin/redis-server")
    asyncio.run(measure(options.topology, options.seconds))


if __name__ == "__main__":
    main()
