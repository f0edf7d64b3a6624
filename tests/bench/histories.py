"""What the stored histories say about where time went."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from tests.e2e.support.platform import Temporal


def activity_seconds(temporal: Temporal, uid: str) -> dict[str, float]:
    """Seconds per activity type over all workflows of one App's life, from scheduling to completion."""
    total: dict[str, float] = {}
    for workflow in temporal.workflows('WorkflowType IN ("Deploy", "Component", "Group")'):
        workflow_id = workflow["execution"]["workflowId"]
        if f"/{uid}/" not in workflow_id:
            continue
        history = json.loads(temporal.run("workflow", "show", "-w", workflow_id, "-o", "json"))
        for name, seconds in _activities(history["events"]):
            total[name] = total.get(name, 0.0) + seconds
    return total


def activity_ends(events: list[dict[str, Any]]) -> dict[str, float]:
    """Unix seconds at which the last activity of each type was completed."""
    types = {
        event["eventId"]: event["activityTaskScheduledEventAttributes"]["activityType"]["name"]
        for event in events
        if "activityTaskScheduledEventAttributes" in event
    }
    return {
        types[done["scheduledEventId"]]: datetime.fromisoformat(event["eventTime"]).timestamp()
        for event in events
        if (done := event.get("activityTaskCompletedEventAttributes"))
    }


def _activities(events: list[dict[str, Any]]) -> list[tuple[str, float]]:
    scheduled: dict[str, tuple[str, datetime]] = {}
    found: list[tuple[str, float]] = []
    for event in events:
        when = datetime.fromisoformat(event["eventTime"])
        if attributes := event.get("activityTaskScheduledEventAttributes"):
            scheduled[event["eventId"]] = (attributes["activityType"]["name"], when)
        elif attributes := event.get("activityTaskCompletedEventAttributes"):
            name, start = scheduled[attributes["scheduledEventId"]]
            found.append((name, (when - start).total_seconds()))
    return found
