"""A Redis with Sentinel and nothing else: a primary, a replica and three Sentinels as processes of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from tests.e2e.support.kube import eventually
from tests.e2e.support.writer import AcknowledgedWriter, never

HOST, NAME = "127.0.0.1", "plain"


def free_ports(count: int) -> list[int]:
    """All at once, so that none is given twice."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass
class SentinelWriter(AcknowledgedWriter):
    """Asks the Sentinels who is primary, each time it has to connect."""

    sentinels: list[int] = field(default_factory=list)

    def connect(self) -> redis.Redis:
        with redis.Redis(HOST, self.sentinels[0], socket_timeout=0.5, decode_responses=True, retry=never()) as client:
            port = int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])
        return redis.Redis(
            HOST,
            port,
            socket_timeout=self.timeout,
            socket_connect_timeout=1,
            decode_responses=True,
            retry=never(),
        )


class PlainRedis:
    """Use as a context manager. ``settings``: Sentinel's, as in the App that it is compared with."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings
        self._folder = Path(tempfile.mkdtemp(prefix="plain-redis-"))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        ports = free_ports(5)
        self.servers, self.sentinels = ports[:2], ports[2:]

    def __enter__(self) -> Self:
        self._start(self.servers[0])
        self._start(self.servers[1], "--replicaof", HOST, str(self.servers[0]))
        for port in self.sentinels:
            lines = [f"port {port}", f"sentinel monitor {NAME} {HOST} {self.servers[0]} 2"]
            lines += [f"sentinel {name} {NAME} {value}" for name, value in self._settings.items()]
            file = self._folder / f"{port}.conf"
            file.write_text("\n".join(lines) + "\n")
            self._run(port, str(file), "--sentinel")
        self.settled()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(timeout=10)
        shutil.rmtree(self._folder)

    def writer(self) -> SentinelWriter:
        return SentinelWriter(HOST, "", timeout=1.0, wait_replicas=0, sentinels=self.sentinels)

    def primary(self) -> int:
        """Its port, as the Sentinels say."""
        with redis.Redis(HOST, self.sentinels[0], decode_responses=True) as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def signal(self, port: int, number: signal.Signals) -> None:
        os.kill(self._processes[port].pid, number)

    def revive(self, port: int) -> None:
        """What a supervisor would do with a server that ended: it comes back as a replica."""
        process = self._processes[port]
        if process.poll() is not None:
            self._start(port, "--replicaof", HOST, str(self.primary()))

    def settled(self) -> None:
        """Until one is primary, the other is in sync with it, and each Sentinel has seen everybody."""

        def done() -> bool:
            primary = self.primary()
            (other,) = (port for port in self.servers if port != primary)
            with redis.Redis(HOST, other, decode_responses=True) as client:
                state = client.info("replication")
            linked = state["role"] == "slave" and state["master_link_status"] == "up"
            return linked and state["master_port"] == primary and all(self._knows(port) for port in self.sentinels)

        eventually("the plain Redis is settled", done, timeout=90)

    def _knows(self, port: int) -> bool:
        with redis.Redis(HOST, port, decode_responses=True) as client:
            state = client.sentinel_master(NAME)
        healthy = not (state["is_sdown"] or state["is_odown"])
        return healthy and state["num-other-sentinels"] == 2 and state["num-slaves"] == 1

    def _start(self, port: int, *words: str) -> None:
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        self._run(port, *("--port", str(port), "--dir", str(folder), "--appendonly", "yes", *words))

    def _run(self, port: int, *words: str) -> None:
        self._processes[port] = subprocess.Popen(
            ["redis-server", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
