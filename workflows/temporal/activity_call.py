"""Every activity's time-outs, retries and heartbeat, in one place, and the one way in which workflows call activities.

An activity is retried without end while its error may pass by itself (API server down, quota full): the App waits
and says why. What will not pass is an ApplicationError that says ``non_retryable``, and ends the operation.
Cancellation waits until the activity has really ended, so that no two operations ever work on an App at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from api.look import LoadRequest, ReportRequest
from api.operations import ACTIVITY_QUEUE
from api.steps import SHORT_STEPS, EnqueueRequest, OfOperation, Step, TicketRequest

Result = TypeVar("Result")

HEARTBEAT_TIMEOUT = timedelta(seconds=20)
"""A worker that died is noticed after this long; its activities (``activities.interceptors.heartbeats``) go on at
another."""
URGENT_HEARTBEAT = timedelta(seconds=8)
"""The same for steps during which clients cannot write."""
RETRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=20)
)


@dataclass(frozen=True)
class Limits:
    """``total``: of one attempt. ``attempts``: 0 for without end; otherwise what fails so often is an operator's to
    decide. ``urgent``: clients wait for it."""

    total: timedelta
    attempts: int = 0
    urgent: bool = False


_SHORT = Limits(timedelta(seconds=60))
_FIRST = Limits(timedelta(seconds=60), urgent=True)
"""Between a suspicion and its failover: a task that went to a lost machine would else be missed after a minute."""
_WAITING = Limits(timedelta(hours=1))
"""It has no end of its own: after an hour the next attempt goes on waiting."""
_BY_TOOLS = Limits(timedelta(hours=25), attempts=10)
"""The plugin says how long its tools may take, a day at most. A worker that dies is noticed by its heartbeat. What ten
attempts, in a minute and a half, have not brought about is an operator's to decide."""
_BY_LONG_TOOLS = Limits(timedelta(hours=25))
"""Some of these take as long as they make progress: an attempt of a day is followed by the next, and so is one whose
worker was restarted. The step itself gives what fails ten times to an operator (``activities.tools.run_to_end``)."""

LIMITS: dict[Step, Limits] = {
    **dict.fromkeys(SHORT_STEPS, _SHORT),
    Step.LOAD: _FIRST,
    Step.REPORT: _FIRST,
    Step.APPLY_GROUP: Limits(timedelta(minutes=3)),
    Step.WAIT_READY: _WAITING,
    Step.SURVEY_VOLUMES: _WAITING,
    Step.START_HELD: Limits(timedelta(minutes=10)),
    Step.DELETE_COMPONENT: Limits(timedelta(minutes=30)),
    Step.DELETE_LEFTOVERS: Limits(timedelta(minutes=5)),
    Step.SYNC_NODES: Limits(timedelta(minutes=5)),
    Step.PLAN_ROLL: Limits(timedelta(minutes=2)),
    Step.PLAN_MOVE: Limits(timedelta(minutes=3), attempts=10),
    Step.SWITCHOVER: Limits(timedelta(minutes=3), urgent=True),
    Step.PLAN_FAILOVER: Limits(timedelta(minutes=1), attempts=5, urgent=True),
    Step.FENCE: Limits(timedelta(minutes=2), urgent=True),
    # No Repair interrupts a Failover, so what several attempts have not brought about must not keep one from its turn.
    Step.CHOOSE: Limits(timedelta(minutes=2), attempts=8, urgent=True),
    Step.PROMOTE: Limits(timedelta(minutes=2), attempts=8, urgent=True),
    Step.READMIT: Limits(timedelta(minutes=3), attempts=3),
    Step.ROLL_NODE: _WAITING,
    Step.EXPAND_VOLUMES: Limits(timedelta(minutes=15)),
    Step.AFTER_ROLL: _BY_LONG_TOOLS,
    Step.JOIN_NODES: _BY_LONG_TOOLS,
    Step.LEAVE_NODE: _BY_LONG_TOOLS,
    Step.REMOVE_NODE: Limits(timedelta(minutes=10)),
    Step.FORGET_NODE: _BY_LONG_TOOLS,
    Step.PLAN_CONFIG: Limits(timedelta(minutes=5)),  # with the engine's own check of the files of each component
    Step.CONFIGURE_NODE: _WAITING,
    Step.GIVE_CREDENTIALS: _BY_TOOLS,
    Step.AWAIT_RESULT: _WAITING,
}


Request = OfOperation | LoadRequest | ReportRequest | EnqueueRequest | TicketRequest
"""What activities are given. Whoever adds one that is not of an operation says so here."""


async def run_step(
    step: Step, argument: Request, result: type[Result], summary: str, *, within: timedelta | None = None
) -> Result:
    """Runs an activity. ``summary`` is what the Temporal UI shows beside its type: node, group, reason. ``within``: all
    its attempts together; None for as long as it takes."""
    limits = LIMITS[step]
    answer: Result = await workflow.execute_activity(
        step.value,
        argument,
        result_type=result,
        task_queue=ACTIVITY_QUEUE,
        schedule_to_close_timeout=within,
        start_to_close_timeout=limits.total,
        heartbeat_timeout=URGENT_HEARTBEAT if limits.urgent else HEARTBEAT_TIMEOUT,
        retry_policy=replace(RETRIES, maximum_attempts=limits.attempts),
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary[:200],
    )
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        # A short step is done first, and its answer would swallow the cancellation: the operation would go on for ever.
        raise asyncio.CancelledError
    return answer
