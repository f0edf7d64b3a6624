"""From what agents say to what a person sees: the App's message, its conditions, Events and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from api.effective import Effective
from proto import agent_pb2
from tests.unit.watcher.support.fakes import eventually
from tests.unit.watcher.support.installation import ADDRESSES, FIRST, SECOND, THIRD, Installation
from tests.unit.watcher.support.objects import APP, NAMESPACE, metadata

pytestmark = pytest.mark.usefixtures("virtual_time")


class Seen:
    """What a person sees of the App."""

    def __init__(self, known: Installation) -> None:
        self._known = known

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self._known.kubernetes.get_now("App", NAMESPACE, APP)["status"]
        return status

    def as_wanted(self) -> bool:
        return (self.status.get("phase"), self.status.get("message")) == ("Running", "as wanted")

    def condition(self, kind: str) -> tuple[str, str]:
        found = next(each for each in self.status["conditions"] if each["type"] == kind)
        return found["status"], found["reason"]

    def whole_condition(self, kind: str) -> object:
        """With its time."""
        return next(each for each in self.status["conditions"] if each["type"] == kind)

    def events(self, reason: str) -> list[str]:
        found = [each for (kind, _, _), each in self._known.kubernetes.objects.items() if kind == "Event"]
        return [each["message"] for each in found if each["reason"] == reason]

    def metric(self, name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"namespace": NAMESPACE, "app": APP, **labels})


def well(known: Installation) -> None:
    known.agents.say(FIRST, "master", 7, writes=agent_pb2.WRITES_ACCEPTED)
    for replica in (SECOND, THIRD):
        known.agents.say(replica, "replica", follows=ADDRESSES[0])


@asynccontextmanager
async def as_wanted(monkeypatch: pytest.MonkeyPatch, **app: Any) -> AsyncIterator[tuple[Installation, Seen]]:
    """An App that is seen to be as wanted, while a watcher looks at it."""
    known = Installation(monkeypatch, **app)
    seen = Seen(known)
    async with known.watching():
        well(known)
        await eventually(seen.as_wanted)
        yield known, seen


async def test_two_nodes_that_claim_an_exclusive_role_are_told_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen after a node's Service had come back with another address: "Running, as wanted" for minutes."""
    # In this topology the platform does not replace the holder.
    async with as_wanted(monkeypatch, spec={"topology": "sentinel"}) as (known, seen):
        assert seen.metric("middleware_app_as_wanted") == 1
        known.agents.say(SECOND, "master", 8, writes=agent_pb2.WRITES_ACCEPTED)
        said = f"{FIRST} and {SECOND} both claim the role master"
        await eventually(lambda: said in seen.status["message"], timeout=1.0)
        assert seen.status["phase"] == "Degraded"
        assert seen.condition("SingleHolder") == ("False", "TwoHolders")
        assert seen.condition("Ready") == ("False", "TwoHolders")
        assert seen.metric("middleware_app_as_wanted") == 0
        assert seen.metric("middleware_app_problems", reason="TwoHolders") == 1
        await eventually(lambda: seen.events("TwoHolders") == [said], timeout=10.0)
        known.agents.say(FIRST, "replica", follows=ADDRESSES[1])
        known.agents.say(THIRD, "replica", follows=ADDRESSES[1])
        await eventually(seen.as_wanted)
        assert seen.condition("SingleHolder") == ("True", "OneAtMost")
        assert seen.metric("middleware_app_problems", reason="TwoHolders") is None


@pytest.mark.parametrize("topology", ["sentinel", "replication"])
async def test_a_primary_on_a_dead_machine_and_its_successor_are_not_two_holders(
    monkeypatch: pytest.MonkeyPatch, topology: str
) -> None:
    """They were told as two for as long as the machine was away: nobody could know then whether it was so."""
    async with as_wanted(monkeypatch, spec={"topology": topology}) as (known, seen):
        if topology == "replication":
            known.fence(FIRST)
        else:
            known.agents.hang(FIRST)
            await eventually(lambda: f"{FIRST}: the agent hangs" in seen.status["message"], timeout=15.0)
            assert seen.condition("Ready")[0] == "True", "it has the label still"
        known.agents.say(SECOND, "master", 8, writes=agent_pb2.WRITES_ACCEPTED)
        known.agents.say(THIRD, "replica", follows=ADDRESSES[1])
        await eventually(lambda: known.role(1) == "master" and seen.status["primary"] == SECOND)
        await asyncio.sleep(5.0)
        assert "both claim" not in seen.status["message"]
        assert seen.condition("SingleHolder") == ("Unknown", "NotTold")
        assert not seen.events("TwoHolders")


@pytest.mark.parametrize("name", [f"{APP}-redis-master", f"{APP}-redis"])
async def test_a_service_that_somebody_deleted_is_told_though_nobody_puts_it_back(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With the worker down: its clients reached nobody, and the App was as wanted."""
    async with as_wanted(monkeypatch) as (known, seen):
        service = known.kubernetes.get_now("Service", NAMESPACE, name)
        known.kubernetes.remove(service)
        said = f"the Service {name} is missing, so its clients reach nobody"
        await eventually(lambda: seen.status["message"] == said, timeout=1.0)
        assert seen.status["primary"] == FIRST, "which role it was for is known from the plugin"
        assert seen.condition("Ready") == ("False", "ServiceMissing")
        await eventually(lambda: seen.events("ServiceMissing") == [said], timeout=20.0)
        known.kubernetes.put(service)
        await eventually(seen.as_wanted)


async def test_a_claim_that_somebody_deleted_is_told_while_its_pod_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The App was as wanted, and the node's data gone at the next restart."""
    async with as_wanted(monkeypatch) as (known, seen):
        labels = {"middleware.io/app": APP}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata(SECOND, labels), "spec": {}}
        known.kubernetes.put(claim)
        going = metadata(SECOND, labels, deletionTimestamp="2026-01-01T00:00:00Z")
        known.kubernetes.put({**claim, "metadata": going})
        await eventually(lambda: f"the volume claim of {SECOND} was deleted" in seen.status["message"], timeout=1.0)
        assert seen.condition("Degraded") == ("True", "VolumeGoing")
        await eventually(lambda: len(seen.events("VolumeGoing")) == 1, timeout=10.0)
        known.kubernetes.remove(claim)
        await eventually(seen.as_wanted)


async def test_a_primary_that_refuses_every_write_is_told_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    async with as_wanted(monkeypatch) as (known, seen):
        refusal = "NOREPLICAS Not enough good replicas to write."
        known.agents.say(FIRST, "master", 7, writes=agent_pb2.WRITES_REFUSED, refusal=refusal)
        await eventually(lambda: refusal in seen.status["message"], timeout=1.0)
        assert seen.condition("WritesAccepted") == ("False", "WritesRefused")
        assert seen.condition("Ready") == ("False", "WritesRefused")
        await eventually(lambda: len(seen.events("WritesRefused")) == 1, timeout=10.0)
        assert known.role(0) == "master", "its clients still read from it"


async def test_a_secret_that_does_not_open_the_engine_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    async with as_wanted(monkeypatch) as (known, seen):
        known.agents.say(SECOND, "replica", follows=ADDRESSES[0], credentials_refused=True)
        await eventually(lambda: seen.condition("CredentialsAccepted") == ("False", "CredentialsRefused"), timeout=1.0)
        assert "does not accept the credentials" in seen.status["message"]
        await eventually(lambda: len(seen.events("CredentialsRefused")) == 1, timeout=10.0)


async def test_each_edit_of_a_password_wakes_the_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that follows on an edit that could not be carried out."""
    async with as_wanted(monkeypatch) as (known, seen):
        for number, mount in enumerate(("..1", "..2"), start=1):
            known.agents.say(SECOND, "replica", follows=ADDRESSES[0], credentials_changed=mount)
            await eventually(lambda number=number: len(known.woken) == number, timeout=10.0)  # type: ignore[misc]
            assert "holds another password" in seen.status["message"]
            assert seen.condition("CredentialsAccepted") == ("False", "CredentialsChanged")
        assert seen.condition("Ready")[0] == "True", "the engines go on with the one in use"
        known.agents.say(SECOND, "replica", follows=ADDRESSES[0])
        await eventually(lambda: known.woken[2:] == ["an edited password was taken back"], timeout=10.0)


async def test_a_replica_of_the_wrong_node_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with as_wanted(monkeypatch) as (known, seen):
        known.agents.say(THIRD, "replica", follows=ADDRESSES[1])
        await eventually(lambda: seen.status["message"] == f"{THIRD} follows {SECOND} and not {FIRST}", timeout=1.0)
        assert known.woken == [], "the engine may be at it itself"
        await eventually(lambda: len(seen.events("FollowsAnother")) == 1, timeout=30.0)
        assert known.woken == [f"{THIRD} follows {SECOND} and not {FIRST}"]


async def test_what_operations_have_noted_on_a_node_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that its engine does not announce, and a parameter that it did not take."""
    known = Installation(monkeypatch)
    seen = Seen(known)

    def noted(api_version: str, kind: str, **annotations: str) -> dict[str, Any]:
        named = {f"middleware.io/{key}": value for key, value in annotations.items()}
        labels = {"middleware.io/app": APP, "middleware.io/component": "redis"}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata(SECOND, labels, annotations=named)}

    async with known.watching():
        well(known)
        await eventually(seen.as_wanted)
        known.kubernetes.put(noted("apps/v1", "Deployment", address="198.19.1.77"))
        said = f"the Service of {SECOND} has the address {ADDRESSES[1]}, its engine announces 198.19.1.77"
        await eventually(lambda: seen.status["message"] == said)
        known.kubernetes.put(noted("apps/v1", "Deployment", address=ADDRESSES[1]))
        await eventually(seen.as_wanted)
        differs = Effective("a", "b", differs={"maxclients": ["10000", "4064"]}).annotation()
        known.kubernetes.put(noted("v1", "ConfigMap", effective=differs))
        said = f"{SECOND} runs with maxclients 4064, asked for was 10000"
        await eventually(lambda: seen.status["message"] == said)
        assert seen.condition("ParametersInEffect") == ("False", "ParametersDiffer")
        assert seen.condition("Ready")[0] == "True"
        known.kubernetes.put(noted("v1", "ConfigMap", effective="{}"))
        await eventually(seen.as_wanted)


async def test_an_agent_that_is_not_heard_any_more_leaves_nothing_to_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    async with as_wanted(monkeypatch) as (known, seen):
        await asyncio.sleep(30.0)  # beyond the time in which a new Pod's agent is only starting
        known.agents.break_stream(THIRD)
        await eventually(lambda: seen.status["phase"] == "Degraded", timeout=10.0)
        assert seen.condition("SingleHolder")[0] == "Unknown"


async def test_an_agent_that_is_heard_again_within_seconds_was_no_degraded_app(monkeypatch: pytest.MonkeyPatch) -> None:
    async with as_wanted(monkeypatch) as (known, seen):
        before = seen.whole_condition("Degraded")
        for _ in range(3):
            known.agents.break_stream(THIRD)
            await asyncio.sleep(3.0)
            assert seen.as_wanted()
            known.agents.say(THIRD, "replica", follows=ADDRESSES[0])
            await asyncio.sleep(30.0)
        assert seen.whole_condition("Degraded") == before, "nor for a moment"


async def test_a_new_watcher_does_not_call_an_app_degraded_for_want_of_having_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with as_wanted(monkeypatch) as (known, seen):
        pass
    async with known.watching():
        for _ in range(18):  # as long as its streams say nothing of an agent that they do not reach
            await asyncio.sleep(1.0)
            assert seen.as_wanted()
        await eventually(lambda: seen.status["phase"] == "Degraded", timeout=10.0)


async def test_a_new_watcher_tells_what_is_wrong_also_while_not_every_agent_has_been_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with as_wanted(monkeypatch) as (known, seen):
        pass
    async with known.watching():
        known.agents.say(FIRST, "master", 7, writes=agent_pb2.WRITES_REFUSED, refusal="MISCONF its last save failed")
        await eventually(lambda: "MISCONF" in seen.status["message"], timeout=8.0)
