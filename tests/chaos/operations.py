"""The operations of the matrix, each as a change of one Redis App and its way back: one App serves all cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.operations import UPDATE_CONTROL
from tests.e2e.support.day2 import RunningApp, component
from tests.e2e.support.kube import eventually
from tests.e2e.support.platform import Temporal

Spec = dict[str, Any]


def _nothing(app: RunningApp, temporal: Temporal) -> None:
    return


@dataclass(frozen=True)
class Operation:
    """``begin`` starts it; ``kind`` is its workflow type. ``afterwards``: what an operator does once it has ended, to
    have the App as wanted. ``since``: the step from which on it is of interest; empty, all of it is."""

    kind: str
    begin: Callable[[RunningApp, Temporal], None]
    afterwards: Callable[[RunningApp, Temporal], None] = _nothing
    since: str = ""

    def part(self, steps: list[str]) -> list[str]:
        """Those of its steps that are of interest."""
        return steps[steps.index(self.since) :] if self.since else steps


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


def _delete_a_replica(app: RunningApp, temporal: Temporal) -> None:
    """And the Service of its component, so that there is something to put back for everybody."""
    replica = next(node for node in app.nodes() if node != app.primary())
    app.kube.delete("service", f"{app.name}-redis-server", app.namespace, "--wait=false")
    app.kube.delete("deployment", replica, app.namespace, "--wait=false")


def _upgrade(app: RunningApp, temporal: Temporal) -> None:
    app.change(lambda spec: spec.update(runtimeVersion=NEWER))


def _upgrade_and_abort(app: RunningApp, temporal: Temporal) -> None:
    """Once the newer engine of the first node, a replica, has had its volume."""
    seen = workflows(app, UPGRADE_ABORTED, temporal)
    _upgrade(app, temporal)
    workflow_id = workflow_of(app, UPGRADE_ABORTED, temporal, seen)

    def newer_has_started() -> bool:
        states = [each for pod in app.pods().values() for each in pod["status"].get("containerStatuses", [])]
        return any(each.get("started") for each in states if each["image"].endswith(f":{NEWER}"))

    eventually("a replica runs the newer version", newer_has_started, timeout=120)
    entity = workflow_id.split(f"/{app.manifest()['metadata']['uid']}/")[0]
    temporal.run("workflow", "update", "execute", "-w", entity, "--name", UPDATE_CONTROL, "--input", '"abort"')


def _ask_for_the_former(app: RunningApp, temporal: Temporal) -> None:
    """Where a killed primary has moved the role onto the upgraded node, there was no way back, and it was completed."""

    def ended() -> str:
        message = str(app.status().get("message", ""))
        return message if "was aborted" in message or message == "as wanted" else ""

    if "was aborted" in eventually("the way back has ended", ended, timeout=300):
        app.change(lambda spec: spec.update(runtimeVersion=OLDER))


OLDER, NEWER = "7.0", "8.0"
UPGRADE_ABORTED = Operation("Upgrade", _upgrade_and_abort, _ask_for_the_former, since="rollBack#1")
OPERATIONS: dict[str, Operation] = {
    "reconfigure": Operation(
        "Reconfigure", _toggled("maxmemory", "200mb", "210mb", of=lambda spec: component(spec).setdefault("config", {}))
    ),
    "reconfigure-restarting": Operation(
        "Reconfigure", _toggled("databases", 17, 18, of=lambda spec: component(spec).setdefault("config", {}))
    ),
    "scale": Operation("Scale", _toggled("replicas", 3, 2, of=_group)),
    "resize": Operation(
        "Resize", _toggled("memory", "640Mi", "512Mi", of=lambda spec: _group(spec)["resources"]["limits"])
    ),
    "restart": Operation("Restart", _by_hand("Restart")),
    "switchover": Operation("Switchover", _by_hand("Switchover")),
    "plugin": Operation("UpgradePlugin", _toggled("version", "1.1.0", "1.0.0", of=lambda spec: spec["plugin"])),
    "repair": Operation("Repair", _delete_a_replica),
    "upgrade": Operation("Upgrade", _upgrade),
    "upgrade-aborted": UPGRADE_ABORTED,
}


def upgraded(app: RunningApp) -> bool:
    """No operation can make it what it was."""
    return bool(app.manifest()["spec"]["runtimeVersion"] == NEWER)


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
    counts: dict[str, int] = {}
    found = []
    for event in temporal.history(workflow_id):
        attributes = event.get("activityTaskScheduledEventAttributes")
        if attributes:
            name = str(attributes["activityType"]["name"])
            counts[name] = counts.get(name, 0) + 1
            found.append(f"{name}#{counts[name]}")
    return found
