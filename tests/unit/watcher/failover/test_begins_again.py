"""A primary that is back with its data waits for the word that it still is: from the watcher only where no failover is
about to give the role to another."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from clients.agents import AgentTarget
from clients.errors import UnavailableError
from clients.kubernetes import Kubernetes
from proto import agent_pb2
from tests.unit.watcher.support.fakes import eventually
from tests.unit.watcher.support.installation import FIRST, SECOND, THIRD, Installation
from tests.unit.watcher.support.objects import APP, NAMESPACE, pod
from watcher.failover.holders import lease_holders, may_not_begin
from watcher.failover.lease_renewal import Holder
from watcher.failover.observations import Observation

pytestmark = pytest.mark.usefixtures("virtual_time")


MOVING = {"component": "redis", "source": FIRST, "candidate": SECOND, "since": "2026-01-01T00:00:00Z"}


def _waits(known: Installation) -> None:
    known.agents.say(FIRST, "", process=agent_pb2.WAITING, ready=False, message="waits for the word")


def _lone(known: Installation) -> None:
    for node in (SECOND, THIRD):
        known.agents.say(node, "", process=agent_pb2.STARTING, ready=False, message="waits for a primary")
    _waits(known)


async def _renewed_again(known: Installation) -> None:
    before = known.renewals(FIRST)
    await eventually(lambda: known.renewals(FIRST) > before + 1)


async def _not_renewed(known: Installation) -> None:
    await eventually(lambda: known.role(0) is None)
    await asyncio.sleep(1)  # virtual time: calls made before
    before = known.renewals(FIRST)
    await asyncio.sleep(10)
    assert known.renewals(FIRST) == before


async def test_a_failover_is_asked_for_and_gives_the_word_or_the_role(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        _waits(known)
        await eventually(lambda: len(known.suspicions) == 1)
        await _not_renewed(known)
    told = known.suspicions[0]
    assert told.node == FIRST
    assert f"{FIRST} is back and waits for the word that it is still master" in told.why
    assert told.asks
    assert not told.back, "others run, so one of them may take over: within the cool-down that is not begun"


async def test_where_nobody_else_runs_no_cool_down_keeps_it_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        _lone(known)
        await eventually(lambda: any("waits for the word" in each.why and each.back for each in known.suspicions))


@pytest.mark.parametrize("spec", [{"paused": True}, {"failover": {"automatic": False}}])
async def test_where_no_failover_is_to_begin_its_lease_is_renewed(
    monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any]
) -> None:
    known = Installation(monkeypatch, spec=spec)
    async with known.watching():
        await known.settled()
        _waits(known)
        await _renewed_again(known)
        assert known.suspicions == []
        known.agents.say(FIRST, "master", 7)
        await eventually(lambda: known.role(0) == "master")
        await _renewed_again(known)


async def test_an_operation_that_restarts_it_costs_no_more_than_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.put_status(operation={"type": "Restart", "state": "Running", "step": f"{FIRST}: new Pod"})
        _waits(known)
        await _renewed_again(known)
        assert known.suspicions == []


async def test_while_the_app_cannot_be_read_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caches may not have heard of a failover yet."""
    known = Installation(monkeypatch, spec={"paused": True})
    async with known.watching():
        await known.settled()
        down = UnavailableError("reading", 503, "ServiceUnavailable", "it is down")
        known.kubernetes.fail = lambda verb, name: down if (verb, name) == ("get", APP) else None
        _waits(known)
        await _not_renewed(known)
        known.kubernetes.fail = lambda verb, name: None
        await _renewed_again(known)


@pytest.mark.parametrize(
    "status",
    [
        {"fenced": [{"node": FIRST, "component": "redis", "since": ""}]},
        {"operation": {"type": "Failover", "state": "Running", "step": "who could take over"}},
        {"moving": [MOVING]},
        {"deployed": None},
    ],
)
async def test_what_the_caches_have_not_seen_yet_keeps_it_waiting(
    monkeypatch: pytest.MonkeyPatch, status: dict[str, Any]
) -> None:
    known = Installation(monkeypatch)
    kubernetes = cast(Kubernetes, known.kubernetes)
    holder = Holder((NAMESPACE, APP, "redis"), "its-pod", AgentTarget(NAMESPACE, APP, FIRST, "198.18.0.2"), begins=True)
    assert await may_not_begin(kubernetes, holder) == ""
    known.put_status(**status)
    assert await may_not_begin(kubernetes, holder)


@pytest.mark.parametrize("operation", [{"state": "Paused", "step": f"before {FIRST} → {SECOND}"}, {"step": "begin"}])
async def test_an_operation_that_has_moved_nothing_does_not_keep_it_waiting(
    monkeypatch: pytest.MonkeyPatch, operation: dict[str, Any]
) -> None:
    """A paused Switchover kept an App without a primary until somebody said resume."""
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.put_status(operation={"type": "Switchover", "state": "Running", **operation})
        _lone(known)
        await asyncio.sleep(15)
        await _renewed_again(known)


@pytest.mark.parametrize("down", ["Temporal", "the worker"])
async def test_where_the_platform_gives_no_word_a_lone_primary_has_it_from_the_watcher(
    monkeypatch: pytest.MonkeyPatch, down: str
) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.down = down == "Temporal"
        _lone(known)
        await _not_renewed(known)
        await asyncio.sleep(3)
        await _renewed_again(known)
        said = "Temporal cannot be told" if known.down else "no failover has given it"
        await eventually(lambda: f"{said}, and the watcher gives it" in known.degraded())
        known.agents.say(FIRST, "master", 8)
        await eventually(lambda: known.role(0) == "master")
        await _renewed_again(known)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"fenced": [{"node": FIRST, "component": "redis", "since": ""}]}, "only a Failover lets it in again"),
        ({"operation": {"type": "Failover", "state": "Running", "step": "choose"}}, "a Failover was begun"),
        ({"moving": [MOVING]}, f"the role was on its way from {FIRST} to {SECOND}"),
    ],
)
async def test_where_another_may_have_its_role_a_lone_primary_waits_and_it_is_said_for_what(
    monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], said: str
) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.put_status(**status)
        _lone(known)
        await asyncio.sleep(20)
        await _not_renewed(known)
        await eventually(lambda: said in known.degraded())


@pytest.mark.parametrize("replaced", [False, True])
def test_a_claim_that_is_not_believed_yet_keeps_it_waiting(replaced: bool) -> None:
    """The Arbiter holds one back whose epoch is lower than a lost holder's."""
    own = [pod("redis", number) for number in range(2)]
    waits = agent_pb2.RoleReport(process=agent_pb2.WAITING)
    claims = agent_pb2.RoleReport(process=agent_pb2.RUNNING, role="master", epoch=6)
    reports = {str(each["metadata"]["name"]): report for each, report in zip(own, (waits, claims), strict=True)}
    seen = {name: Observation(report=report) for name, report in reports.items()}
    key = (NAMESPACE, APP, "redis")
    found = lease_holders(key, own, {}, ["master"], {"master": FIRST}, seen, [SECOND] if replaced else [])
    assert [holder.target.node for holder in found] == ([FIRST] if replaced else []), "one that was replaced has none"


async def test_one_that_another_has_replaced_gets_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch, spec={"paused": True})
    async with known.watching():
        await known.settled()
        known.agents.say(SECOND, "master", 9)
        _waits(known)
        await eventually(lambda: known.role(1) == "master")
        await _not_renewed(known)


async def test_one_that_ended_before_anybody_had_noted_it_begins_where_it_alone_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the first second of an App, say: nobody else is told to be primary, and its replicas wait for it."""
    known = Installation(monkeypatch)
    async with known.watching():
        _lone(known)
        await _renewed_again(known)


async def test_of_two_that_wait_and_of_whom_nothing_is_known_neither_does(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        known.agents.say(THIRD, "replica")
        known.agents.say(SECOND, "", process=agent_pb2.WAITING, ready=False, message="waits for the word")
        _waits(known)
        await _not_renewed(known)


@pytest.mark.parametrize(
    ("operation", "state"),
    [
        ("Switchover", "Paused"),
        ("Upgrade", "Running"),
        ("Resize", "Waiting"),
        ("Restart", "Running"),
        ("Scale", "Failed"),
        ("Reconfigure", "Cancelled"),
    ],
)
async def test_whichever_operation_was_moving_its_role_and_whatever_became_of_it_it_waits(
    monkeypatch: pytest.MonkeyPatch, operation: str, state: str
) -> None:
    """Worker and watcher died as it moved: the node that took the role was cut off, with a replica that followed it."""
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        step = {"type": operation, "state": state, "step": f"{FIRST}: move its role to {SECOND}"}
        known.put_status(operation=step, moving=[MOVING])
        known.down = True
        _waits(known)
        known.agents.say(SECOND, "", process=agent_pb2.STARTING, ready=False, message="nobody hears it")
        await asyncio.sleep(20)
        await _not_renewed(known)
        known.put_status(moving=[])
        await _renewed_again(known)


async def test_a_note_that_is_left_while_temporal_is_down_counts_no_more_when_the_other_has_said_that_it_is_a_replica(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An App had no primary for as long as Temporal was down, though both nodes were there. But what the other said
    while it could still take the role is no proof, nor is what was said before the role was noted anew."""
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.put_status(moving=[MOVING])
        known.down = True
        _waits(known)
        for number in range(8):
            await asyncio.sleep(10)
            known.agents.say(SECOND, "replica", number)
        await asyncio.sleep(15)
        await _not_renewed(known)
        known.put_status(moving=[{**MOVING, "since": "2026-01-01T00:10:00Z"}])
        known.agents.say(SECOND, "replica", 9)
        await _not_renewed(known)
        await asyncio.sleep(80)
        known.agents.say(SECOND, "replica", 10)
        await _renewed_again(known)
        await eventually(lambda: "Temporal cannot be told, and the watcher gives it" in known.degraded())


@pytest.mark.parametrize("other", ["starts", "waits", "is silent"])
async def test_it_stands_however_long_while_the_other_does_not_say_that_it_has_not_taken_the_role(
    monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.put_status(moving=[MOVING])
        known.down = True
        _waits(known)
        await asyncio.sleep(600)
        if other != "is silent":
            process = agent_pb2.STARTING if other == "starts" else agent_pb2.WAITING
            known.agents.say(SECOND, "", process=process, ready=False, message="waits")
        await _not_renewed(known)
        await eventually(lambda: f"the role was on its way from {FIRST} to {SECOND}" in known.degraded())


async def test_a_role_of_another_component_that_is_on_its_way_does_not_keep_it_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Installation(monkeypatch)
    kubernetes = cast(Kubernetes, known.kubernetes)
    holder = Holder((NAMESPACE, APP, "redis"), "its-pod", AgentTarget(NAMESPACE, APP, FIRST, "198.18.0.2"), begins=True)
    known.put_status(moving=[{**MOVING, "component": "other"}])
    assert await may_not_begin(kubernetes, holder) == ""


async def test_a_status_that_was_lost_while_it_was_silent_does_not_keep_the_one_from_beginning_that_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would wait to be heard itself. Another that is silent may have the role still."""
    known = Installation(monkeypatch)
    kubernetes = cast(Kubernetes, known.kubernetes)
    holder = Holder((NAMESPACE, APP, "redis"), "its-pod", AgentTarget(NAMESPACE, APP, FIRST, "198.18.0.2"), begins=True)
    lost = {**MOVING, "source": ""}
    known.put_status(moving=[{**lost, "candidate": FIRST}])
    assert await may_not_begin(kubernetes, holder) == ""
    known.put_status(moving=[{**lost, "candidate": FIRST}, {**lost, "candidate": SECOND}])
    assert f"{SECOND}, which may have been given the role, is silent" in await may_not_begin(kubernetes, holder)
