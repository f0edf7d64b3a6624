"""A cancellation that arrives together with the answer to a signal is not lost.

The history is made by hand: which of two events a server writes first cannot be chosen.
"""

from __future__ import annotations

import asyncio

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from workflows.temporal.signal import send

ID = "teller"


@workflow.defn(name="Teller", sandboxed=False)
class Teller:
    """Tells another workflow that it waits, and waits, as an operation does that has stopped."""

    @workflow.run
    async def run(self) -> None:
        task = asyncio.create_task(self._work())
        try:
            await workflow.wait_condition(task.done)
        except asyncio.CancelledError:
            task.cancel()
            await workflow.wait([task])
            raise

    async def _work(self) -> None:
        await send(workflow.get_external_workflow_handle("listener"), "waits", "for somebody")
        await workflow.wait_condition(lambda: False)


def history(*between: HistoryEvent) -> WorkflowHistory:
    """The signal is sent in the first task; ``between`` happens, and in the second task the workflow ends cancelled."""
    started = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    attributes = started.workflow_execution_started_event_attributes
    attributes.workflow_type.name = "Teller"
    attributes.task_queue.name = "queue"
    attributes.original_execution_run_id = attributes.first_execution_run_id = "11111111-2222-3333-4444-555555555555"
    sent = HistoryEvent(event_type=EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED)
    initiated = sent.signal_external_workflow_execution_initiated_event_attributes
    initiated.signal_name, initiated.workflow_execution.workflow_id = "waits", "listener"
    ended = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED)
    events = [started, *_task(), sent, *between, *_task(), ended]
    for number, event in enumerate(events, start=1):
        event.event_id = number
        event.event_time.seconds = 1_700_000_000 + number
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            event.workflow_task_started_event_attributes.scheduled_event_id = number - 1
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            event.workflow_task_completed_event_attributes.scheduled_event_id = number - 2
            event.workflow_task_completed_event_attributes.started_event_id = number - 1
    ended.workflow_execution_canceled_event_attributes.workflow_task_completed_event_id = len(events) - 1
    return WorkflowHistory(ID, events)


def _task() -> list[HistoryEvent]:
    scheduled = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
    scheduled.workflow_task_scheduled_event_attributes.task_queue.name = "queue"
    started = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)
    started.workflow_task_started_event_attributes.SetInParent()
    completed = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    completed.workflow_task_completed_event_attributes.SetInParent()
    return [scheduled, started, completed]


def asked_to_end() -> HistoryEvent:
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
    event.workflow_execution_cancel_requested_event_attributes.SetInParent()
    return event


def delivered() -> HistoryEvent:
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)
    attributes = event.external_workflow_execution_signaled_event_attributes
    attributes.initiated_event_id, attributes.workflow_execution.workflow_id = 5, "listener"
    return event


@pytest.mark.parametrize(
    "between",
    [(asked_to_end, delivered), (delivered, asked_to_end), (asked_to_end,)],
    ids=["before", "after", "without"],
)
async def test_who_is_ended_while_it_tells_something_ends(between: tuple[object, ...]) -> None:
    """It waited for ever, and all that came after it waited for its end."""
    events = [make() for make in between if callable(make)]
    result = await Replayer(workflows=[Teller]).replay_workflow(history(*events), raise_on_replay_failure=False)
    assert result.replay_failure is None
