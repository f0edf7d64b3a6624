"""From agents, Pods and the App to leases, signals and status: who was replaced and is back, and where nobody runs."""

from __future__ import annotations

import grpc
import pytest

from proto import agent_pb2
from tests.unit.watcher.support.fakes import eventually
from tests.unit.watcher.support.installation import FIRST, SECOND, THIRD, Installation
from tests.unit.watcher.support.objects import NAMESPACE

pytestmark = pytest.mark.usefixtures("virtual_time")


async def test_a_lost_primary_is_told_where_nobody_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its machine cannot be reached, and its replicas, started anew, wait for a primary."""
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        for node in (SECOND, THIRD):
            known.agents.say(node, "", process=agent_pb2.BACKOFF, ready=False, message="wait for a primary")
            known.agents.refusing[node] = grpc.StatusCode.FAILED_PRECONDITION
        known.agents.cut_off(FIRST)
        known.agents.hang(FIRST)
        await eventually(lambda: len(known.suspicions) >= 1)
    assert known.suspicions[0].node == FIRST
    assert known.suspicions[0].seen > 0
    assert "isolated" in known.suspicions[0].why


async def test_a_fenced_node_has_neither_lease_nor_label_and_is_told_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.fence(FIRST)
        await eventually(lambda: known.role(0) is None)
        count = known.renewals(FIRST)
        known.agents.say(SECOND, "master", 6)
        await eventually(lambda: known.role(1) == "master")
        await eventually(lambda: any("is back after it was replaced by" in s.why and s.back for s in known.suspicions))
        await eventually(lambda: "has not been taken in again" in known.message(0))
        assert known.renewals(FIRST) == count
        known.agents.say(FIRST, "replica")
        known.fence()
        await eventually(lambda: known.role(0) == "replica" and known.degraded() == "")


async def test_one_that_was_replaced_and_is_held_is_told_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its machine was lost, and its new Pod waits to be taken in again."""
    known = Installation(monkeypatch)
    gone = known.kubernetes.get_now("Pod", NAMESPACE, known.pods[0]["metadata"]["name"])
    known.kubernetes.remove(gone)
    known.fence(FIRST)
    async with known.watching():
        known.agents.say(SECOND, "master", 8)
        known.agents.say(THIRD, "replica")
        await eventually(lambda: known.role(1) == "master")
        assert known.suspicions == []
        known.kubernetes.put({**gone, "metadata": {**gone["metadata"], "uid": "uid-of-its-successor"}})
        known.agents.say(FIRST, "", process=agent_pb2.HELD, ready=False, message="held by the node document")
        await eventually(lambda: bool(known.suspicions))
    told = known.suspicions[0]
    assert (told.node, told.back) == (FIRST, True)


async def test_two_nodes_that_claim_the_role_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.agents.say(SECOND, "master", 6)
        await eventually(lambda: len(known.suspicions) == 1)
    assert known.suspicions[0].node == SECOND
    assert f"although {FIRST} holds it" in known.suspicions[0].why
    assert known.renewals(SECOND) == 0
