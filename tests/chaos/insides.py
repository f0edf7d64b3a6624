"""A Pod from the machine under it: its processes, and its network, where rules can be set that cut it off."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.faults import agent_processes
from tests.e2e.support.kube import eventually

HEALTH_PORT = "50053"
"""Of the agents. The kubelet is on the node and asks there, which a cut between machines would not keep it from."""


def agent(which: str, pod: str) -> int:
    """Process id of agent 1 (``manager``) or 2 (``tools``). Raises AssertionError where there is none."""
    found = agent_processes(which, {pod})
    assert len(found) == 1, f"agent {which} of {pod}: {found}"
    return found[0]


def engine(pod: str) -> int:
    """Process id of what agent 1 runs: its only child that lives on; there may be a tool for moments."""
    return eventually(f"the engine of {pod} runs", lambda: next(iter(engines_of(pod)), 0), timeout=30)


def engines_of(pod: str) -> list[int]:
    """None where its agent 1 runs none."""
    manager = agent("manager", pod)
    children = Path(f"/proc/{manager}/task/{manager}/children").read_text().split()
    return [int(pid) for pid in children if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"redis-server")]


@dataclass(frozen=True)
class PodNetwork:
    """A Pod's own network namespace, reachable for as long as the Pod is, whatever becomes of its processes."""

    descriptor: int

    def run(self, *command: str) -> str:
        """A program of this machine in that network; what it prints."""
        inside = ["nsenter", f"--net=/proc/self/fd/{self.descriptor}", "--", *command]
        fds = (self.descriptor,)
        done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=30, pass_fds=fds)
        assert done.returncode == 0, f"{command[0]} in the Pod's network: {done.stderr}"
        return done.stdout


@contextmanager
def network_of(pod: str) -> Iterator[PodNetwork]:
    descriptor = os.open(f"/proc/{agent('manager', pod)}/ns/net", os.O_RDONLY)
    try:
        yield PodNetwork(descriptor)
    finally:
        os.close(descriptor)


_LISTEN = """
import signal, socket, sys, time
left, taken = {*range(*map(int, sys.argv[1:]))}, []

def take():
    for port in [*left]:
        try:
            taken.append(socket.create_server(("0.0.0.0", port)))
        except OSError:
            continue
        left.discard(port)

take()
print("once", flush=True)
while left:
    time.sleep(0.001)
    take()
signal.pause()
"""


@contextmanager
def every_local_port_taken(pod: str) -> Iterator[None]:
    """Within, as if the Pod had as many connections of its own as it can: whatever port the kernel gives away is taken,
    and so is soon one that somebody gives back."""
    with network_of(pod) as network:
        first, last = map(int, network.run("sysctl", "-n", "net.ipv4.ip_local_port_range").split())
        middle = (first + last) // 2  # one process may not have that many open files
        with _taken(network, range(first, middle)), _taken(network, range(middle, last + 1)):
            yield


@contextmanager
def port_taken(pod: str, port: int) -> Iterator[None]:
    """Within, another process listens there as soon as nobody else does."""
    with network_of(pod) as network, _taken(network, range(port, port + 1)):
        yield


@contextmanager
def _taken(network: PodNetwork, ports: range) -> Iterator[None]:
    """Those that are free from the beginning, each other as soon as it is."""
    numbers = [str(ports.start), str(ports.stop)]
    inside = ["nsenter", f"--net=/proc/self/fd/{network.descriptor}", "--", sys.executable, "-c", _LISTEN, *numbers]
    fds = (network.descriptor,)
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True, pass_fds=fds) as listening:
        try:
            assert listening.stdout is not None
            said, _, _ = select.select([listening.stdout], [], [], 60)
            assert said, "the ports are not taken within 60 s"
            assert listening.stdout.readline() == "once\n", "it has ended"
            yield
        finally:
            listening.kill()


@contextmanager
def filtered(pod: str, *rules: tuple[str, ...]) -> Iterator[None]:
    """Within, the rules stand in the Pod's own filter table, which is otherwise empty; its health port is spared."""
    with network_of(pod) as network:
        try:
            for chain, end in (("INPUT", "--dport"), ("OUTPUT", "--sport")):
                network.run("iptables", "-A", chain, "-p", "tcp", end, HEALTH_PORT, "-j", "ACCEPT")
            for rule in rules:
                network.run("iptables", *rule)
            yield
        finally:
            network.run("iptables", "-F")


@contextmanager
def shaped(pod: str, rate: str, wait: str) -> Iterator[None]:
    """Within, what the Pod sends leaves at ``rate`` and may wait for its turn for ``wait``."""
    with network_of(pod) as network:
        network.run(
            *("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "8kb", "latency", wait)
        )
        try:
            yield
        finally:
            network.run("tc", "qdisc", "del", "dev", "eth0", "root")
