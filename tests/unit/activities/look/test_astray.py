"""A replica that follows the wrong node is asked to follow again; a primary that cannot write gives its role away."""

from __future__ import annotations

from typing import Any

import pytest

from activities.look.astray import relieved
from activities.roles.switchover import Switchover
from api.operations import OperationType
from api.steps import MoveRequest
from proto import agent_pb2
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import shelf, store, with_tools

FIRST, SECOND, THIRD = (f"books-store-g-{n}" for n in range(3))
FENCED = shelf(tools_yaml=with_tools("fence: {steps: [{set: {x: y}}]}\n"))


async def deployed() -> World:
    world = await World(FENCED, runtimeVersion="1", components=store(replicas=3)).deployed()
    world.roles(store_0="primary")
    world.agents.tools |= {"follow": {}}
    for node in (SECOND, THIRD):
        world.agents.say(node, "replica", follows=address(world, FIRST))
    return world


def address(world: World, node: str) -> str:
    return str(world.object("Service", node)["spec"]["clusterIP"])


def seen(world: World, condition: str) -> None:
    """The watcher has heard of it."""
    app = world.object("App", "books")
    found = {"type": condition, "status": "False", "reason": "Seen", "lastTransitionTime": "2026-01-02T00:00:00Z"}
    conditions = [*app["status"].get("conditions", []), found]
    world.cluster.put({**app, "status": {**app["status"], "conditions": conditions}})


@pytest.mark.parametrize("whom", ["another replica", "nobody", "10.9.9.9"])
async def test_a_replica_that_follows_the_wrong_node_is_drift_and_told_to_follow_again(whom: str) -> None:
    world = await deployed()
    assert (await world.load()).drift == []
    follows = address(world, SECOND) if whom == "another replica" else whom
    world.agents.say(THIRD, "replica", follows=follows)
    seen(world, "ReplicasFollow")
    (sentence,) = (await world.load()).drift
    assert sentence.startswith(f"{THIRD} follows {SECOND if whom == 'another replica' else whom}")
    assert FIRST in sentence
    await world.carry_out(OperationType.REPAIR)
    told = [(node, arguments) for node, tool, arguments in world.agents.calls if tool == "follow"]
    assert told == [(THIRD, {"primary": address(world, FIRST)})]
    assert any(event.startswith("FollowsAgain") for event in world.events())
    world.agents.say(THIRD, "replica", follows=address(world, FIRST))
    assert (await world.load()).drift == []


async def test_a_replica_that_does_not_follow_again_is_told_of_and_keeps_no_other_from_it() -> None:
    world = await deployed()
    for node in (SECOND, THIRD):
        world.agents.say(node, "replica", follows="10.9.9.9")
    world.agents.answers[SECOND, "follow"] = "max_connections is too low"
    await world.carry_out(OperationType.REPAIR)
    assert sorted(world.agents.called("follow")) == [SECOND, THIRD]
    assert f"DoesNotFollow: {SECOND}: max_connections is too low" in world.events()


async def test_with_two_primaries_nobody_is_told_whom_to_follow() -> None:
    world = await deployed()
    world.agents.say(SECOND, "primary")
    world.agents.say(THIRD, "replica", follows=address(world, SECOND))
    seen(world, "ReplicasFollow")
    assert (await world.load()).drift == []
    await world.carry_out(OperationType.REPAIR)
    assert world.agents.called("follow") == []


@pytest.mark.parametrize("silent", ["it does not answer", "it names no role"])
async def test_while_a_node_does_not_say_its_role_nobody_is_told_whom_to_follow(silent: str) -> None:
    """It may be the primary, busy or cut off: a replica in sync with it was sent to a stray, and copied that."""
    world = await deployed()
    world.agents.say(SECOND, "primary")
    if silent == "it does not answer":
        del world.agents.reports[FIRST]
    else:
        world.agents.say(FIRST, "")
    seen(world, "ReplicasFollow")
    assert (await world.load()).drift == []
    await world.carry_out(OperationType.REPAIR)
    assert world.agents.called("follow") == []


async def test_a_role_is_not_moved_onto_a_full_volume() -> None:
    """The save that failed on one fails on the other too, and the role went to and fro."""
    world = await deployed()
    world.agents.say(SECOND, "replica", 9, volume_full=True)
    world.agents.say(THIRD, "replica", 8)
    planner = Switchover(world.platform)
    move = await world.do(planner.plan_move, MoveRequest(world.target(OperationType.SWITCHOVER), "store", FIRST))
    assert move.candidate == THIRD, "though it is behind"
    world.agents.say(FIRST, "primary", 9, volume_full=True)
    move = await world.do(planner.plan_move, MoveRequest(world.target(OperationType.SWITCHOVER), "store", FIRST))
    assert move.candidate == THIRD
    move = await world.do(planner.plan_move, MoveRequest(world.target(OperationType.UPGRADE), "store", FIRST))
    assert move.candidate == SECOND, "where all are full it is no reason not to give one of them more room"


async def test_a_primary_whose_disk_takes_no_writes_gives_its_role_to_a_node_that_could_take_them() -> None:
    world = await deployed()
    here: dict[str, Any] = {"writes": agent_pb2.WRITES_REFUSED_HERE, "refusal": "MISCONF"}
    world.agents.say(FIRST, "primary", **here)
    assert (await world.load()).evacuations == [], "nobody has seen it yet"
    seen(world, "WritesAccepted")
    (found,) = (await world.load()).evacuations
    assert (found.node, found.candidate) == (FIRST, SECOND)
    assert found.message == f"{FIRST} is primary and refuses writes: MISCONF"
    world.agents.say(SECOND, "replica", 9, **here)
    (found,) = (await world.load()).evacuations
    assert found.candidate == THIRD
    request = MoveRequest(world.target(OperationType.SWITCHOVER), "store", FIRST)
    move = await world.do(Switchover(world.platform).plan_move, request)
    assert move.candidate == THIRD, "though it is behind the other, which could not write either"
    world.edit(failover={"automatic": False})
    assert (await world.load()).evacuations == []


@pytest.mark.parametrize(
    "replica", [{"ready": False}, {"writes": agent_pb2.WRITES_REFUSED_HERE}, {"volume_full": True}, {"role": ""}]
)
def test_a_role_is_not_moved_where_nobody_could_do_better(replica: dict[str, Any]) -> None:
    said = {
        FIRST: agent_pb2.RoleReport(role="primary", writes=agent_pb2.WRITES_REFUSED_HERE),
        SECOND: agent_pb2.RoleReport(**{"role": "replica", "ready": True, **replica}),
    }
    assert relieved("store", ["primary"], said) == []


def test_too_few_replicas_are_no_reason_to_move_the_role() -> None:
    """The next primary would have one less."""
    said = {
        FIRST: agent_pb2.RoleReport(role="primary", writes=agent_pb2.WRITES_REFUSED, refusal="NOREPLICAS"),
        SECOND: agent_pb2.RoleReport(role="replica", ready=True),
    }
    assert relieved("store", ["primary"], said) == []
