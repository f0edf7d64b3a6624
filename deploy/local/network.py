"""The instance's network namespace and its link to the host.

All rules, bridges and routes of the cluster are made inside the namespace, so that they vanish with it. The namespace
has no default route: nothing in it can leave the machine, whatever the host forwards.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from deploy.local.commands import run
from deploy.local.errors import LocalError
from deploy.local.slots import Addresses

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
class Network:
    """The namespace `mw-<instance>` and the veth pair that joins it to the host."""

    name: str
    slot: int
    addresses: Addresses

    @property
    def namespace(self) -> str:
        return f"mw-{self.name}"

    @property
    def interface(self) -> str:
        """The host's end. By slot, because an interface's name has at most 15 characters."""
        return f"mw{self.slot}"

    def exists(self) -> bool:
        names = [entry["name"] for entry in _ip_json("netns", "list")]
        return self.namespace in names and self._inside(["true"], check=False).returncode == 0

    def check_free(self) -> None:
        """Refuse address ranges that something else on this machine routes or owns."""
        routes = _ip_json("route", "show", "table", "all")
        for wanted in (self.addresses.pod_range, self.addresses.service_range):
            taken = conflict(routes, wanted, self.interface)
            if taken:
                raise LocalError(
                    f"The address range {wanted} of instance {self.name} is already routed on this machine: {taken}. "
                    "Remove that route, or that interface"
                )

    def up(self) -> None:
        """Make what is missing; leave what is there."""
        self.check_free()
        if not self.exists():
            self.down()  # a leftover of a reboot: a mount point with no namespace behind it
            run(["ip", "netns", "add", self.namespace])
        if not self._has_link():
            run(["ip", "link", "delete", self.interface], check=False)
            run(["ip", "link", "add", self.interface, "type", "veth",
                 "peer", "name", "eth0", "netns", self.namespace])  # fmt: skip
        link = self.addresses.link.prefixlen
        self._inside(["ip", "link", "set", "lo", "up"])
        self._inside(["ip", "address", "replace", f"{self.addresses.node}/{link}", "dev", "eth0"])
        self._inside(["ip", "link", "set", "eth0", "up"])
        run(["ip", "address", "replace", f"{self.addresses.host}/{link}", "dev", self.interface])
        run(["ip", "link", "set", self.interface, "up"])
        for destination in (self.addresses.pod_range, self.addresses.service_range):
            run(["ip", "route", "replace", str(destination), "via", str(self.addresses.node), "dev", self.interface])
        self._route_services()
        self._set_sysctls()

    def down(self) -> None:
        """Remove link, routes and namespace. Nothing is left to remove in a namespace that is gone."""
        run(["ip", "link", "delete", self.interface], check=False)
        if any(entry["name"] == self.namespace for entry in _ip_json("netns", "list")):
            run(["ip", "netns", "delete", self.namespace])

    def listeners(self) -> dict[int, str]:
        """TCP ports that something in the namespace listens on, and who: `name (pid n)`."""
        found: dict[int, str] = {}
        for line in self._inside(["ss", "-Hlntp"]).stdout.splitlines():
            columns = line.split()
            who = re.search(r'\("([^"]+)",pid=(\d+)', line)
            found[int(columns[3].rpartition(":")[2])] = f"{who[1]} (pid {who[2]})" if who else "an unknown process"
        return found

    def refuse_absent_services(self) -> None:
        """Refuse what is still addressed to a Service after kube-proxy's rewriting: it belongs to none, or to one
        without Pods, and would circle between here and the host.

        Comes after kube-proxy, to be before its rules: those refuse by an ICMP message, on which the kernel wakes a
        client again and again before it tells it, and a client that keeps connecting (Redis Sentinel) takes a third
        of a core meanwhile. A TCP reset ends the attempt.
        """
        services = ["-d", str(self.addresses.service_range), "-m", "comment", "--comment", "no such Service"]
        for chain in ("FORWARD", "OUTPUT"):
            self._await_kube_proxy(chain)
            for rule in ([*services, "-j", "REJECT"],
                         ["-p", "tcp", *services, "-j", "REJECT", "--reject-with", "tcp-reset"]):  # fmt: skip
                self._inside(["iptables", "-w", "-D", chain, *rule], check=False)
                self._inside(["iptables", "-w", "-I", chain, *rule])

    def _await_kube_proxy(self, chain: str) -> None:
        """It answers before it has written its rules."""
        deadline = time.monotonic() + PROXY_SECONDS
        while "-j KUBE-SERVICES" not in self._inside(["iptables", "-w", "-S", chain]).stdout:
            if time.monotonic() > deadline:
                raise LocalError(f"kube-proxy has written no rules into {self.namespace} in {PROXY_SECONDS:g} s")
            time.sleep(0.1)

    def _route_services(self) -> None:
        """kube-proxy rewrites a Service's address after the route was looked up: there must be one, whichever."""
        self._inside(["ip", "route", "replace", str(self.addresses.service_range), "dev", "eth0"])

    def _has_link(self) -> bool:
        host = run(["ip", "link", "show", self.interface], check=False).returncode == 0
        return host and self._inside(["ip", "link", "show", "eth0"], check=False).returncode == 0

    def _set_sysctls(self) -> None:
        if shutil.which("modprobe"):  # built in on some kernels: the write below is the test
            run(["modprobe", "br_netfilter"], check=False)
        for key, value in SYSCTLS.items():
            path = "/proc/sys/" + key.replace(".", "/")
            done = self._inside(["sh", "-c", f"echo {value} > {path}"], check=False)
            if done.returncode:
                raise LocalError(f"The kernel does not let us set {key} in a network namespace: {done.stderr.strip()}")

    def _inside(self, command: list[str], *, check: bool = True) -> Any:
        return run(["nsenter", f"--net=/run/netns/{self.namespace}", "--", *command], check=check)


def conflict(routes: list[dict[str, Any]], wanted: IPv4Network, own: str) -> str | None:
    """The first of the routes (as `ip -json route` gives them) that overlaps `wanted` and is not through our own
    interface: `destination through interface (protocol via gateway)`. Routes wider than a /8 are nobody's network."""
    for route in routes:
        if route.get("dev") == own or route.get("dst") in (None, "default"):
            continue
        try:
            taken = IPv4Network(route["dst"], strict=False)
        except ValueError:  # IPv6
            continue
        if taken.prefixlen > 8 and taken.overlaps(wanted):
            gateway = f" via {route['gateway']}" if "gateway" in route else ""
            return f"{taken} through {route.get('dev', 'no interface')} ({route.get('protocol', 'kernel')}{gateway})"
    return None


def _ip_json(*arguments: str) -> list[dict[str, Any]]:
    output = run(["ip", "-json", *arguments]).stdout.strip()
    parsed: list[dict[str, Any]] = json.loads(output) if output else []
    return [entry for entry in parsed if entry]
