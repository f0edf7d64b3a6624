"""One case: an operation, a step of it, a fault at that step; afterwards everything is as if nothing had happened."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from deploy.local.instance import Instance
from tests.chaos.faults import FAULTS, KILLS_ENGINES
from tests.chaos.operations import Operation, steps, workflow_of, workflows
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import eventually
from tests.e2e.support.platform import Temporal

SETTLED_WITHIN = 300.0
"""Seconds: a dead worker is noticed after 20, a node may have to sync anew."""


@dataclass(frozen=True)
class Result:
    operation: str
    step: str
    fault: str
    seconds: float
    writes: int
    error_seconds: float
    lost: int
    """Acknowledged without WAIT, and gone with an engine that was killed: replication is asynchronous."""

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def run_case(
    instance: Instance, app: RunningApp, temporal: Temporal, name: str, operation: Operation, step: str, fault: str
) -> Result:
    """Raises AssertionError where an acknowledged write is lost, the App does not settle, or two nodes are writable.

    A step that is over before the fault hits is as good a moment as any other: the fault comes right after it then. So
    is the end of an operation that had no such step this time: one of fewer nodes has fewer.
    """
    seen = workflows(app, operation, temporal)
    kills_engines = fault == KILLS_ENGINES
    prefix = f"{name}-{step}-{fault}".replace("#", "-")
    with app.load(prefix, SETTLED_WITHIN, may_lose=kills_engines) as writer:
        began = time.monotonic()
        operation.begin(app, temporal)
        workflow_id = workflow_of(app, operation, temporal, seen)
        eventually(f"{step} was scheduled", lambda: _reached(temporal, workflow_id, step), timeout=120, every=0.05)
        FAULTS[fault](instance, app)
        operation.afterwards(app, temporal)
        settle(app, operation, temporal, seen)
        seconds = time.monotonic() - began
    # A killed agent's container may be in the kubelet's back-off still, though the App was seen ready before.
    masters = eventually("every node answers", lambda: [n for n in app.nodes() if is_writable(app, n)], timeout=60)
    assert len(masters) == 1, f"writable: {masters}"
    eventually("the status names it", lambda: app.status().get("primary") == masters[0])
    lost = len(writer.lost(writer.acknowledged)) if kills_engines else 0
    errors = round(sum(writer.error_windows), 2)
    return Result(name, step, fault, round(seconds, 1), len(writer.acknowledged), errors, lost)


def _reached(temporal: Temporal, workflow_id: str, step: str) -> bool:
    return step in steps(temporal, workflow_id) or not temporal.workflows(
        f'WorkflowId="{workflow_id}" AND ExecutionStatus="Running"'
    )


def settle(app: RunningApp, operation: Operation, temporal: Temporal, seen: frozenset[str]) -> None:
    """Until no operation of the kind runs and the App is as wanted."""
    deadline = time.monotonic() + SETTLED_WITHIN

    def ended() -> bool:
        found = temporal.workflows(f'MiddlewareApp="{app.name}" AND ExecutionStatus="Running"')
        return not [each for each in found if each["type"]["name"] == operation.kind]

    while True:
        app.settled(max(deadline - time.monotonic(), 1.0))
        if ended():
            return
        assert time.monotonic() < deadline, f"{operation.kind} does not end"
        time.sleep(0.5)


def is_writable(app: RunningApp, node: str) -> bool:
    with app.of_node(node) as client:
        return str(client.info("replication")["role"]) == "master"
