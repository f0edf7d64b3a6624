"""Of several replicas one acts; who loses the Lease stops."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from clients.kubernetes import Kubernetes
from tests.unit.watcher.support.fakes import FakeKubernetes, eventually, unavailable
from watcher.leader_election import LeaderElection, LostLeaseError, Timing

pytestmark = pytest.mark.usefixtures("virtual_time")

TIMING = Timing()


class Clock:
    """The loop's time and that in which the machine was suspended, which the loop does not count."""

    suspended = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.suspended


class Candidate:
    """One replica: whether its work runs."""

    def __init__(self, kubernetes: FakeKubernetes, identity: str) -> None:
        self.acts, self.clock = False, Clock()
        self.lease = LeaderElection(cast(Kubernetes, kubernetes), "system", "watcher", identity, self.clock)
        self.task = asyncio.create_task(self.lease.lead(self.work))

    async def work(self) -> None:
        self.acts = True
        try:
            await asyncio.Event().wait()
        finally:
            self.acts = False

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def holder(kubernetes: FakeKubernetes) -> Any:
    return kubernetes.get_now("Lease", "system", "watcher")["spec"]["holderIdentity"]


async def test_one_of_two_acts_and_the_other_follows_at_once_after_a_clean_end() -> None:
    kubernetes = FakeKubernetes()
    first = Candidate(kubernetes, "first")
    await eventually(lambda: first.acts)
    second = Candidate(kubernetes, "second")
    await asyncio.sleep(2 * TIMING.duration)  # longer than a lease that nobody renews would last
    assert first.acts
    assert not second.acts
    started = asyncio.get_running_loop().time()
    await first.end()
    await eventually(lambda: second.acts)
    assert asyncio.get_running_loop().time() - started <= TIMING.period + 0.01
    await second.end()
    assert holder(kubernetes) == ""


async def test_a_leader_whose_machine_was_suspended_knows_at_once() -> None:
    """It renewed leases of primaries that another leader had replaced meanwhile."""
    first = Candidate(FakeKubernetes(), "first")
    await eventually(lambda: first.acts)
    assert first.lease.held
    first.clock.suspended = TIMING.deadline
    assert not first.lease.held
    await eventually(lambda: not first.acts)
    assert isinstance((await asyncio.gather(first.task, return_exceptions=True))[0], LostLeaseError)


async def test_a_leader_that_died_is_followed_when_its_lease_has_run_out() -> None:
    kubernetes = FakeKubernetes()
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": TIMING.duration, "renewTime": "long ago by its own clock"}
    metadata = {"name": "watcher", "namespace": "system"}
    kubernetes.put({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
    started = asyncio.get_running_loop().time()
    candidate = Candidate(kubernetes, "next")
    await eventually(lambda: candidate.acts, 2 * TIMING.duration)
    assert TIMING.duration <= asyncio.get_running_loop().time() - started <= TIMING.duration + TIMING.period
    assert kubernetes.get_now("Lease", "system", "watcher")["spec"]["leaseTransitions"] == 1
    await candidate.end()


async def test_a_restarted_container_goes_on_where_its_predecessor_stopped() -> None:
    kubernetes = FakeKubernetes()
    spec = {"holderIdentity": "pod-a", "leaseDurationSeconds": 60, "renewTime": "a moment ago"}
    metadata = {"name": "watcher", "namespace": "system"}
    kubernetes.put({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
    candidate = Candidate(kubernetes, "pod-a")
    await eventually(lambda: candidate.acts, timeout=0.1)
    await candidate.end()


async def test_a_leader_that_cannot_renew_stops_before_anybody_else_may_begin() -> None:
    kubernetes = FakeKubernetes()
    candidate = Candidate(kubernetes, "first")
    await eventually(lambda: candidate.acts)
    kubernetes.fail = lambda verb, name: unavailable()
    started = asyncio.get_running_loop().time()
    with pytest.raises(LostLeaseError, match="could not be renewed"):
        await candidate.task
    assert not candidate.acts
    assert asyncio.get_running_loop().time() - started < TIMING.duration


async def test_a_short_outage_of_the_api_server_is_no_loss() -> None:
    kubernetes = FakeKubernetes()
    candidate = Candidate(kubernetes, "first")
    await eventually(lambda: candidate.acts)
    kubernetes.fail = lambda verb, name: unavailable()
    await asyncio.sleep(TIMING.deadline / 2)
    kubernetes.fail = lambda verb, name: None
    await asyncio.sleep(2 * TIMING.deadline)
    assert candidate.acts
    await candidate.end()


async def test_a_lease_taken_by_somebody_else_ends_the_work() -> None:
    kubernetes = FakeKubernetes()
    candidate = Candidate(kubernetes, "first")
    await eventually(lambda: candidate.acts)
    lease = kubernetes.get_now("Lease", "system", "watcher")
    kubernetes.put({**lease, "spec": {**lease["spec"], "holderIdentity": "second"}})
    with pytest.raises(LostLeaseError, match="second"):
        await candidate.task
    assert not candidate.acts
    assert holder(kubernetes) == "second"


async def test_work_that_fails_is_told_and_the_lease_is_free() -> None:
    kubernetes = FakeKubernetes()
    lease = LeaderElection(cast(Kubernetes, kubernetes), "system", "watcher", "first")

    async def work() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await lease.lead(work)
    assert holder(kubernetes) == ""
