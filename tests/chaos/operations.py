"""The operations of the matrix, each as a change of one Redis App and its way back: one App serves all cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.support.day2 import RunningApp, component
from tests.e2e.support.kube import eventually
from tests.e2e.support.platform import Temporal

Spec = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """``begin`` starts it; ``kind`` is its workflow type."""

    kind: str
    begin: Callable[[RunningApp, Temporal], None]


def _toggled(key: str, one: Any, other: Any, *, of: Callable[[Spec], Spec]) -> Callable[[RunningApp, Temporal], None]:
    """Changes a field to whichever of the two values it does not have."""

    def begin(app: RunningApp, temporal: Temporal) -> None:
        def edit(spec: Spec) -> None:
            part = of(spec)
            part[key] = other if part.get(key) == one else one

        app.change(edit)

    return begin


def _by_hand(kind: str) -> Callable[[RunningApp, Temporal], None]:
    def begin(app: RunningApp, temporal: Temporal) -> None:
        request = json.dumps({"namespace": app.namespace, "app": app.name, "component": "redis-server"})
        temporal.run("workflow", "start", "--task-queue", "middleware", "--type", kind, "--input", request)

    return begin


def _group(spec: Spec) -> Spec:
    found: Spec = component(spec)["groups"][0]
    return found


OPERATIONS: dict[str, Operation] = {
    "reconfigure": Operation(
        "Reconfigure", _toggled("maxmemory", "200mb", "210mb", of=lambda spec: component(spec).setdefault("config", {}))
    ),
    "scale": Operation("Scale", _toggled("replicas", 3, 2, of=_group)),
    "resize": Operation(
        "Resize", _toggled("memory", "640Mi", "512Mi", of=lambda spec: _group(spec)["resources"]["limits"])
    ),
    "restart": Operation("Restart", _by_hand("Restart")),
    "switchover": Operation("Switchover", _by_hand("Switchover")),
    "plugin": Operation("UpgradePlugin", _toggled("version", "1.1.0", "1.0.0", of=lambda spec: spec["plugin"])),
}
"""An upgrade has no way back on the same App; the cases that kill in one make an App of their own."""


def upgrade(app: RunningApp, temporal: Temporal) -> None:
    app.change(lambda spec: spec.update(runtimeVersion="8.0"))


UPGRADE = Operation("Upgrade", upgrade)


def workflow_of(app: RunningApp, operation: Operation, temporal: Temporal, seen: frozenset[str]) -> str:
    """Id of the operation's workflow once it runs; ``seen``: of earlier ones."""

    def running() -> str:
        return next(iter(sorted(workflows(app, operation, temporal) - seen)), "")

    return eventually(f"{operation.kind} runs", running, timeout=60, every=0.1)


def workflows(app: RunningApp, operation: Operation, temporal: Temporal) -> frozenset[str]:
    """Ids of the operations of this kind in this App's life, those started by hand left out."""
    uid = app.manifest()["metadata"]["uid"]
    found = temporal.workflows(f'MiddlewareApp="{app.name}" AND WorkflowType="{operation.kind}"')
    ids = (str(each["execution"]["workflowId"]) for each in found)
    return frozenset(each for each in ids if f"/{uid}/{operation.kind}/" in each)


def steps(temporal: Temporal, workflow_id: str) -> list[str]:
    """Activities that the workflow has scheduled so far, in order, as ``<type>#<n>``."""
    history = json.loads(temporal.run("workflow", "show", "-w", workflow_id, "-o", "json"))
    counts: dict[str, int] = {}
    found = []
    for event in history["events"]:
        attributes = event.get("activityTaskScheduledEventAttributes")
        if attributes:
            name = str(attributes["activityType"]["name"])
            counts[name] = counts.get(name, 0) + 1
            found.append(f"{name}#{counts[name]}")
    return found
