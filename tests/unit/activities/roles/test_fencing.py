"""What proves that a lost primary takes no writes any more, and what is waited for where nothing does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.roles import fencing
from api.names import MIDDLEWARE_CONTAINER
from proto import agent_pb2
from tests.unit.activities.support.cluster import World
from tests.unit.activities.support.failing import NODES, SEEN, STOPPED, fenced, marked, world

__all__ = ["world"]


async def test_its_own_agent_proves_it_by_stopping_the_engine(world: World) -> None:
    status = agent_pb2.ProcessStatus(state=agent_pb2.STOPPED, volume=agent_pb2.VolumeRecord(position="44"))
    world.agents.stopped[NODES[0]] = status
    found = await fenced(world, seen=SEEN)
    assert "its agent has stopped it" in found.proof
    assert found.position == "44"
    assert marked(world) == [NODES[0]]
    assert not world.agents.called("detach"), "no replica has stopped following for nothing"


async def test_an_engine_of_which_a_process_cannot_be_killed_is_not_stopped(world: World) -> None:
    """It hangs in the kernel, at a disk that does not answer, say."""
    world.agents.stopped[NODES[0]] = agent_pb2.ProcessStatus(state=agent_pb2.LINGERING)
    found = await fenced(world, seen=SEEN)
    assert "lease has run out" in found.proof
    assert found.seconds >= fencing.LEASE_OUT_AFTER


async def test_a_pod_made_since_proves_nothing_of_the_one_before(world: World) -> None:
    world.pod(NODES[0])["metadata"]["creationTimestamp"] = "2126-01-01T00:00:00Z"
    world.agents.stopped[NODES[0]] = STOPPED
    found = await fenced(world, seen=SEEN)
    assert "lease has run out" in found.proof
    assert found.seconds >= fencing.LEASE_OUT_AFTER
    assert sorted(set(world.agents.called("detach"))) == NODES[1:], "nobody renews it meanwhile"


async def test_unless_it_has_had_the_volume(world: World) -> None:
    world.pod(NODES[0])["metadata"]["creationTimestamp"] = "2126-01-01T00:00:00Z"
    world.agents.stopped[NODES[0]] = agent_pb2.ProcessStatus(state=agent_pb2.STOPPED, starts=1)
    assert "had its volume since" in (await fenced(world, seen=SEEN)).proof


async def test_a_pod_whose_machine_says_that_it_has_ended_is_proof_also_once_it_is_gone(world: World) -> None:
    world.cluster.remove(world.end_pod(NODES[0]))
    assert "has ended, as its machine says" in (await fenced(world, seen=SEEN)).proof
    assert not world.agents.called("detach"), "no replica has stopped following for nothing"


async def test_the_machine_is_heard_while_an_agent_does_not_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def never_answers(*_: Any, **__: Any) -> agent_pb2.ProcessStatus:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(world.agents, "stop", never_answers)
    fencing_now = asyncio.create_task(fenced(world, seen=SEEN))
    await asked.wait()
    world.cluster.remove(world.end_pod(NODES[0]))
    found = await fencing_now
    assert "has ended, as its machine says" in found.proof
    assert found.seconds < fencing.AT_ONCE


async def test_one_that_ended_proves_nothing_while_another_pod_of_the_node_runs(world: World) -> None:
    ended = world.end_pod(NODES[0])
    world.cluster.remove(ended)
    status = {"containerStatuses": [{"name": MIDDLEWARE_CONTAINER, "state": {"running": {}}}], "podIP": "198.18.9.9"}
    since = {**ended["metadata"], "name": "since", "uid": "since", "creationTimestamp": "2126-01-01T00:00:00Z"}
    since.pop("deletionTimestamp")
    world.cluster.put({**ended, "metadata": since, "status": status})
    assert "lease has run out" in (await fenced(world, seen=SEEN)).proof
    world.agents.stopped[NODES[0]] = STOPPED
    assert "its agent has stopped it" in (await fenced(world, seen=SEEN)).proof


async def test_one_whose_pod_was_deleted_by_force_is_stopped_where_it_still_runs(world: World) -> None:
    world.cluster.remove(world.pod(NODES[0]))
    world.agents.say(NODES[0], "primary")
    world.agents.stopped[NODES[0]] = STOPPED
    assert "its agent has stopped it" in (await fenced(world, seen=SEEN, address="198.18.7.7")).proof


async def test_whoever_has_its_address_by_now_is_left_alone(world: World) -> None:
    world.cluster.remove(world.pod(NODES[0]))
    world.agents.reports[NODES[0]] = agent_pb2.RoleReport(node=NODES[1], role="replica", ready=True)
    world.agents.stopped[NODES[0]] = STOPPED
    assert "lease has run out" in (await fenced(world, seen=SEEN, address="198.18.7.7")).proof
    assert not world.agents.called("stop")


async def test_by_hand_a_watcher_gets_the_time_to_stop_renewing(world: World) -> None:
    found = await fenced(world)
    assert f"({fencing.LEASE_OUT_AFTER + fencing.WATCHER_WITHIN:g} s without renewal)" in found.proof


async def test_a_lease_is_waited_out_only_when_enough_have_stopped_following(world: World) -> None:
    world.pod(NODES[0])["metadata"]["creationTimestamp"] = "2126-01-01T00:00:00Z"
    world.agents.tools["detach"] = "it hangs"
    waiting = asyncio.create_task(fenced(world, seen=SEEN))
    await asyncio.sleep(3 * fencing.LEASE_OUT_AFTER)
    assert not waiting.done()
    world.agents.tools["detach"] = {"position": "0"}
    assert (await waiting).by_lease


async def test_with_too_few_the_operation_ends_and_the_source_stays_fenced(world: World) -> None:
    world.agents.tools["detach"] = "it hangs"
    with pytest.raises(ApplicationError, match="only 0 of 1 replicas have stopped following") as ended:
        await fenced(world, seen=SEEN)
    assert ended.value.non_retryable
    assert marked(world) == [NODES[0]]
