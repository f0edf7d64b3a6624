"""Few histories that together do all that many do. Pure.

What a history does is the set of its *turns*: in a workflow of this type this began after that (an activity, a child of
any type, a signal to another); a child of this type began; something ended badly; a signal arrived; the workflow ended
like this. So a branch of a workflow that any history takes is taken by a chosen one. Timers are left out: how many
there are depends on the speed of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from google.protobuf.message import Message
from temporalio.client import WorkflowHistory

from api.operations import ENTITY_WORKFLOW

_BEGINNINGS = frozenset(
    {
        "activity_task_scheduled",
        "start_child_workflow_execution_initiated",
        "signal_external_workflow_execution_initiated",
        "marker_recorded",
    }
)
_OTHERS = frozenset(
    {
        "activity_task_cancel_requested",
        "activity_task_failed",
        "activity_task_timed_out",
        "activity_task_canceled",
        "request_cancel_external_workflow_execution_initiated",
        "child_workflow_execution_failed",
        "child_workflow_execution_canceled",
        "child_workflow_execution_terminated",
        "workflow_execution_signaled",
        "workflow_execution_update_accepted",
        "workflow_execution_completed",
        "workflow_execution_failed",
        "workflow_execution_canceled",
        "workflow_execution_continued_as_new",
    }
)


def chosen(histories: Mapping[str, WorkflowHistory]) -> list[str]:
    """Their names, in order. The same for the same histories."""
    left = {name: turns(history) for name, history in sorted(histories.items())}
    missing = frozenset[str]().union(*left.values())
    found = []
    while missing:
        best = max(left, key=lambda name: len(left[name] & missing))
        found.append(best)
        missing -= left.pop(best)
    return sorted(found)


def turns(history: WorkflowHistory) -> frozenset[str]:
    """What it does."""
    started = history.events[0].workflow_execution_started_event_attributes
    workflow = started.workflow_type.name
    if workflow != ENTITY_WORKFLOW and not started.HasField("parent_workflow_execution"):
        workflow = "by hand"  # which all operations have in common
    names: dict[int, str] = {}
    beginnings, found = [""], set[str]()
    for event in history.events:
        field = event.WhichOneof("attributes") or ""
        kind, attributes = field.removesuffix("_event_attributes"), getattr(event, field)
        name = names[event.event_id] = _name(attributes) or names.get(getattr(attributes, "scheduled_event_id", 0), "")
        if kind.startswith("start_child"):
            found.add(f"{kind} {name}")
        if "child" in kind:
            name = ""
        if kind in _BEGINNINGS:
            beginnings.append(f"{kind} {name}")
        elif kind in _OTHERS:
            found.add(f"{kind} {name}")
    found |= {f"{before} → {after}" for before, after in pairwise(beginnings)}
    return frozenset(f"{workflow}: {each}" for each in found)


def _name(attributes: Message) -> str:
    """Of the activity, workflow or signal that an event is about."""
    for field, value in attributes.ListFields():
        if field.name in ("activity_type", "workflow_type"):
            return str(value.name)
        if field.name == "signal_name":
            return str(value)
    return ""
