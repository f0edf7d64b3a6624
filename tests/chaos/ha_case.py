"""One trial of high availability: a fault on the primary under writing clients, and what had become of it afterwards.

Two clients write all the time through the writable role's Service. The hasty one waits a second for an answer and comes
back; by it the time without writes is taken. The patient one waits long, as clients without a deadline do, so it may be
left on a connection to a node that is primary no more; it asks for ``WAIT 1`` after each write. What either was told to
be written is looked for afterwards.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

from deploy.local.instance import Instance
from tests.chaos.ha_faults import FAULTS, Fault, Scene, wait_until
from tests.chaos.observer import WRITABLE, Observer, Seen
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import eventually
from tests.e2e.support.writer import AcknowledgedWriter, outages

NOTABLE = 0.3
"""Seconds without an acknowledged write that count as an outage: a slow moment of two busy cores does not."""
PATIENCE = 10.0
SETTLED_WITHIN = 300.0


@dataclass(frozen=True)
class Outcome:
    """``back``: seconds from the fault to the first acknowledged write after the first outage, 0 without one;
    ``after``: the same from the fault's end, where writes came back only then. ``without``: seconds of all outages.
    ``both``: seconds in which two engines said that they are primary. ``settled``: from the fault's end until
    everything is as before."""

    topology: str
    fault: str
    round: int
    moved: bool
    back: float
    after: float
    without: float
    writes: int
    lost: int
    waited: int
    lost_waited: int
    both: float
    settled: float
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Times:
    """When the fault began and ended."""

    begun: float
    ended: float


@dataclass(frozen=True)
class Clients:
    hasty: AcknowledgedWriter
    patient: AcknowledgedWriter


def run_case(instance: Instance, app: RunningApp, topology: str, name: str, number: int) -> Outcome:
    """Raises AssertionError where the App does not come back to what it was; any other breach is in ``problems``."""
    attentive(app)
    scene = Scene.of(instance, app)
    prefix = f"{name}-{number}-{time.time():.0f}"
    clients = Clients(writer(app, f"{prefix}-hasty", 1.0, 0), writer(app, f"{prefix}-patient", PATIENCE, 1))
    observer = Observer(app)
    with observer, clients.hasty, clients.patient:
        eventually("writes flow", lambda: min(len(clients.hasty.times), len(clients.patient.replicated)) > 50)
        times = _struck(scene, FAULTS[name], clients.hasty)
        whole(app)
        seen = len(clients.hasty.times)
        eventually("writes flow", lambda: len(clients.hasty.times) > seen + 50)
    app.settled(SETTLED_WITHIN)
    settled = time.monotonic() - times.ended
    whole(app)
    writes = set(clients.hasty.acknowledged), set(clients.patient.acknowledged)
    lost = len(clients.hasty.lost(writes[0])) + len(clients.patient.lost(writes[1]))
    lost_waited = len(clients.patient.lost(set(clients.patient.replicated)))
    return Outcome(
        topology=topology,
        fault=name,
        round=number,
        moved=app.primary() != scene.node,
        **_durations(clients.hasty, times),
        writes=len(writes[0]) + len(writes[1]),
        lost=lost,
        waited=len(clients.patient.replicated),
        lost_waited=lost_waited,
        both=round(observer.seen.both, 1),
        settled=round(settled, 1),
        problems=_problems(lost_waited, observer.seen),
    )


def attentive(app: RunningApp) -> None:
    """Until no Sentinel is in TILT: one that stood still for two seconds, as its machine may, acts 30 s later only."""
    for node in app.nodes("redis-sentinel"):

        def untilted(service: str = node.removeprefix(f"{app.name}-")) -> bool:
            with app.client(service, 26379, timeout=2.0) as client:
                return int(client.info("sentinel")["sentinel_tilt"]) == 0

        eventually(f"{node} is not in TILT", untilted, timeout=90)


def writer(app: RunningApp, prefix: str, timeout: float, wait_replicas: int) -> AcknowledgedWriter:
    address = app.kube.service_address(f"{app.name}-redis-server-{WRITABLE}", app.namespace)
    password = app.kube.secret(f"{app.name}-credentials", app.namespace, "password")
    return AcknowledgedWriter(address, password, prefix=prefix, timeout=timeout, wait_replicas=wait_replicas)


def _struck(scene: Scene, fault: Fault, client: AcknowledgedWriter) -> Times:
    """The fault, until writes have failed and work again, or its time is over."""
    with fault.before(scene):
        whole(scene.app)
        seen = len(client.times)
        eventually("writes flow", lambda: len(client.times) > seen + 50)
        begun = time.monotonic()

        def back() -> bool:
            found = outages(client.times, begun, NOTABLE)
            return bool(found) and client.times[-1] > found[-1].end + 2.0

        with fault.during(scene):
            wait_until(back, fault.hold)
            ended = time.monotonic()
    return Times(begun, ended)


def whole(app: RunningApp) -> None:
    """Until ``replicated``."""

    def found() -> bool:
        replicated(app)
        return True

    eventually(f"{app.name} is whole", found, timeout=SETTLED_WITHIN, every=0.5)


def replicated(app: RunningApp) -> None:
    """Exactly one node is writable, and every other is a replica of it and has what it has; else LookupError."""
    states: dict[str, dict[str, object]] = {}
    for node in app.nodes():
        with app.of_node(node, timeout=2.0) as client:
            states[node] = client.info("replication")
    writable = [node for node, state in states.items() if state["role"] == WRITABLE]
    if len(writable) != 1 or app.status().get("primary") != writable[0]:
        raise LookupError(f"writable: {writable}, the status names {app.status().get('primary')}")
    address = app.kube.service_address(writable[0], app.namespace)
    replicas = [state for node, state in states.items() if node != writable[0]]
    behind = [state for state in replicas if not _follows(state, address)]
    if behind:
        raise LookupError(f"not in sync with {address}: {behind}")


def _follows(state: dict[str, object], address: str) -> bool:
    linked = state["master_host"] == address and state["master_link_status"] == "up"
    return linked and not state["master_sync_in_progress"] and state["slave_priority"] != 0


def _durations(client: AcknowledgedWriter, times: Times) -> dict[str, float]:
    found = outages(client.times, times.begun, NOTABLE)
    end = found[0].end if found else times.begun
    return {
        "back": round(end - times.begun, 2),
        "after": round(max(end - times.ended, 0.0), 2),
        "without": round(sum(each.seconds for each in found), 2),
    }


def _problems(lost_waited: int, seen: Seen) -> list[str]:
    problems = [f"{lost_waited} writes that WAIT had acknowledged are lost"] if lost_waited else []
    problems += [f"writable by their labels at once: {each}" for each in dict.fromkeys(seen.labelled)]
    problems += [f"behind the Service at once: {each}" for each in dict.fromkeys(seen.served)]
    return problems
