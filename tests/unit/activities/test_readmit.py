"""Taking in again who was replaced as primary."""

from __future__ import annotations

import asyncio

from activities.readmit import Readmit
from api.failover import ReadmitRequest
from tests.unit.activities.cluster import World
from tests.unit.activities.test_failover import NODES, SEEN, STOPPED, fenced, marked, planned, takeover, world

__all__ = ["world"]


async def test_what_was_cut_off_is_stopped_before_it_follows(world: World) -> None:
    """So that its start sets aside what it has alone."""
    world.agents.say(NODES[0], "primary", 50)
    world.agents.stopped[NODES[0]] = STOPPED
    world.agents.say(NODES[1], "primary", 10)
    task = asyncio.create_task(world.do(Readmit(world.platform).readmit, ReadmitRequest(takeover(world), NODES[1])))
    async with asyncio.timeout(5):
        while not world.agents.called("start"):  # noqa: ASYNC110 - the fakes set no event
            await asyncio.sleep(0.02)
    world.agents.say(NODES[0], "replica", 10)
    await task
    order = [name for node, name, _ in world.agents.calls if node == NODES[0]]
    assert order.index("stop") < order.index("start") < order.index("follow")


async def test_a_person_can_let_the_old_one_serve_again(world: World) -> None:
    await fenced(world, seen=SEEN)
    move = await planned(world, candidate=NODES[0], force=True)
    assert (move.source, move.primary) == (NODES[0], NODES[0])
    said = await world.do(Readmit(world.platform).readmit, ReadmitRequest(move, NODES[0]))
    assert said == f"{NODES[0]} is primary again"
    assert marked(world) == []


async def test_the_old_one_starts_as_a_replica_and_is_trusted_again(world: World) -> None:
    await fenced(world, seen=SEEN)
    world.agents.say(NODES[0], "replica", 10)
    world.agents.say(NODES[1], "primary", 10)
    request = ReadmitRequest(takeover(world), NODES[1], "it had more")
    assert await world.do(Readmit(world.platform).readmit, request) == f"{NODES[0]} follows {NODES[1]}"
    assert marked(world) == []
    assert any(event.startswith("WritesSetAside") for event in world.events())


async def test_one_that_does_not_run_stays_fenced_until_it_is_back(world: World) -> None:
    await fenced(world, seen=SEEN)
    world.cluster.remove(world.pod(NODES[0]))
    request = ReadmitRequest(takeover(world), NODES[1])
    assert "when it is back" in await world.do(Readmit(world.platform).readmit, request)
    assert marked(world) == [NODES[0]]


async def test_one_that_cannot_be_reached_holds_nothing_up(world: World) -> None:
    """Its Pod is still named, on a machine that is lost: the role has moved all the same."""
    await fenced(world, seen=SEEN)
    world.agents.unreachable.add(NODES[0])
    request = ReadmitRequest(takeover(world), NODES[1])
    assert "cannot be reached now" in await world.do(Readmit(world.platform).readmit, request)
    assert marked(world) == [NODES[0]]
    assert world.agents.called("start") == []
