"""What each day-2 operation asks of Temporal: activities and history events, those of workflows below it included.

All on one App, which must be of the older version and as wanted: what ends at the newer one comes last. An Upgrade that
is aborted is left out: whether the abort is in time is a matter of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.case import settle
from tests.chaos.operations import OPERATIONS, Operation, workflow_of, workflows
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.platform import Temporal

ORDER = (
    ("Reconfigure of a dynamic parameter", "reconfigure"),
    ("Reconfigure with a restart of the engines", "reconfigure-restarting"),
    ("UpgradePlugin", "plugin"),
    ("Scale out by one node", "scale"),
    ("Scale in by one node", "scale"),
    ("Resize", "resize"),
    ("Restart", "restart"),
    ("Switchover", "switchover"),
    ("Repair of a Service and a Deployment", "repair"),
    ("Upgrade", "upgrade"),
)


@dataclass(frozen=True)
class Size:
    """``workflows``: more than one where it has some below it, or was begun anew."""

    name: str
    activities: int
    events: int
    workflows: int

    def __str__(self) -> str:
        several = f", in {self.workflows} workflows" if self.workflows > 1 else ""
        return f"{self.name}: {self.activities} activities, {self.events} events{several}"


def sizes(app: RunningApp, temporal: Temporal) -> Iterator[Size]:
    """Of each operation in turn, as soon as it has ended."""
    for name, key in ORDER:
        yield _carried_out(app, temporal, name, OPERATIONS[key])


def _carried_out(app: RunningApp, temporal: Temporal, name: str, operation: Operation) -> Size:
    seen = workflows(app, operation, temporal)
    operation.begin(app, temporal)
    workflow_of(app, operation, temporal, seen)
    operation.afterwards(app, temporal)
    settle(app, operation, temporal, seen)
    histories = [_events(temporal, each) for each in _with_those_below(app, operation, temporal, seen)]
    activities = sum("activityTaskScheduledEventAttributes" in event for events in histories for event in events)
    return Size(name, activities, sum(map(len, histories)), len(histories))


def _with_those_below(
    app: RunningApp, operation: Operation, temporal: Temporal, seen: frozenset[str]
) -> frozenset[str]:
    """Ids of the operation's workflows; of one below another the id begins with the other's."""
    own = workflows(app, operation, temporal) - seen
    everything = temporal.workflows(f'MiddlewareApp="{app.name}" AND MiddlewareNamespace="{app.namespace}"')
    ids = (str(each["execution"]["workflowId"]) for each in everything)
    return own | {each for each in ids if any(each.startswith(f"{parent}/") for parent in own)}


def _events(temporal: Temporal, workflow_id: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(temporal.run("workflow", "show", "-w", workflow_id, "-o", "json"))[
        "events"
    ]
    return found
