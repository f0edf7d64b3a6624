"""A node of which Kubernetes complains for long is stuck; one that is only slow is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from temporalio.exceptions import ApplicationError

from activities.agents.node_state import NodeState
from activities.app.wait_ready import NodeWaiter
from activities.dependencies import Platform
from api.steps import ErrorType, Target
from clients.resources import DEPLOYMENT
from proto import agent_pb2
from tests.unit.activities.support.cluster import NAMESPACE, World
from tests.unit.render.support import store

TARGET = Target("library", "books", "uid-1", "hash", "Upgrade", "")
AFTER = 45.0


def stuck_at(said: Sequence[tuple[float, str]], *, after: float | None = AFTER) -> float | None:
    """When it gives up, where Kubernetes says this at these times. None: never."""
    waiter = NodeWaiter(cast(Platform, None), TARGET, "wait", ["x"])
    for now, reason in said:
        try:
            waiter._give_up([NodeState("x", False, reason)], now, after)
        except ApplicationError:
            return now
    return None


def test_it_ends_the_step_for_good_with_what_kubernetes_said() -> None:
    waiter = NodeWaiter(cast(Platform, None), TARGET, "wait", ["x"])
    waiter._give_up([NodeState("x", False, "no such image")], 1000.0, AFTER)
    with pytest.raises(ApplicationError, match="x: no such image") as raised:
        waiter._give_up([NodeState("x", False, "no such image")], 1000.0 + AFTER, AFTER)
    assert (raised.value.type, raised.value.non_retryable) == (ErrorType.NODE_STUCK, True)


def every(seconds: float, until: float, *reasons: str) -> list[tuple[float, str]]:
    """The reasons by turns."""
    return [(1000 + n * seconds, reasons[n % len(reasons)]) for n in range(int(until / seconds) + 1)]


def test_a_standing_complaint_is_given_up_in_time() -> None:
    assert stuck_at(every(2, 120, "no such image")) == pytest.approx(1000 + AFTER, abs=2)


def test_other_words_for_the_same_trouble_do_not_begin_anew() -> None:
    found = stuck_at(every(2, 120, "ErrImagePull: no such tag", "ImagePullBackOff: back-off 10s"))
    assert found == pytest.approx(1000 + AFTER, abs=2)


def test_a_short_silence_between_two_complaints_is_no_cure() -> None:
    found = stuck_at(every(5, 300, "crashes (1 restart)", "", "crashes (2 restarts)", ""))
    assert found is not None
    assert found == pytest.approx(1000 + AFTER, abs=10)


def test_a_node_that_is_only_slow_is_waited_for() -> None:
    assert stuck_at(every(2, 3600, "")) is None


def test_a_complaint_that_has_passed_is_forgotten() -> None:
    before = [(1000 + n, "cannot be scheduled") for n in range(0, 40, 2)]
    quiet = [(1040 + n, "") for n in range(0, 60, 2)]
    again = [(1100 + n, "cannot be scheduled") for n in range(0, 40, 2)]
    assert stuck_at([*before, *quiet, *again]) is None


def test_where_nothing_was_asked_for_it_waits_without_end() -> None:
    """A first Deploy waits for an image for as long as it takes."""
    assert stuck_at(every(2, 3600, "no such image"), after=None) is None


# An engine that keeps ending, in a container that stays: nothing that Kubernetes would complain of


NODE = "books-store-g-1"
WHY = "keeps ending, 5 times in a row: shelf ended by itself after 0.1 s with exit code 1, saying: no such parameter"


@pytest.fixture
async def world(virtual_time: None) -> World:
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    ready(world, "False")
    return world


def ready(world: World, status: str) -> None:
    pod = world.pod(NODE)
    pod["status"]["conditions"] = [{"type": "Ready", "status": status}]
    pod["status"]["containerStatuses"] = [{"name": "middleware", "state": {"running": {}}}]
    world.cluster.put(pod)


async def waited(world: World, after: float | None) -> None:
    target = world.target("Upgrade")
    waiter = NodeWaiter(world.platform, target, "wait", [NODE])

    async def until(_: None) -> None:
        await waiter.until(lambda state: state.ready, stuck_after=after)

    await world.do(until, None)


async def test_an_engine_that_keeps_ending_is_told_in_its_own_words_and_given_up_in_time(world: World) -> None:
    world.agents.stand(NODE, agent_pb2.CRASH_LOOP, WHY)
    began = asyncio.get_running_loop().time()
    with pytest.raises(ApplicationError, match=f"{NODE}: the process is CRASH_LOOP: {WHY}") as raised:
        await waited(world, AFTER)
    assert raised.value.type == ErrorType.NODE_STUCK
    assert AFTER < asyncio.get_running_loop().time() - began < 2 * AFTER
    assert f"Waiting: {NODE}: the process is CRASH_LOOP: {WHY}" in world.events()


async def test_an_engine_that_may_not_be_given_its_volume_is_not_waited_for(world: World) -> None:
    """No time cures it; a first Deploy goes on waiting, as its spec may be corrected."""
    world.agents.volumes[NODE] = "3"
    world.agents.stand(NODE, agent_pb2.UNREADABLE, "version 3 of the engine has had this volume")
    first = asyncio.create_task(waited(world, None))
    with pytest.raises(ApplicationError, match=f"{NODE}: version 3 of the engine has had this volume") as raised:
        await waited(world, AFTER)
    assert (raised.value.type, raised.value.details) == (ErrorType.UNREADABLE_VOLUME, ("3",))
    await asyncio.sleep(AFTER)
    assert not first.done()
    assert f"Waiting: {NODE}: version 3 of the engine has had this volume" in world.events()
    ready(world, "True")
    await first


async def test_it_counts_as_ending_also_while_it_is_tried_once_more(world: World) -> None:
    world.agents.say(NODE, ready=False, message=f"nobody listens; before that: {WHY}")
    world.agents.reports[NODE].keeps_ending = True
    with pytest.raises(ApplicationError, match="saying: no such parameter"):
        await waited(world, AFTER)


async def test_an_engine_that_ended_once_or_copies_data_is_waited_for_and_so_is_a_first_deploy(world: World) -> None:
    world.agents.stand(NODE, agent_pb2.BACKOFF, "it waits for its peers")
    once = asyncio.create_task(waited(world, AFTER))
    await asyncio.sleep(10 * AFTER)
    assert not once.done()
    assert f"Waiting: {NODE}: the process is BACKOFF: it waits for its peers" in world.events()
    world.agents.waiting[NODE].state = agent_pb2.CRASH_LOOP
    first = asyncio.create_task(waited(world, None))
    with pytest.raises(ApplicationError):
        await once
    ready(world, "True")
    await first


# What somebody does to the node's Deployment meanwhile


async def edited(world: World, **spec: Any) -> None:
    world.cluster.gets_ready = lambda _: False  # a paused one makes no other Pod
    live = world.object("Deployment", NODE)
    world.cluster.put({**live, "spec": {**live["spec"], **spec}})


@pytest.mark.parametrize(
    ("spec", "said"), [({"replicas": 0}, "scaled to none"), ({"paused": True}, "paused")], ids=["scaled", "paused"]
)
async def test_a_deployment_that_is_changed_under_the_wait_is_put_back(
    world: World, spec: dict[str, Any], said: str
) -> None:
    """It waited for the Pod without end, and named no reason."""
    waits = asyncio.create_task(waited(world, AFTER))
    await asyncio.sleep(3)
    await edited(world, **spec)
    await asyncio.sleep(10)
    live = world.object("Deployment", NODE)["spec"]
    assert (live["replicas"], bool(live.get("paused"))) == (1, False)
    assert any(event.startswith(f"DeploymentPutBack: the Deployment {NODE} was {said}") for event in world.events())
    ready(world, "True")
    await asyncio.wait_for(waits, 4 * AFTER)


async def test_a_deployment_that_is_deleted_under_the_wait_is_named_and_ends_the_step(world: World) -> None:
    """So that a Repair can make it anew, also where the operation is on its way back."""
    waits = asyncio.create_task(waited(world, AFTER))
    await world.cluster.delete(DEPLOYMENT, NODE, NAMESPACE)
    with pytest.raises(ApplicationError, match=f"{NODE}: its Deployment is gone") as raised:
        await asyncio.wait_for(waits, 4 * AFTER)
    assert raised.value.type == ErrorType.NODE_STUCK
    assert any(event.startswith(f"Waiting: {NODE}: its Deployment is gone") for event in world.events())


async def test_a_node_that_is_to_stop_is_not_started_by_whoever_scales_it_up(world: World) -> None:
    """And whoever waits for a node of which another operation decides leaves it as it is."""
    waiter = NodeWaiter(world.platform, world.target("Upgrade"), "stop", [NODE], replicas=0)

    async def until(_: None) -> None:
        await waiter.until(
            lambda state: state.pod is None and world.object("Deployment", NODE)["spec"]["replicas"] == 0
        )

    await asyncio.wait_for(world.do(until, None), 10)
    leaves = NodeWaiter(world.platform, world.target("Upgrade"), "leave", [NODE], replicas=None)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(world.do(lambda _: leaves.until(lambda state: state.ready), None), 10)
    assert world.object("Deployment", NODE)["spec"]["replicas"] == 0
