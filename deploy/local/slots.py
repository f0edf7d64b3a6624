"""Slots: which of the sixteen address ranges an instance has, and the addresses that follow from it.

The ranges lie in 198.18.0.0/15, which RFC 2544 reserves for tests, so that they are in nobody's network. Slots are
claimed by a file each, because an instance that is down has no route that would show its range to be taken.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from deploy.local.errors import LocalError

COUNT = 16
MAXIMUM_NODES = 8  # each further one takes a /24 of the Pod range's upper half, whose last holds the links


@dataclass(frozen=True)
class Addresses:
    """The addresses of a slot: a /20 for Pods and node (198.18.x), a /20 for Services (198.19.x)."""

    slot: int

    @property
    def pod_range(self) -> IPv4Network:
        """All that the host routes to the instance besides Services."""
        return IPv4Network(f"198.18.{16 * self.slot}.0/20")

    @property
    def bridge_range(self) -> IPv4Network:
        """The lower half of the Pod range: 2,045 Pods. The upper half stays free for the link to the host: a Pod must
        not take the host's end for a neighbour on its own bridge."""
        return next(self.pod_range.subnets(new_prefix=21))

    @property
    def service_range(self) -> IPv4Network:
        return IPv4Network(f"198.19.{16 * self.slot}.0/20")

    @property
    def link(self) -> IPv4Network:
        """The veth pair's /30: the last of the Pod range."""
        return list(self.pod_range.subnets(new_prefix=30))[-1]

    @property
    def host(self) -> IPv4Address:
        """The host's end of the veth pair."""
        return self.link[1]

    @property
    def node(self) -> IPv4Address:
        """The node's own address: API server, kubelet, DNS and Temporal listen here."""
        return self.link[2]

    @property
    def node_range(self) -> IPv4Network:
        """Where the nodes of an instance that has several reach one another: a bridge in the first one's namespace."""
        return next(list(self.pod_range.subnets(new_prefix=24))[-1].subnets(new_prefix=28))

    @property
    def gateway(self) -> IPv4Address:
        """The first node's address on that bridge: by it the further ones reach Pods, Services and the host."""
        return self.node_range[1]

    @property
    def api_service(self) -> IPv4Address:
        return self.service_range[1]

    @property
    def dns_service(self) -> IPv4Address:
        return self.service_range[10]


@dataclass(frozen=True)
class NodeAddresses(Addresses):
    """The addresses of an instance's second, third, ... node: its own, and a /24 for its Pods."""

    number: int

    @property
    def bridge_range(self) -> IPv4Network:
        """253 Pods; the first node's are the lower half of the Pod range."""
        upper = list(self.pod_range.subnets(new_prefix=21))[1]
        return list(upper.subnets(new_prefix=24))[self.number - 2]

    @property
    def node(self) -> IPv4Address:
        return self.node_range[self.number]


@contextmanager
def _locked(registry: Path) -> Iterator[None]:
    registry.mkdir(parents=True, exist_ok=True)
    handle = os.open(registry / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def recorded_slot(record: Path) -> int | None:
    """The slot that an instance's record names; None where there is no record."""
    try:
        return int(json.loads(record.read_text())["slot"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as broken:
        raise LocalError(f"{record} is damaged ({broken}): remove the instance with `make down PURGE=1`") from broken


def claim(registry: Path, name: str, record: Path) -> int:
    """Return the instance's slot; choose the first free one at the first call, and remember it in `record`.

    A claim whose state directory no longer says the same (it was deleted by hand) is free again. Raises LocalError
    where the record is another instance's (the same MW_STATE for both), or no slot is free.
    """
    with _locked(registry):
        state, mine = record.parent, recorded_slot(record)
        if mine is not None and (owner := json.loads(record.read_text()).get("name", name)) != name:
            raise LocalError(f"{state} is the state directory of instance {owner}, not of {name}: set another MW_STATE")
        owners = {slot: _owner(registry, slot) for slot in range(COUNT)}
        if mine is None:
            free = [slot for slot in range(COUNT) if owners[slot] is None]
            if not free:
                taken = ", ".join(sorted(str(owner) for owner in owners.values()))
                raise LocalError(f"All {COUNT} address ranges are taken by {taken}: remove one (`down --purge`)")
            mine = free[0]
            state.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps({"name": name, "slot": mine}) + "\n")
        elif owners[mine] not in (None, state):
            raise LocalError(f"Address range {mine} of {state} is also claimed by {owners[mine]}: purge one of the two")
        (registry / str(mine)).write_text(f"{record}\n")
        return mine


def release(registry: Path, slot: int) -> None:
    """Give the slot back."""
    with _locked(registry):
        (registry / str(slot)).unlink(missing_ok=True)


def _owner(registry: Path, slot: int) -> Path | None:
    try:
        record = Path((registry / str(slot)).read_text().strip())
    except FileNotFoundError:
        return None
    return record.parent if recorded_slot(record) == slot else None
