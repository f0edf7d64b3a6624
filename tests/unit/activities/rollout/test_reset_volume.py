"""A node's volume is thrown away only where another node has its data, and only once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.reconcile.prepare import Prepare
from activities.rollout.roll_node import Node
from api.group import AgentBundle, Member, MemberState
from api.names import MIDDLEWARE_CONTAINER
from api.operations import OperationType
from api.steps import ErrorType, NodeStep
from clients.agents import AgentTarget
from proto import agent_pb2
from render.manifests.deployments import VERSION_LABEL, hashes_of
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import store

NODES = ["books-store-g-0", "books-store-g-1"]


@pytest.fixture
async def world(virtual_time: None) -> World:
    """It goes back to version 1, while node 1 has had a volume of version 2."""
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    world.roles(store_0="primary")
    world.note(NODES[1], version="2", data="2")
    return world


async def roll(world: World, node: str = NODES[1], *, pod: str | None = None) -> None:
    target = world.target(OperationType.UPGRADE, stage=OperationType.REPAIR)
    pod = world.pod(node)["metadata"]["uid"] if pod is None else pod
    await world.do(Node(world.platform).roll_node, NodeStep(target, "store", "g", node, pod))


def claim(world: World, node: str = NODES[1]) -> str:
    return str(world.object("PersistentVolumeClaim", node)["metadata"]["uid"])


def rewritten(world: World) -> Member:
    """As it is noted afterwards, with what its Deployment was made of."""
    pod, template = hashes_of(world.object("Deployment", NODES[1]))
    return Member(name=NODES[1], state=MemberState.NORMAL, version="1", data="1", pod_hash=pod, template_hash=template)


async def test_it_begins_with_an_empty_volume_and_serves(world: World) -> None:
    pod, volume = world.pod(NODES[1])["metadata"]["uid"], claim(world)
    await roll(world)
    assert claim(world) != volume
    assert world.pod(NODES[1])["metadata"]["uid"] != pod
    assert world.member(NODES[1]) == rewritten(world)
    assert world.object("Deployment", NODES[1])["spec"]["replicas"] == 1


async def test_a_repeat_of_the_step_keeps_the_copy(world: World) -> None:
    await roll(world)
    volume = claim(world)
    await roll(world)
    assert claim(world) == volume


def readable(world: World) -> None:
    """No engine of a higher version has had the volume."""
    for node in NODES:
        world.note(node, version="1", data="1")


async def test_a_volume_that_can_be_read_stays_whatever_the_step_was_given(world: World) -> None:
    readable(world)
    volume = claim(world)
    await roll(world)
    assert claim(world) == volume


@pytest.fixture
def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once a node's role was asked for, to know whether it can be copied."""
    event, role = asyncio.Event(), world.agents.role

    async def noting(target: AgentTarget, **more: Any) -> agent_pb2.RoleReport:
        event.set()
        return await role(target, **more)

    monkeypatch.setattr(world.agents, "role", noting)
    return event


async def test_a_primary_that_was_lost_just_now_is_waited_for(world: World, asked: asyncio.Event) -> None:
    primary, volume = world.agents.reports.pop(NODES[0]), claim(world)
    rolling = asyncio.create_task(roll(world))
    await asyncio.wait_for(asked.wait(), 5)
    assert claim(world) == volume
    world.agents.reports[NODES[0]] = primary
    await rolling
    assert claim(world) != volume


@pytest.mark.parametrize("why", ["it does not answer", "it is not ready", "nobody is writable", "it is of version 2"])
async def test_without_a_node_to_copy_from_nothing_is_thrown_away(world: World, why: str) -> None:
    if why == "it does not answer":
        del world.agents.reports[NODES[0]]
    elif why == "it is not ready":
        world.agents.say(NODES[0], "primary", ready=False)
    elif why == "nobody is writable":
        world.agents.say(NODES[0], "replica")
    else:
        for node in NODES:
            world.note(node, data="2")
    volume, pod = claim(world), world.pod(NODES[1])["metadata"]["uid"]
    with pytest.raises(ApplicationError, match="no other node serves that it could copy; not done") as error:
        await roll(world)
    assert error.value.type == ErrorType.NODE_STUCK
    assert (claim(world), world.pod(NODES[1])["metadata"]["uid"]) == (volume, pod)


async def test_a_volume_of_somebody_else_is_not_touched(world: World) -> None:
    live = world.object("PersistentVolumeClaim", NODES[1])
    labels = {**live["metadata"]["labels"], "middleware.io/app": "another"}
    world.cluster.put({**live, "metadata": {**live["metadata"], "labels": labels}})
    with pytest.raises(ApplicationError, match="is not of App library/books"):
        await roll(world)
    assert claim(world) == live["metadata"]["uid"]


# A Pod of a higher version that nobody has seen at work

MADE: dict[str, object] = {"name": MIDDLEWARE_CONTAINER, "containerID": "containerd://1", "state": {"waiting": {}}}
NEVER: dict[str, object] = {"name": MIDDLEWARE_CONTAINER, "state": {"waiting": {"reason": "ImagePullBackOff"}}}


def interrupted(world: World, *containers: dict[str, object], at_the_end: dict[str, object] | None = None) -> None:
    """Node 1 was given a Pod of version 2, which has come so far; ``at_the_end``: once it was stopped."""
    live = world.object("Deployment", NODES[1])
    live["metadata"]["labels"][VERSION_LABEL] = "2"
    live["spec"]["template"]["metadata"]["labels"][VERSION_LABEL] = "2"
    world.cluster.put(live)
    pod = world.pod(NODES[1])
    pod["status"]["containerStatuses"] = list(containers)
    world.cluster.put(pod)
    world.note(NODES[1], data="1", unverified=True)
    if at_the_end is not None:
        world.cluster.last_words[NODES[1]] = [at_the_end]


@pytest.mark.parametrize(
    ("now", "at_the_end"),
    [([MADE], None), ([], MADE), ([NEVER], {**MADE, "state": {"terminated": {"exitCode": 0}}})],
)
async def test_an_engine_that_began_before_the_way_back_has_had_the_volume(
    world: World, now: list[dict[str, object]], at_the_end: dict[str, object] | None
) -> None:
    """Seen as a Redis 7.0 that never started again: its aborted 8.0 had begun just after the last look."""
    interrupted(world, *now, at_the_end=at_the_end)
    volume = claim(world)
    await roll(world)
    assert claim(world) != volume
    assert (world.member(NODES[1]).version, world.member(NODES[1]).data) == ("1", "1")
    assert world.object("Deployment", NODES[1])["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    "at_the_end", [NEVER, {**NEVER, "state": {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}}]
)
async def test_a_volume_that_no_higher_version_has_had_stays(world: World, at_the_end: dict[str, object]) -> None:
    interrupted(world, NEVER, at_the_end=at_the_end)
    volume = claim(world)
    await roll(world)
    assert claim(world) == volume
    assert world.object("Deployment", NODES[1])["spec"]["replicas"] == 1


async def test_what_an_attempt_saw_that_died_is_taken_for_the_worst(world: World) -> None:
    interrupted(world, NEVER)
    live = world.object("Deployment", NODES[1])
    world.cluster.put({**live, "spec": {**live["spec"], "replicas": 0}})
    volume = claim(world)
    await roll(world, pod="")
    assert claim(world) != volume


async def test_an_attempt_that_died_is_not_the_worst_where_the_end_of_its_pod_was_seen(world: World) -> None:
    """A single node whose newer image cannot be pulled could never go back: it has nobody to copy from."""
    interrupted(world, NEVER, at_the_end={**NEVER, "state": {"terminated": {"exitCode": 137}}})
    live = world.object("Deployment", NODES[1])
    pod = world.pod(NODES[1])
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.cluster.put(pod)
    world.cluster.put({**live, "spec": {**live["spec"], "replicas": 0}})
    volume = claim(world)
    await roll(world, pod="")
    assert claim(world) == volume


async def test_who_is_interrupted_leaves_no_node_stopped(world: World, asked: asyncio.Event) -> None:
    interrupted(world, MADE)
    del world.agents.reports[NODES[0]]
    rolling = asyncio.create_task(roll(world))

    def replicas() -> object:
        return world.object("Deployment", NODES[1])["spec"]["replicas"]

    await asyncio.wait_for(asked.wait(), 5)
    assert replicas() == 0
    rolling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rolling
    assert replicas() == 1


async def test_a_node_that_has_the_only_data_is_started_again(world: World) -> None:
    interrupted(world, MADE)
    del world.agents.reports[NODES[0]]
    volume = claim(world)
    with pytest.raises(ApplicationError, match="no other node serves that it could copy; not done"):
        await roll(world)
    assert claim(world) == volume
    live = world.object("Deployment", NODES[1])
    assert (live["spec"]["replicas"], live["metadata"]["labels"][VERSION_LABEL]) == (1, "2")


# What only the volume knows: the statuses were lost, or it is another one than it was


@pytest.fixture
def remembers(world: World) -> World:
    """Nobody has noted that version 2 has had the volume of node 1: its agent does not start version 1 on it."""
    readable(world)
    world.platform.agent = AgentBundle(image="agent:2")  # it is given another Pod
    world.agents.volumes[NODES[1]] = "2"
    world.agents.stand(NODES[1], agent_pb2.UNREADABLE, "version 2 of the engine has had this volume")
    world.cluster.gets_ready = lambda node: node not in world.agents.waiting

    def emptied(manifest: dict[str, Any]) -> None:
        if (manifest["kind"], manifest["metadata"]["name"]) == ("PersistentVolumeClaim", NODES[1]):
            world.agents.waiting.pop(NODES[1])
            world.agents.say(NODES[1], "replica")

    world.cluster.on_remove.append(emptied)
    return world


async def test_a_volume_that_the_agent_does_not_start_on_is_made_anew(remembers: World) -> None:
    volume = claim(remembers)
    await roll(remembers)
    assert claim(remembers) != volume
    assert remembers.member(NODES[1]) == rewritten(remembers)
    assert remembers.object("Deployment", NODES[1])["spec"]["replicas"] == 1


async def test_not_where_it_is_the_only_copy_and_what_it_remembers_is_noted(remembers: World) -> None:
    volume = claim(remembers)
    del remembers.agents.reports[NODES[0]]
    with pytest.raises(ApplicationError, match="no other node serves that it could copy; not done"):
        await roll(remembers)
    assert claim(remembers) == volume
    assert remembers.member(NODES[1]).data == "2"


async def test_a_volume_of_a_lower_version_is_never_thrown_away(remembers: World) -> None:
    """The plugin does not allow the step at once; the lower version can read it still."""
    remembers.agents.volumes[NODES[1]] = "0.9"
    remembers.agents.stand(NODES[1], agent_pb2.UNREADABLE, "version 0.9 of the engine has had this volume")
    volume = claim(remembers)
    with pytest.raises(ApplicationError, match=r"version 0\.9 of the engine has had this volume") as error:
        await roll(remembers)
    assert error.value.type == ErrorType.UNREADABLE_VOLUME
    assert claim(remembers) == volume


# Rolling without a wipe


async def test_a_node_is_given_the_new_version_and_the_newest_agents(world: World) -> None:
    world.edit(runtimeVersion="2")
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))
    world.platform.agent = AgentBundle(image="agent:2")
    target, pod = world.target(OperationType.UPGRADE), world.pod(NODES[1])["metadata"]["uid"]
    await world.do(Node(world.platform).roll_node, NodeStep(target, "store", "g", NODES[1], pod))
    template = str(world.object("Deployment", NODES[1])["spec"]["template"])
    assert "shelf:2" in template
    assert "agent:2" in template
    assert "shelf:1" in str(world.object("Deployment", NODES[0]))
    assert (world.member(NODES[1]).version, world.member(NODES[1]).unverified) == ("2", False)


async def test_the_next_node_waits_until_this_one_has_been_ready_for_so_long(virtual_time: None) -> None:
    group = store(replicas=2, rollingUpdate={"minReadySeconds": 30})
    world = await World(runtimeVersion="1", components=group).deployed()
    world.roles(store_0="primary")
    world.edit(runtimeVersion="2")
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))
    target, pod = world.target(OperationType.UPGRADE), world.pod(NODES[1])["metadata"]["uid"]
    step = NodeStep(target, "store", "g", NODES[1], pod)
    rolling = asyncio.create_task(world.do(Node(world.platform).roll_node, step))
    done, _ = await asyncio.wait({rolling}, timeout=60)
    assert not done, "its new Pod is ready, and may still end again"
    assert world.pod(NODES[1])["metadata"]["uid"] != pod
    world.available(NODES[1])
    await asyncio.wait_for(rolling, 5)


async def test_what_was_noted_after_the_plan_was_made_counts(world: World) -> None:
    volume = claim(world)
    await roll(world)
    assert claim(world) != volume


async def test_an_engine_that_is_of_another_version_than_its_image_says_stops_it(world: World) -> None:
    readable(world)
    world.agents.tools["getVersion"] = {"version": "3.1"}
    with pytest.raises(ApplicationError, match=r"runs version 3\.1; its image should hold 1") as error:
        await roll(world)
    assert error.value.type == ErrorType.NODE_STUCK
    assert world.member(NODES[1]).unverified


async def test_a_restart_ends_the_pod_it_was_planned_for_and_not_its_successor(world: World) -> None:
    target, pod = world.target(OperationType.RESTART), world.pod(NODES[0])["metadata"]["uid"]
    step = NodeStep(target, "store", "g", NODES[0], pod)
    await world.do(Node(world.platform).roll_node, step)
    successor = world.pod(NODES[0])["metadata"]["uid"]
    assert successor != pod
    await world.do(Node(world.platform).roll_node, step)
    assert world.pod(NODES[0])["metadata"]["uid"] == successor
