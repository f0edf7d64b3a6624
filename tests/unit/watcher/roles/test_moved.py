"""What `kubectl describe app` says of a primary that moved without the platform's doing, and when it says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from clients.agents import Agents
from clients.kubernetes import Kubernetes
from proto import agent_pb2
from tests.unit.watcher.roles.test_monitor import FIRST, SECOND, cluster_of, role
from tests.unit.watcher.support.fakes import FakeAgents, FakeKubernetes, eventually
from tests.unit.watcher.support.objects import APP, NAMESPACE, Manifest, app, pod
from watcher.cache.caches import AppKey, watched
from watcher.roles.monitor import RoleMonitor
from watcher.roles.moved import LOST_AFTER, Holding, Moved, MovedRoles, moves, said
from watcher.roles.record import RoleRecorder
from watcher.roles.rules import RoleRules

pytestmark = pytest.mark.usefixtures("virtual_time")


@asynccontextmanager
async def watching(kubernetes: FakeKubernetes, agents: FakeAgents) -> AsyncIterator[None]:
    async with watched(cast(Kubernetes, kubernetes)) as cluster:

        def changed(key: AppKey) -> None:
            recorder.add(key)

        rules = RoleRules(cluster)
        monitor = RoleMonitor(cluster, cast(Agents, agents), rules, changed)
        recorder = RoleRecorder(cluster, monitor.epochs)
        moved = MovedRoles(cluster, rules, monitor.epochs)
        monitor.listen(moved)
        async with recorder, moved, monitor:
            yield


def events(kubernetes: FakeKubernetes) -> list[tuple[str, str]]:
    found = [manifest for (kind, _, _), manifest in kubernetes.objects.items() if kind == "Event"]
    assert all(each["involvedObject"]["name"] == APP and each["count"] == 1 for each in found)
    return [(each["reason"], each["message"]) for each in found]


def two() -> tuple[list[Manifest], FakeKubernetes, FakeAgents]:
    pods = [pod("redis-server", 0), pod("redis-server", 1)]
    return pods, cluster_of(*pods), FakeAgents()


def note(kubernetes: FakeKubernetes, **status: Any) -> None:
    kubernetes.put(app(**status))


SINCE = "2025-01-01T00:00:00Z"
MOVED = (
    "PrimaryMoved",
    f"{SECOND} is master of redis-server now, before it was {FIRST}: moved by the engine itself (epoch 9)",
)


async def test_an_election_of_the_engine_is_told_once() -> None:
    pods, kubernetes, agents = two()
    async with watching(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        agents.say(SECOND, "replica", 7)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
        assert events(kubernetes) == []
        agents.say(SECOND, "master", 9)
        agents.say(FIRST, "replica", 9)
        await eventually(lambda: role(kubernetes, pods[1]) == "master")
        await eventually(lambda: bool(events(kubernetes)))
        agents.say(SECOND, "master", 9)
    assert events(kubernetes) == [MOVED]


async def test_a_primary_whose_pod_is_killed_is_told_as_lost_and_then_as_moved() -> None:
    pods, kubernetes, agents = two()
    async with watching(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        agents.say(SECOND, "replica", 7)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
        kubernetes.remove(pods[0])
        await eventually(lambda: bool(events(kubernetes)))
        agents.say(SECOND, "master", 9)
        await eventually(lambda: len(events(kubernetes)) == 2)
    assert events(kubernetes) == [("PrimaryLost", f"nobody is master of redis-server; last it was {FIRST}"), MOVED]


@pytest.mark.parametrize("state", ["Running", "Waiting"])
async def test_a_loss_is_told_once_no_operation_works_on_the_app(state: str) -> None:
    """One that waits for an operator may wait for hours."""
    pods, kubernetes, agents = two()
    async with watching(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
        note(kubernetes, operation={"type": "Restart", "state": state})
        agents.say(FIRST, "", process=agent_pb2.BACKOFF)
        await asyncio.sleep(4 * LOST_AFTER)
        assert bool(events(kubernetes)) == (state == "Waiting")
        note(kubernetes, operation={"type": "Restart", "state": "Completed"})
        await eventually(lambda: bool(events(kubernetes)))
    assert [reason for reason, _ in events(kubernetes)] == ["PrimaryLost"]


async def test_a_primary_that_is_lost_and_comes_back_has_not_moved() -> None:
    pods, kubernetes, agents = two()
    async with watching(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
        agents.say(FIRST, "", process=agent_pb2.BACKOFF)
        await eventually(lambda: bool(events(kubernetes)))
        agents.say(FIRST, "master", 8)
        await eventually(lambda: len(events(kubernetes)) == 2)
    assert [reason for reason, _ in events(kubernetes)] == ["PrimaryLost", "PrimaryReturned"]


async def test_a_holder_that_is_silent_for_a_moment_and_is_back_is_no_move() -> None:
    pods, kubernetes, agents = two()
    async with watching(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        agents.say(SECOND, "replica", 7)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
        agents.break_stream(FIRST)
        await eventually(lambda: len([t for t in agents.targets if t.node == FIRST]) == 2)
        agents.say(FIRST, "", process=agent_pb2.BACKOFF)
        await eventually(lambda: role(kubernetes, pods[0]) is None)
        agents.say(FIRST, "master", 8)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
        agents.say(SECOND, "master", 9)  # so that what could be told has been
        await eventually(lambda: bool(events(kubernetes)))
    assert events(kubernetes) == [MOVED]


@pytest.mark.parametrize(
    "status",
    [
        {"moving": [{"component": "redis-server", "source": FIRST, "candidate": SECOND, "since": SINCE}]},
        {"fenced": [{"node": FIRST}]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("ended", [False, True])
async def test_a_role_that_the_platform_moves_is_told_by_its_operation_only(
    status: dict[str, Any], ended: bool
) -> None:
    pods, kubernetes, agents = two()
    async with watching(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
        note(kubernetes, **status)
        await eventually(lambda: role(kubernetes, pods[0]) != "master" or "moving" in status)
        if ended:
            note(kubernetes)
        agents.say(FIRST, "replica", 9)
        agents.say(SECOND, "master", 9)
        await eventually(lambda: role(kubernetes, pods[1]) == "master")
        note(kubernetes)
        agents.say(SECOND, "replica", 11)
        agents.say(FIRST, "master", 11)
        await eventually(lambda: bool(events(kubernetes)))
    back = f"{FIRST} is master of redis-server now, before it was {SECOND}: moved by the engine itself (epoch 11)"
    assert events(kubernetes) == [("PrimaryMoved", back)], "the engine's own move back is told"


async def test_a_later_watcher_knows_from_the_record_who_held_the_role_before() -> None:
    pods, kubernetes, agents = two()
    recorded = {"roles": [{"node": FIRST, "role": "master", "epoch": 7}]}
    component = kubernetes.get_now("Component", NAMESPACE, f"{APP}-redis-server")
    kubernetes.put({**component, "status": recorded})
    async with watching(kubernetes, agents):
        agents.say(SECOND, "master", 9)
        await eventually(lambda: role(kubernetes, pods[1]) == "master")
        await eventually(lambda: bool(events(kubernetes)))
    assert events(kubernetes) == [MOVED]


async def test_the_first_holder_of_an_app_that_was_deleted_and_made_again_is_no_move() -> None:
    pods, kubernetes, agents = two()
    async with watching(kubernetes, agents):
        agents.say(FIRST, "master", 7)
        await eventually(lambda: role(kubernetes, pods[0]) == "master")
        for each in (app(), *pods):
            kubernetes.remove(each)
        kubernetes.remove(kubernetes.get_now("Component", NAMESPACE, f"{APP}-redis-server"))
        again = app()
        kubernetes.put({**again, "metadata": {**again["metadata"], "uid": "another"}})
        fresh = pod("redis-server", 1, suffix="b")
        kubernetes.put(fresh)
        agents.say(SECOND, "master", 1)
        await eventually(lambda: role(kubernetes, fresh) == "master")
    assert events(kubernetes) == []


def test_in_a_topology_without_elections_somebody_else_has_moved_it() -> None:
    (move,) = moves({"master": Holding("a", 1)}, {"master": Holding("b", 0)})
    assert move == Moved("master", Holding("a", 1), Holding("b", 0))
    sentence = "b is master of server now, before it was a: moved neither by the platform nor by an election"
    assert said("server", move, by_engine=False) == ("PrimaryMoved", sentence, True)
