"""Taking in again who was replaced as primary."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.roles.promote import Promote
from activities.roles.rejoin import Rejoin
from api.failover import Chosen, Fenced, PromoteRequest, ReadmitRequest
from api.names import LABEL_ROLE
from api.operations import OperationType
from tests.unit.activities.support.cluster import World
from tests.unit.activities.support.failing import NODES, SEEN, STOPPED, fenced, marked, planned, takeover, world
from tests.unit.watcher.support.fakes import eventually

__all__ = ["world"]


async def test_what_was_cut_off_is_stopped_before_it_follows(world: World) -> None:
    """So that its start sets aside what it has alone."""
    world.agents.say(NODES[0], "primary", 50)
    world.agents.stopped[NODES[0]] = STOPPED
    world.agents.say(NODES[1], "primary", 10)
    task = asyncio.create_task(world.do(Rejoin(world.platform).readmit, ReadmitRequest(takeover(world), NODES[1])))
    await eventually(lambda: bool(world.agents.called("start")))
    world.agents.say(NODES[0], "replica", 10)
    await task
    order = [name for node, name, _ in world.agents.calls if node == NODES[0]]
    assert order.index("stop") < order.index("start") < order.index("follow")


async def test_a_person_can_let_the_old_one_serve_again(world: World) -> None:
    await fenced(world, seen=SEEN)
    move = await planned(world, candidate=NODES[0], force=True)
    assert (move.source, move.primary) == (NODES[0], NODES[0])
    said = await world.do(Rejoin(world.platform).readmit, ReadmitRequest(move, NODES[0]))
    assert said == f"{NODES[0]} is primary again"
    assert (world.agents.called("lead"), marked(world)) == ([NODES[0]], [])


async def test_it_is_not_said_to_serve_before_it_does(world: World) -> None:
    await fenced(world, seen=SEEN)
    world.agents.leads[NODES[0]] = "replica"
    move = await planned(world, candidate=NODES[0], force=True)
    with pytest.raises(ApplicationError, match=f"{NODES[0]} does not become primary again"):
        await world.do(Rejoin(world.platform).readmit, ReadmitRequest(move, NODES[0]))
    assert marked(world) == [NODES[0]]


async def test_the_old_one_starts_as_a_replica_and_is_trusted_again(world: World) -> None:
    await fenced(world, seen=SEEN)
    world.agents.say(NODES[0], "replica", 10)
    world.agents.say(NODES[1], "primary", 10)
    request = ReadmitRequest(takeover(world), NODES[1], "it had more")
    assert await world.do(Rejoin(world.platform).readmit, request) == f"{NODES[0]} follows {NODES[1]}"
    assert marked(world) == []
    assert any(event.startswith("WritesSetAside") for event in world.events())


async def test_the_others_hear_of_the_new_primary_though_the_old_one_cannot_follow(world: World) -> None:
    await fenced(world, seen=SEEN)
    world.agents.say(NODES[0], "replica", 10)
    world.agents.say(NODES[1], "primary", 10)
    world.agents.answers[NODES[0], "follow"] = "insufficient parameter settings"
    with pytest.raises(ApplicationError, match="insufficient parameter settings"):
        await world.do(Rejoin(world.platform).readmit, ReadmitRequest(takeover(world), NODES[1]))
    assert NODES[2] in world.agents.called("follow")


async def test_what_became_of_a_failover_names_who_does_not_follow(world: World) -> None:
    await fenced(world, seen=SEEN)
    world.agents.say(NODES[0], "replica", 10)
    world.agents.say(NODES[1], "primary", 10)
    world.agents.answers[NODES[2], "follow"] = "no disk"
    said = await world.do(Rejoin(world.platform).readmit, ReadmitRequest(takeover(world), NODES[1]))
    behind = f"{NODES[2]} does not follow {NODES[1]} yet ({NODES[2]}: no disk)"
    assert said == f"{NODES[0]} follows {NODES[1]}; {behind}"
    assert f"DoesNotFollow: {behind}" in world.events()


async def test_one_that_does_not_run_stays_fenced_until_it_is_back(world: World) -> None:
    await fenced(world, seen=SEEN)
    world.cluster.remove(world.pod(NODES[0]))
    request = ReadmitRequest(takeover(world), NODES[1])
    assert "when it is back" in await world.do(Rejoin(world.platform).readmit, request)
    assert marked(world) == [NODES[0]]


async def test_one_that_cannot_be_reached_holds_nothing_up(world: World) -> None:
    """Its Pod is still named, on a machine that is lost: the role has moved all the same."""
    await fenced(world, seen=SEEN)
    world.agents.unreachable.add(NODES[0])
    request = ReadmitRequest(takeover(world), NODES[1])
    assert "cannot be reached now" in await world.do(Rejoin(world.platform).readmit, request)
    assert marked(world) == [NODES[0]]
    assert world.agents.called("start") == []


async def test_a_new_primary_that_is_gone_again_is_not_waited_for(world: World) -> None:
    """Its Deployment was deleted: only a Repair makes its Pod anew, and no Repair interrupts a Failover."""
    await fenced(world, seen=SEEN)
    world.cluster.remove(world.pod(NODES[1]))
    world.agents.say(NODES[0], "", ready=False, message="it waits for a primary")
    request = ReadmitRequest(takeover(world), NODES[1])
    assert f"{NODES[1]} does not run now" in await world.do(Rejoin(world.platform).readmit, request)
    assert marked(world) == [NODES[0]]


# Held in the meantime


def document(world: World, node: str = NODES[0]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.object("ConfigMap", node)["data"]["node.json"])
    return found


async def replaced(world: World) -> None:
    await fenced(world, seen=SEEN)
    world.pod(NODES[1])["metadata"]["labels"][LABEL_ROLE] = "primary"
    request = PromoteRequest(takeover(world), Fenced("stopped"), Chosen(NODES[1], "10"))
    await world.do(Promote(world.platform).promote, request)


async def test_who_was_replaced_is_held_from_before_the_other_is_writable_until_it_is_taken_in(world: World) -> None:
    """Should it return while its successor and the platform are down, it must not serve by its own record."""
    before = document(world)
    failing = Chosen(NODES[1], "10")
    world.agents.reports.pop(NODES[1])
    world.agents.wait(NODES[1], 10, last_ready=SEEN)
    world.agents.leads[NODES[1]] = ""
    await fenced(world, seen=SEEN)
    promoting = asyncio.create_task(
        world.do(Promote(world.platform).promote, PromoteRequest(takeover(world), Fenced("stopped"), failing))
    )
    await eventually(lambda: bool(world.agents.called("lead")))
    promoting.cancel()
    assert document(world)["hold"], "already, though nobody is writable yet"
    assert document(world)["revision"] > before["revision"]
    assert not document(world, NODES[1])["hold"]


async def test_whatever_else_is_done_the_hold_stays(world: World) -> None:
    await replaced(world)
    assert document(world)["hold"]
    assert (await world.load()).drift == []
    await world.carry_out(OperationType.REPAIR)
    assert document(world)["hold"]
    live = world.object("ConfigMap", NODES[0])
    lifted = json.dumps({**document(world), "hold": False})
    world.cluster.put({**live, "data": {**live["data"], "node.json": lifted}})
    assert (await world.load()).drift, "somebody has lifted it by hand"
    await world.carry_out(OperationType.REPAIR)
    assert document(world)["hold"]


async def test_it_is_released_before_it_starts(world: World) -> None:
    await replaced(world)
    held = document(world)
    world.agents.say(NODES[0], "replica", 10)
    await world.do(Rejoin(world.platform).readmit, ReadmitRequest(takeover(world), NODES[1]))
    assert not document(world)["hold"]
    assert document(world)["revision"] > held["revision"]
    assert json.loads(world.agents.pushed[NODES[0]]["node.json"]) == document(world)
    order = [name for node, name, _ in world.agents.calls if node == NODES[0]]
    assert order.index("push") < order.index("start")
    assert marked(world) == []
    assert (await world.load()).drift == []


async def test_a_release_that_did_not_reach_its_agent_is_pushed_again(world: World) -> None:
    await replaced(world)
    world.agents.say(NODES[0], "replica", 10)
    world.agents.refuses[NODES[0]] = "its volume is full"
    request = ReadmitRequest(takeover(world), NODES[1])
    with pytest.raises(ApplicationError, match="its volume is full"):
        await world.do(Rejoin(world.platform).readmit, request)
    assert world.agents.called("start") == []
    assert marked(world) == [NODES[0]]
    world.agents.refuses.clear()
    await world.do(Rejoin(world.platform).readmit, request)
    assert json.loads(world.agents.pushed[NODES[0]]["node.json"]) == document(world)
    assert not document(world)["hold"]


async def test_a_person_can_let_a_held_one_serve_where_its_successor_is_lost(world: World) -> None:
    await replaced(world)
    world.agents.reports.clear()
    for node in NODES[1:]:
        world.cluster.remove(world.pod(node))
    move = await planned(world, candidate=NODES[0], force=True)
    said = await world.do(Rejoin(world.platform).readmit, ReadmitRequest(move, NODES[0]))
    assert said == f"{NODES[0]} is primary again"
    assert (document(world)["hold"], marked(world)) == (False, [])
