"""Which histories a recording stores, and what it stores of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

from tests.replay.selection import chosen
from tests.replay.stored import named, read, write

STARTED = "WORKFLOW_EXECUTION_STARTED"


def history(*events: tuple[str, dict[str, Any]], id: str = "test/app/demo/x", at: int = 0) -> WorkflowHistory:
    """Of an entity: its start, then these events."""
    started = (STARTED, {"workflowType": {"name": "App"}, "workflowId": id, "identity": "1@machine"})
    raw = []
    for number, (kind, attributes) in enumerate([started, *events], start=1):
        words = kind.lower().split("_")
        field = words[0] + "".join(word.title() for word in words[1:]) + "EventAttributes"
        event = {"eventId": number, "eventTime": f"2026-01-02T03:04:{at:02}Z", "eventType": f"EVENT_TYPE_{kind}"}
        raw.append({**event, field: attributes})
    return WorkflowHistory.from_json(id, {"events": raw})


def does(*activities: str) -> list[tuple[str, dict[str, Any]]]:
    return [("ACTIVITY_TASK_SCHEDULED", {"activityType": {"name": name}}) for name in activities]


def test_what_does_nothing_that_another_does_not_is_left_out() -> None:
    found = chosen({"a": history(*does("load")), "b": history(*does("load", "report")), "c": history(*does("report"))})
    assert found == ["b", "c"]


def test_another_order_is_something_else() -> None:
    assert len(chosen({"a": history(*does("load", "report")), "b": history(*does("report", "load"))})) == 2


def test_a_bad_end_and_a_signal_are_something_else_too() -> None:
    failed = ("ACTIVITY_TASK_FAILED", {"scheduledEventId": "2"})
    signaled = ("WORKFLOW_EXECUTION_SIGNALED", {"signalName": "notice"})
    for event in (failed, signaled):
        assert chosen({"a": history(*does("load")), "b": history(*does("load"), event)}) == ["b"]


def test_how_long_it_took_is_not() -> None:
    timer = ("TIMER_STARTED", {"timerId": "1", "startToFireTimeout": "5s"})
    assert chosen({"a": history(*does("load")), "b": history(timer, *does("load"))}) == ["a"]


def test_runs_are_numbered_in_their_order() -> None:
    first, second = history(at=1), history(*does("load"), at=2)
    child = history(id="test/app/demo/x/uid-x/Deploy/1", at=3)
    assert named([child, second, first]) == {"x": first, "x.run-2": second, "x.Deploy.1": child}


def test_a_file_has_no_trace_of_the_machine_and_is_the_same_each_time(tmp_path: Path) -> None:
    sticky = {"taskQueue": {"kind": "TASK_QUEUE_KIND_STICKY", "name": "1@machine-0a1b"}}
    write(history(("WORKFLOW_TASK_SCHEDULED", sticky)), tmp_path, "x")
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    again = read(file)
    assert (again.workflow_id, len(again.events)) == ("test/app/demo/x", 2)
    assert "machine" not in again.to_json()
    write(again, tmp_path, "x")
    assert file.read_bytes() == before
