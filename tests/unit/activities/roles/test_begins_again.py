"""The lost primary's next Pod: it has all the data and waits for the word that it may. It gets that, or is stopped,
before anybody takes over: never both."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from temporalio.exceptions import ApplicationError

from activities.roles import fencing
from activities.roles.failover import Failover
from api.failover import Chosen, Fenced, PromoteRequest
from api.names import MIDDLEWARE_CONTAINER
from clients.agents import AgentError, AgentTarget
from proto import agent_pb2
from tests.unit.activities.support.cluster import World
from tests.unit.activities.support.failing import NODES, SEEN, STOPPED, fenced, marked, planned, takeover, world

__all__ = ["world"]
OLD = NODES[0]


def _waits(world: World) -> None:
    record = agent_pb2.VolumeRecord(present=True, app_uid="uid-1", role="primary", position="50")
    world.agents.waiting[OLD] = agent_pb2.ProcessStatus(state=agent_pb2.WAITING, volume=record)


def _nobody_is_in_sync(world: World) -> None:
    for node in NODES[1:]:
        world.agents.say(node, "replica", 10, ready=False, message="no primary")
        world.agents.reports[node].last_ready = SEEN - 600_000


async def test_where_nobody_could_take_over_it_is_told_to_go_on(world: World) -> None:
    """All Pods were deleted at once, say."""
    _nobody_is_in_sync(world)
    _waits(world)
    found = await planned(world, seen=SEEN)
    assert found.source == "", "there is nothing more to do"
    assert f"{OLD} is back and primary again" in found.message
    assert [call for node, call, _ in world.agents.calls if node == OLD][-2:] == ["renew", "permit"]
    assert marked(world) == []


async def test_one_that_does_not_come_to_run_is_not_said_to_be_primary_again(world: World) -> None:
    _nobody_is_in_sync(world)
    _waits(world)
    world.agents.crashing.add(OLD)
    with pytest.raises(ApplicationError, match="nobody can take over"):
        await planned(world, seen=SEEN)


async def test_where_another_can_take_over_it_is_not(world: World) -> None:
    _waits(world)
    assert (await planned(world, seen=SEEN)).source == OLD
    assert world.agents.called("permit") == []


async def test_once_it_was_fenced_it_is_let_in_by_nobody_but_who_takes_it_in_again(world: World) -> None:
    await fenced(world, seen=SEEN)
    fencing_entry = world.object("App", "books")["status"]["fenced"][0]
    await fencing.note_successor(world.platform, takeover(world), NODES[1])
    assert fencing_entry["node"] == OLD
    _nobody_is_in_sync(world)
    _waits(world)
    with pytest.raises(ApplicationError, match="nobody can take over"):
        await planned(world, seen=SEEN)
    assert world.agents.called("permit") == []


def _next_pod(world: World, machine: str = "", **status: Any) -> None:
    """The machine has said that the old one has ended; the ReplicaSet has made the next."""
    ended = world.end_pod(OLD)
    world.cluster.remove(ended)
    since = {**ended["metadata"], "name": "since", "uid": "since", "creationTimestamp": "2126-01-01T00:00:00Z"}
    since.pop("deletionTimestamp")
    spec = {**ended["spec"], "nodeName": machine} if machine else ended["spec"]
    world.cluster.put({**ended, "metadata": since, "spec": spec, "status": {"phase": "Pending", **status}})


RUNNING: dict[str, Any] = {
    "podIP": "198.18.9.9",
    "containerStatuses": [{"name": MIDDLEWARE_CONTAINER, "state": {"running": {}}}],
}


async def _choose(world: World, **more: Any) -> Chosen:
    proof = Fenced("has ended, as its machine says", by_machine=True)
    found: Chosen = await world.do(Failover(world.platform).choose, PromoteRequest(takeover(world, **more), proof))
    return found


async def test_a_pod_that_ended_is_known_to_be_no_proof_for_the_next_one(world: World) -> None:
    world.cluster.remove(world.end_pod(OLD))
    assert (await fenced(world, seen=SEEN)).by_machine


async def test_its_next_pod_is_stopped_before_anybody_takes_over(world: World) -> None:
    """Its engine had begun between the proof and the promotion, and took writes that nobody has."""
    _next_pod(world, **RUNNING)
    world.agents.stopped[OLD] = STOPPED
    assert (await _choose(world, seen=SEEN)).candidate in NODES[1:]
    calls = [call for _, call, _ in world.agents.calls]
    assert calls.index("stop") > calls.index("detach"), "replicas that follow could have let it begin until then"


NOT_BEGUN = {"containerStatuses": [{"name": MIDDLEWARE_CONTAINER, "state": {"waiting": {"reason": "Creating"}}}]}


@pytest.mark.parametrize(("machine", "status"), [("", {}), ("m1", NOT_BEGUN)])
async def test_one_that_has_not_begun_holds_nobody_up(world: World, machine: str, status: dict[str, Any]) -> None:
    _next_pod(world, machine, **status)
    began = asyncio.get_running_loop().time()
    assert (await _choose(world, seen=SEEN)).candidate in NODES[1:]
    assert asyncio.get_running_loop().time() - began < 1


async def test_of_one_whose_machine_has_told_nothing_the_lease_is_waited_out(world: World) -> None:
    """Cut off from the API server, its machine may have begun it, and replicas have let it serve."""
    _next_pod(world, "m1")
    began = asyncio.get_running_loop().time()
    assert (await _choose(world, seen=SEEN)).candidate in NODES[1:]
    assert asyncio.get_running_loop().time() - began >= fencing.LEASE_OUT_AFTER


async def test_of_one_that_runs_and_cannot_be_stopped_the_lease_is_waited_out(world: World) -> None:
    _next_pod(world, **RUNNING)
    began = asyncio.get_running_loop().time()
    assert (await _choose(world, seen=SEEN)).candidate in NODES[1:]
    assert asyncio.get_running_loop().time() - began >= fencing.LEASE_OUT_AFTER


async def test_nor_does_one_take_over_where_replicas_that_follow_could_renew_that_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.edit(failover={"dataLoss": "Allow"})
    _next_pod(world, **RUNNING)
    world.agents.answers[NODES[1], "detach"] = world.agents.answers[NODES[2], "detach"] = "it hangs"

    async def busy(target: AgentTarget, **_: Any) -> agent_pb2.ProcessStatus:
        raise AgentError(target, "GetStatus", grpc.StatusCode.DEADLINE_EXCEEDED, "too slow")

    monkeypatch.setattr(world.agents, "status", busy)
    with pytest.raises(ApplicationError, match="its new Pod cannot be stopped"):
        await _choose(world, seen=SEEN)
