"""Address ranges that are somebody else's are refused, and it is said whose they are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deploy.local.network import conflict
from deploy.local.slots import Addresses

WANTED = Addresses(0).pod_range


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ({"dst": "198.18.0.0/15", "dev": "tun0", "protocol": "static", "gateway": "10.0.0.1"}, "tun0.*via 10.0.0.1"),
        ({"dst": "198.18.3.7", "dev": "eth1"}, r"198\.18\.3\.7/32 through eth1"),
        ({"type": "blackhole", "dst": "198.18.0.0/20", "protocol": "boot"}, "no interface"),
    ],
)
def test_an_overlapping_route_is_named(route: dict[str, Any], told: str) -> None:
    found = conflict([{"dst": "default", "dev": "eth0"}, route], WANTED, "mw0")
    assert found is not None
    assert re.search(told, found)


@pytest.mark.parametrize(
    "route",
    [
        {"dst": "198.18.0.0/20", "dev": "mw0"},
        {"dst": "198.18.16.0/20", "dev": "mw1"},
        {"dst": "default", "dev": "eth0"},
        {"dst": "0.0.0.0/1", "dev": "tun0"},
        {"dst": "fe80::/64", "dev": "eth0"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
    ],
)
def test_our_own_and_unrelated_routes_are_no_conflict(route: dict[str, Any]) -> None:
    assert conflict([route], WANTED, "mw0") is None
