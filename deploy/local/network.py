"""The instance's network namespaces: the first node's with its link to the host, and the further nodes' behind it.

All rules, bridges and routes of the cluster are made inside the namespaces, so that they vanish with them. None has a
default route: nothing in them can leave the machine, whatever the host forwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from deploy.local.commands import run
from deploy.local.errors import LocalError
from deploy.local.namespaces import Namespace, ip_json
from deploy.local.slots import Addresses, NodeAddresses

BRIDGE = "nodes0"


@dataclass(frozen=True)
class Network:
    """The namespace `mw-<instance>` and the veth pair that joins it to the host."""

    name: str
    slot: int
    addresses: Addresses

    @property
    def namespace(self) -> Namespace:
        return Namespace(f"mw-{self.name}")

    @property
    def interface(self) -> str:
        """The host's end. By slot, because an interface's name has at most 15 characters."""
        return f"mw{self.slot}"

    def check_free(self) -> None:
        """Refuse address ranges that something else on this machine routes or owns."""
        routes = ip_json("route", "show", "table", "all")
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
        self.namespace.make()
        if not self._has_link():
            run(["ip", "link", "delete", self.interface], check=False)
            run(["ip", "link", "add", self.interface, "type", "veth",
                 "peer", "name", "eth0", "netns", self.namespace.name])  # fmt: skip
        link = self.addresses.link.prefixlen
        self.namespace.inside(["ip", "link", "set", "lo", "up"])
        self.namespace.inside(["ip", "address", "replace", f"{self.addresses.node}/{link}", "dev", "eth0"])
        self.namespace.inside(["ip", "link", "set", "eth0", "up"])
        run(["ip", "address", "replace", f"{self.addresses.host}/{link}", "dev", self.interface])
        run(["ip", "link", "set", self.interface, "up"])
        for destination in (self.addresses.pod_range, self.addresses.service_range):
            run(["ip", "route", "replace", str(destination), "via", str(self.addresses.node), "dev", self.interface])
        self._route_services()
        self.namespace.set_sysctls()

    def down(self) -> None:
        """Remove link, routes and namespace. Nothing is left to remove in a namespace that is gone."""
        run(["ip", "link", "delete", self.interface], check=False)
        self.namespace.remove()

    def _route_services(self) -> None:
        """kube-proxy rewrites a Service's address after the route was looked up: there must be one, whichever."""
        self.namespace.inside(["ip", "route", "replace", str(self.addresses.service_range), "dev", "eth0"])

    def _has_link(self) -> bool:
        host = run(["ip", "link", "show", self.interface], check=False).returncode == 0
        return host and self.namespace.has_interface("eth0")


@dataclass(frozen=True)
class NodeNetwork:
    """A further node's namespace, joined to a bridge in the first one's, which routes for all of them.

    A bridge and not a pair of ends: where a node's port on it is down, both sides keep their routes and hear nothing
    more of the other, as where a cable is pulled. With its own end down a node would refuse at once instead.
    """

    first: Network
    label: str
    addresses: NodeAddresses

    @property
    def namespace(self) -> Namespace:
        return Namespace(f"{self.first.namespace.name}.{self.label}")

    def up(self) -> None:
        """Make what is missing, join what was isolated."""
        gateway, length = self.addresses.gateway, self.addresses.node_range.prefixlen
        self._bridge(f"{gateway}/{length}")
        self.namespace.make()
        if not (self.first.namespace.has_interface(self.label) and self.namespace.has_interface("eth0")):
            self._first("link", "delete", self.label, check=False)
            self._first("link", "add", self.label, "type", "veth", "peer", "name", "eth0", "netns", self.namespace.name)
        self._first("link", "set", self.label, "master", BRIDGE)
        self.join()
        self._own("link", "set", "lo", "up")
        self._own("address", "replace", f"{self.addresses.node}/{length}", "dev", "eth0")
        self._own("link", "set", "eth0", "up")
        for destination in (self.addresses.pod_range, self.addresses.service_range):
            self._own("route", "replace", str(destination), "via", str(gateway), "dev", "eth0")
        self._first("route", "replace", str(self.addresses.bridge_range), "via", str(self.addresses.node))
        self.namespace.set_sysctls()

    def down(self) -> None:
        """The first node keeps its route: to those that are left this node is silent, not unknown."""
        if self.first.namespace.exists():
            self._first("link", "delete", self.label, check=False)
        self.namespace.remove()

    def isolate(self) -> None:
        self._first("link", "set", self.label, "down")

    def join(self) -> None:
        self._first("link", "set", self.label, "up")

    def _bridge(self, address: str) -> None:
        if not self.first.namespace.has_interface(BRIDGE):
            self._first("link", "add", BRIDGE, "type", "bridge")
        self._first("address", "replace", address, "dev", BRIDGE)
        self._first("link", "set", BRIDGE, "up")
        # From node to node by way of the bridge and out of it again: no reason to tell anybody of a shorter way.
        self.first.namespace.inside(["sh", "-c", f"echo 0 > /proc/sys/net/ipv4/conf/{BRIDGE}/send_redirects"])

    def _first(self, *arguments: str, check: bool = True) -> None:
        self.first.namespace.inside(["ip", *arguments], check=check)

    def _own(self, *arguments: str) -> None:
        self.namespace.inside(["ip", *arguments])


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
