"""A lost primary among three nodes: what the tests of planning, fencing, choosing and taking in again begin with."""

from __future__ import annotations

from typing import Any

import pytest

from activities.roles.failover import Failover
from api.failover import FailoverRequest, Fenced, FenceRequest, Takeover
from proto import agent_pb2
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import DEFINITION, shelf, store, with_tools

NODES = [f"books-store-g-{n}" for n in range(3)]
PLATFORM = shelf(
    plugin_yaml=DEFINITION.replace("  - name: cluster\n", "  - name: cluster\n    failover: platform\n"),
    tools_yaml=with_tools("detach: {steps: [{set: {x: y}}]}\nfence: {steps: [{set: {x: y}}]}\n"),
)
STOPPED = agent_pb2.ProcessStatus(state=agent_pb2.STOPPED)
SEEN = 4_000_000_000_000
"""Later than any Pod of the cluster in memory was made, unix milliseconds."""


@pytest.fixture
async def world(virtual_time: None) -> World:
    """Node 0 was the primary and does not answer; the others are replicas in sync. Leases run out in virtual time."""
    found = await World(PLATFORM, runtimeVersion="1", components=store(replicas=3)).deployed()
    found.agents.tools["detach"] = {"position": "0"}
    found.agents.tools["follow"] = {}
    found.agents.say(NODES[1], "replica", 10)
    found.agents.say(NODES[2], "replica", 10)
    found.agents.reports.pop(NODES[0], None)
    found.pod(NODES[0])["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return found


async def planned(world: World, node: str = NODES[0], **more: Any) -> Takeover:
    request = FailoverRequest(world.target("Failover"), "store", node, **more)
    takeover: Takeover = await world.do(Failover(world.platform).plan_failover, request)
    return takeover


def takeover(world: World, **more: Any) -> Takeover:
    return Takeover(world.target("Failover"), "store", NODES[0], **more)


async def fenced(world: World, **more: Any) -> Fenced:
    found: Fenced = await world.do(Failover(world.platform).fence, FenceRequest(takeover(world, **more)))
    return found


def marked(world: World) -> list[str]:
    return [entry["node"] for entry in world.object("App", "books")["status"].get("fenced", [])]
