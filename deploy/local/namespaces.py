"""One network namespace: made, entered, asked, removed. All rules, bridges and routes in it vanish with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from deploy.local.commands import run
from deploy.local.errors import LocalError

# Per namespace since Linux 4.15/5.3. Without the bridge one, the answer of a Pod to a neighbour that asked through a
# Service would pass the bridge below iptables and keep the wrong source address.
SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    # A connection to a Service without endpoints is refused by an ICMP message: redirects, which go to the host for
    # each Service packet, and the limit of one message per second would make it hang instead.
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.eth0.send_redirects": "0",
}

PROXY_SECONDS = 30.0


@dataclass(frozen=True)
class Namespace:
    """A network namespace by its name."""

    name: str

    def exists(self) -> bool:
        return self._is_named() and self.inside(["true"], check=False).returncode == 0

    def make(self) -> None:
        if not self.exists():
            self.remove()  # a leftover of a reboot: a mount point with no namespace behind it
            run(["ip", "netns", "add", self.name])

    def remove(self) -> None:
        if self._is_named():
            run(["ip", "netns", "delete", self.name])

    def has_interface(self, name: str) -> bool:
        return self.inside(["ip", "link", "show", name], check=False).returncode == 0

    def listeners(self) -> dict[int, str]:
        """TCP ports that something in the namespace listens on, and who: `name (pid n)`."""
        found: dict[int, str] = {}
        for line in self.inside(["ss", "-Hlntp"]).stdout.splitlines():
            columns = line.split()
            who = re.search(r'\("([^"]+)",pid=(\d+)', line)
            found[int(columns[3].rpartition(":")[2])] = f"{who[1]} (pid {who[2]})" if who else "an unknown process"
        return found

    def refuse_absent_services(self, service_range: IPv4Network) -> None:
        """Refuse what is still addressed to a Service after kube-proxy's rewriting: it belongs to none, or to one
        without Pods, and would circle between here and the host.

        Comes after kube-proxy, to be before its rules: those refuse by an ICMP message, on which the kernel wakes a
        client again and again before it tells it, and a client that keeps connecting (Redis Sentinel) takes a third
        of a core meanwhile. A TCP reset ends the attempt.
        """
        services = ["-d", str(service_range), "-m", "comment", "--comment", "no such Service"]
        for chain in ("FORWARD", "OUTPUT"):
            self._await_kube_proxy(chain)
            for rule in ([*services, "-j", "REJECT"],
                         ["-p", "tcp", *services, "-j", "REJECT", "--reject-with", "tcp-reset"]):  # fmt: skip
                self.inside(["iptables", "-w", "-D", chain, *rule], check=False)
                self.inside(["iptables", "-w", "-I", chain, *rule])

    def _await_kube_proxy(self, chain: str) -> None:
        """It answers before it has written its rules."""
        deadline = time.monotonic() + PROXY_SECONDS
        while "-j KUBE-SERVICES" not in self.inside(["iptables", "-w", "-S", chain]).stdout:
            if time.monotonic() > deadline:
                raise LocalError(f"kube-proxy has written no rules into {self.name} in {PROXY_SECONDS:g} s")
            time.sleep(0.1)

    def set_sysctls(self) -> None:
        if shutil.which("modprobe"):  # built in on some kernels: the write below is the test
            run(["modprobe", "br_netfilter"], check=False)
        for key, value in SYSCTLS.items():
            path = "/proc/sys/" + key.replace(".", "/")
            done = self.inside(["sh", "-c", f"echo {value} > {path}"], check=False)
            if done.returncode:
                raise LocalError(f"The kernel does not let us set {key} in a network namespace: {done.stderr.strip()}")

    def inside(self, command: list[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(["nsenter", f"--net=/run/netns/{self.name}", "--", *command], check=check)

    def _is_named(self) -> bool:
        return any(entry["name"] == self.name for entry in ip_json("netns", "list"))


def ip_json(*arguments: str) -> list[dict[str, Any]]:
    output = run(["ip", "-json", *arguments]).stdout.strip()
    parsed: list[dict[str, Any]] = json.loads(output) if output else []
    return [entry for entry in parsed if entry]
