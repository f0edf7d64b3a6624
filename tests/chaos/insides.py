"""A Pod from the machine under it: its processes, and its network, where rules can be set that cut it off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

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


_TAKE_ALL = """
import os, socket, time
low, high = map(int, open("/proc/sys/net/ipv4/ip_local_port_range").read().split())
half = os.fork() and 1  # one process may not have that many open files
left, taken, told = {*range(low + half, high + 1, 2)}, [], False
while True:
    for port in [*left]:
        one = socket.socket()
        try:
            one.bind(("0.0.0.0", port))
        except OSError:
            one.close()
        else:
            taken.append(one)
            left.discard(port)
    if not told:
        print(half, end="", flush=True)
    told = True
    time.sleep(0.001)
"""
_TAKE_ONE = """
import socket, sys, time
while True:
    try:
        one = socket.create_server(("0.0.0.0", int(sys.argv[1])))
    except OSError:
        time.sleep(0.001)
    else:
        time.sleep(3600)
"""


@contextmanager
def every_local_port_taken(pod: str) -> Iterator[None]:
    """Within, as if the Pod had as many connections of its own as it can: whatever port the kernel gives away is taken,
    and so is soon one that somebody gives back. No ended connection keeps one, as in a new Pod."""
    setting = "net.ipv4.tcp_max_tw_buckets"
    with network_of(pod) as network:
        before = network.run("sysctl", "-n", setting).strip()
        network.run("sysctl", "-q", "-w", f"{setting}=0")
        try:
            with _beside(network, _TAKE_ALL) as heard:
                eventually("both halves are taken", lambda: {*heard()} == {"0", "1"}, timeout=60)
                yield
        finally:
            network.run("sysctl", "-q", "-w", f"{setting}={before}")


@contextmanager
def port_taken(pod: str, port: int) -> Iterator[None]:
    """Within, another process listens there as soon as nobody else does."""
    with network_of(pod) as network, _beside(network, _TAKE_ONE, str(port)):
        yield


@contextmanager
def _beside(network: PodNetwork, program: str, *arguments: str) -> Iterator[Callable[[], str]]:
    """A Python program in that network, which ends with all its forks; what it has printed."""
    inside = ["nsenter", f"--net=/proc/self/fd/{network.descriptor}", "--", sys.executable, "-c", program, *arguments]
    fds = (network.descriptor,)
    with (
        TemporaryFile() as said,
        subprocess.Popen(inside, stdout=said, pass_fds=fds, start_new_session=True) as running,
    ):

        def heard() -> str:
            assert running.poll() is None, "it has ended"
            return os.pread(said.fileno(), 100, 0).decode()

        try:
            yield heard
        finally:
            os.killpg(running.pid, signal.SIGKILL)


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
