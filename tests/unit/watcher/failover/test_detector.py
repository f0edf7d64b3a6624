"""From agents, Pods and the App to leases, signals and status: with failover by the platform."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest

from proto import agent_pb2
from tests.unit.watcher.support.fakes import eventually
from tests.unit.watcher.support.installation import FIRST, NODES, SECOND, THIRD, Installation, plugin
from tests.unit.watcher.support.objects import APP, NAMESPACE
from watcher.failover.suspicions import AGAIN_AFTER

pytestmark = pytest.mark.usefixtures("virtual_time")


async def test_the_holder_gets_its_lease_every_second_and_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        await eventually(lambda: known.renewals(FIRST) >= 4)
    times = [at for _, at in known.agents.renewed]
    assert times[3] - times[0] == pytest.approx(3.0)
    assert {node for node, _ in known.agents.renewed} == {FIRST}
    assert known.suspicions == []
    assert known.degraded() == ""


async def test_a_watcher_that_does_not_lead_any_more_renews_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.leads = False
        before, asked = known.renewals(FIRST), known.asked_to_lead
        await eventually(lambda: known.asked_to_lead >= asked + 3)
    assert known.renewals(FIRST) == before


async def test_a_renewal_that_hangs_does_not_delay_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        known.agents.refusing_renewal[FIRST] = grpc.StatusCode.DEADLINE_EXCEEDED
        known.say()
        await eventually(lambda: known.renewals(FIRST) >= 3)
    times = [at for _, at in known.agents.renewed]
    assert times[2] - times[0] == pytest.approx(2.0), "one after the other they would take 4 s"


async def test_an_agent_that_is_older_than_leases_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    known.agents.refusing_renewal[FIRST] = grpc.StatusCode.UNIMPLEMENTED
    async with known.watching():
        await known.settled()
        await asyncio.sleep(10.0)
    assert known.renewals(FIRST) == 1
    assert known.suspicions == []


async def test_without_failover_by_the_platform_nothing_is_renewed_or_suspected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for known in (Installation(monkeypatch, spec={"topology": "sentinel"}), Installation(monkeypatch)):
        if "topology" not in known.kubernetes.get_now("App", NAMESPACE, APP)["spec"]:
            known.kubernetes.put(plugin("engine"))
        async with known.watching():
            known.say()
            await eventually(lambda known=known: known.role(0) == "master")  # type: ignore[misc]
            known.agents.say(FIRST, "", process=agent_pb2.EXITED)
            await eventually(lambda known=known: known.role(0) is None)  # type: ignore[misc]
            await asyncio.sleep(10.0)
        assert (known.agents.renewed, known.suspicions) == ([], [])


async def test_a_dead_process_is_told_at_once_with_when_it_was_last_well(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    loop = asyncio.get_running_loop()
    async with known.watching():
        await known.settled()
        known.agents.say(FIRST, "", process=agent_pb2.EXITED, message="redis-server ended by itself with 137")
        began = loop.time()
        await eventually(lambda: len(known.suspicions) == 1)
        assert loop.time() - began < 0.1
        await eventually(lambda: "its workflow has been told" in known.degraded())
    told = known.suspicions[0]
    assert (told.component, told.node, told.back) == ("redis", FIRST, False)
    assert "ended by itself with 137" in told.why
    assert told.seen > 1_600_000_000_000


async def test_a_primary_that_has_just_begun_has_not_lost_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    for made in known.pods:
        known.kubernetes.remove(made)
    async with known.watching():
        for made in known.pods:  # a first Deploy's: the watcher was there before them
            known.kubernetes.put(made)
        for node in (SECOND, THIRD):
            known.agents.say(node, "", process=agent_pb2.STARTING)
        known.agents.say(FIRST, "master", 7, process=agent_pb2.STARTING)
        await eventually(lambda: known.role(0) == "master" and known.renewals(FIRST) >= 2)
        assert (known.suspicions, known.degraded()) == ([], "")


async def test_what_is_over_before_temporal_is_back_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.down = True
        known.agents.say(FIRST, "", process=agent_pb2.EXITED)
        await eventually(lambda: "Temporal has not been told yet" in known.degraded())
        known.agents.say(FIRST, "master", 7)
        await eventually(lambda: known.degraded() == "")
        known.down = False
        known.agents.say(FIRST, "", process=agent_pb2.CRASH_LOOP, message="again")
        await eventually(lambda: len(known.suspicions) == 1)
    assert "again" in known.suspicions[0].why


async def test_what_stands_is_told_when_temporal_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.down = True
        known.agents.say(FIRST, "", process=agent_pb2.EXITED)
        await eventually(lambda: "Temporal has not been told yet" in known.degraded())
        known.down = False
        await eventually(lambda: len(known.suspicions) == 1)
        await eventually(lambda: "its workflow has been told" in known.degraded())


async def test_what_stands_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.kubernetes.remove(known.kubernetes.get_now("Pod", NAMESPACE, known.pods[0]["metadata"]["name"]))
        await eventually(lambda: len(known.suspicions) >= 3, 3 * AGAIN_AFTER)
        known.agents.say(SECOND, "master", 8)
        await eventually(
            lambda: (
                known.role(1) == "master" and known.degraded() == "redis: 2 of 3 nodes are ready; not ready: " + FIRST
            )
        )
        count = len(known.suspicions)
        await asyncio.sleep(3 * AGAIN_AFTER)
        assert len(known.suspicions) == count
        assert known.renewals(SECOND) > 0


async def test_a_full_volume_and_policy_are_told_in_the_status_and_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for spec, full, words in (
        ({}, True, "its volume is full"),
        ({"paused": True}, False, "spec.paused is true"),
        ({"failover": {"automatic": False}}, False, "mw failover"),
    ):
        known = Installation(monkeypatch, spec=spec)
        async with known.watching():
            await known.settled()
            known.agents.say(FIRST, "", process=agent_pb2.BACKOFF, volume_full=full)
            await eventually(lambda known=known, words=words: words in known.degraded())  # type: ignore[misc]
            assert known.suspicions == []


async def test_a_watcher_that_begins_after_the_loss_misses_who_held_the_role_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
    known.kubernetes.remove(known.kubernetes.get_now("Pod", NAMESPACE, known.pods[0]["metadata"]["name"]))
    async with known.watching():
        known.agents.say(SECOND, "replica")
        known.agents.say(THIRD, "replica")
        await eventually(lambda: len(known.suspicions) == 1)
    assert (known.suspicions[0].node, known.suspicions[0].seen) == (FIRST, 0)
    assert known.recorded() == FIRST


async def test_a_watcher_that_has_just_begun_waits_for_the_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    known.pods[0]["metadata"]["labels"]["middleware.io/role"] = "master"
    known.kubernetes.put(known.pods[0])
    async with known.watching():
        await asyncio.sleep(1.0)
        known.say()
        await eventually(lambda: known.renewals(FIRST) >= 4)
    assert known.suspicions == []


def usage(milliseconds: list[int], state: str = "S") -> Any:
    def answer() -> agent_pb2.ProcessStatus:
        milliseconds[0] += milliseconds[1]
        return agent_pb2.ProcessStatus(pid=7, starts=1, cpu_milliseconds=milliseconds[0], kernel_state=state)

    return answer


async def test_a_process_that_hangs_is_told_and_loses_its_lease_until_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Installation(monkeypatch)
    known.agents.statuses[FIRST] = usage([500, 0])
    async with known.watching():
        await known.settled()
        known.agents.say(FIRST, "", message="getRole: timed out", ready=False)
        await eventually(lambda: len(known.suspicions) == 1)
        count = known.renewals(FIRST)
        await asyncio.sleep(5.0)
        assert known.renewals(FIRST) == count
        known.agents.say(FIRST, "master", 7)
        await eventually(lambda: known.renewals(FIRST) > count)
    assert "uses no processor time" in known.suspicions[0].why


async def test_a_process_that_is_at_work_is_only_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    known.agents.statuses[FIRST] = usage([500, 900], "R")
    async with known.watching():
        await known.settled()
        known.agents.say(FIRST, "", message="getRole: timed out", ready=False)
        await eventually(lambda: "it is given 30 s" in known.degraded())
        assert known.suspicions == []
        assert known.role(0) == "master"


async def test_a_stop_on_request_is_noted_and_a_stop_by_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    requested = agent_pb2.ProcessStatus(state=agent_pb2.STOPPED, stop_requested=True)
    known.agents.statuses[FIRST] = lambda: requested
    async with known.watching():
        await known.settled()
        known.agents.say(FIRST, "", process=agent_pb2.STOPPED)
        await eventually(lambda: "stopped on request" in known.degraded())
        assert known.suspicions == []
        known.agents.say(FIRST, "master", 7)
        await eventually(lambda: known.degraded() == "")
        requested.stop_requested = False
        known.agents.say(FIRST, "", process=agent_pb2.STOPPED)
        await eventually(lambda: len(known.suspicions) == 1)


async def test_a_stop_by_an_operation_is_its_own_business(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.put_status(operation={"type": "Restart", "workflowId": "w", "step": f"{FIRST}: roll", "state": "Running"})
        known.agents.say(FIRST, "", process=agent_pb2.STOPPED)
        live = known.kubernetes.get_now("Pod", NAMESPACE, known.pods[0]["metadata"]["name"])
        known.kubernetes.remove(live)
        await eventually(lambda: "not ready" in known.degraded())
        await asyncio.sleep(5.0)
        assert known.suspicions == []
        known.put_status(operation={"type": "Restart", "workflowId": "w", "step": "", "state": "Completed"})
        await eventually(lambda: len(known.suspicions) == 1)


async def test_an_isolated_node_is_told_and_gets_no_lease_until_it_is_heard_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.agents.cut_off(FIRST)
        known.agents.say(SECOND, "replica", ready=False)
        known.agents.say(THIRD, "replica", ready=False)
        await eventually(lambda: len(known.suspicions) == 1)
        count = known.renewals(FIRST)
        del known.agents.refusing[FIRST]
        await asyncio.sleep(5.0)
        assert known.renewals(FIRST) == count, "only its own word gives it its lease back"
        known.agents.say(FIRST, "master", 7)
        await eventually(lambda: known.renewals(FIRST) > count)
        await eventually(lambda: known.degraded() == "")
    assert "is isolated" in known.suspicions[0].why


@pytest.mark.parametrize("reachable", [True, False])
async def test_a_node_that_only_the_platform_cannot_see_is_noted(
    monkeypatch: pytest.MonkeyPatch, reachable: bool
) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        for node in NODES[:1] if reachable else NODES:
            known.agents.cut_off(node)
        words = "only the platform cannot see it" if reachable else "nobody could take over"
        await eventually(lambda: words in known.degraded())
        assert known.suspicions == []
        assert known.role(0) == "master"


async def test_a_clock_that_differs_is_told_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        now = time.time_ns() // 1_000_000
        known.agents.say(SECOND, "replica", now=now + 61_000)
        await eventually(lambda: "is about 60 s ahead: set it right" in known.degraded())
        assert known.suspicions == []
        known.agents.say(SECOND, "replica", now=now)
        await eventually(lambda: known.degraded() == "")


async def test_a_secret_edited_by_hand_replaces_no_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its engine refuses the new password, so its role is not told any more; but it answers, and takes writes."""
    known = Installation(monkeypatch)
    async with known.watching():
        await known.settled()
        known.agents.say(FIRST, "", ready=False, message="login failed", credentials_refused=True)
        await asyncio.sleep(40.0)
    assert known.suspicions == []
    assert known.role(0) == "master"
