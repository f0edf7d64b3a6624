"""What tests of failover share: the App of a topology, a fault on its primary, a pair of data nodes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.local.instance import Instance
from tests.chaos.ha import new_app, remove_app
from tests.chaos.ha_case import run_case
from tests.chaos.ha_faults import HEARS_NOTHING, SAYS_NOTHING
from tests.chaos.insides import engine, filtered
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import eventually
from tests.support.stalls import stalled


@contextmanager
def steady(instance: Instance, name: str, topology: str) -> Iterator[RunningApp]:
    app = new_app(instance, name, topology)
    yield app
    remove_app(instance, app)


def fault_on_the_primary(app: RunningApp, instance: Instance, topology: str, fault: str, seconds: float) -> None:
    """What ``WAIT`` acknowledged is there, never were two nodes writable through the Service, and everything is as
    before; after ``seconds`` at most writes are acknowledged again."""
    began = time.monotonic()
    outcome = run_case(instance, app, topology, fault, 0)
    print(outcome)
    assert outcome.problems == []
    # The first outage need not be the fault's: where the engine is back within a moment a slow one may be counted that
    # comes much later. All outages together are no longer than the fault's may be then.
    assert min(outcome.back, outcome.without) <= seconds or stalled(began) or tilted(app)


def tilted(app: RunningApp) -> bool:
    """Whether too few Sentinels are left to elect anybody: one that hung for 2 s, waiting for its disk, say, does
    nothing for 30 s."""
    voters = app.nodes("redis-sentinel")

    def waits(node: str) -> bool:
        with app.client(node.removeprefix(f"{app.name}-"), 26379) as sentinel:
            return bool(sentinel.info("sentinel")["sentinel_tilt"])

    return bool(voters) and sum(map(waits, voters)) * 2 > len(voters)


@dataclass(frozen=True)
class Pair:
    """Of an App with two data nodes, by name, and their Pods."""

    primary: str
    replica: str
    pods: dict[str, str]

    @classmethod
    def of(cls, app: RunningApp) -> Pair:
        """Settled, and with a write that both have."""
        app.settled()
        primary, pods = app.primary(), {node: pod["metadata"]["name"] for node, pod in app.pods().items()}
        with app.of_node(primary) as client:
            client.set("kept", primary)
            assert client.execute_command("WAIT", 1, 5000) == 1
        return cls(primary, next(node for node in pods if node != primary), pods)

    def end_replica(self) -> None:
        """Its engine; its agent starts it again at once, and it waits for a primary."""
        os.kill(engine(self.pods[self.replica]), signal.SIGKILL)


@contextmanager
def primary_lost(app: RunningApp, pair: Pair) -> Iterator[None]:
    """Nothing reaches it any more, nor it anything, as where its machine is lost. The replica has taken over before it
    is back; then the App is whole again."""
    try:
        with filtered(pair.pods[pair.primary], HEARS_NOTHING, SAYS_NOTHING):
            yield
            eventually("writes are acknowledged again", lambda: serves(app, pair), timeout=90)
            assert app.primary() == pair.replica
    finally:
        app.settled()
    with app.of_node(pair.primary) as client:
        assert (client.info("replication")["role"], client.get("kept")) == ("slave", pair.primary)


def serves(app: RunningApp, pair: Pair) -> bool:
    """Through the Service, with what was there before."""
    with app.client(timeout=1.0) as client:
        return bool(client.set("after", 1)) and client.get("kept") == pair.primary
