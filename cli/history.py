"""``mw history``: what was done to an App, from Temporal, for as long as Temporal keeps it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.markup import escape
from rich.table import Table
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle

from api.operations import MEMO_ENDED, SEARCH_APP, SEARCH_NAMESPACE, OperationResult, OperationType, Outcome

_AT_ONCE = 8
_GOOD = {Outcome.COMPLETED, Outcome.NOTHING}


@dataclass(frozen=True)
class Entry:
    """``state``: the result's outcome, else Temporal's word for it. ``ended`` is None while it runs."""

    type: str
    why: str
    state: str
    message: str
    started: datetime
    ended: datetime | None
    workflow_id: str

    @property
    def duration(self) -> timedelta:
        return (self.ended or datetime.now(UTC)) - self.started

    def as_json(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "why": self.why,
            "state": self.state,
            "message": self.message,
            "started": self.started.isoformat(),
            "ended": self.ended.isoformat() if self.ended is not None else None,
            "seconds": round(self.duration.total_seconds(), 3),
            "workflowId": self.workflow_id,
        }


def query(namespace: str, app: str) -> str:
    """Temporal's list filter for the App's operations; the runs by hand that mirror them are among what it finds."""
    types = ", ".join(json.dumps(str(kind)) for kind in OperationType)
    who = f"{SEARCH_APP} = {json.dumps(app)} AND {SEARCH_NAMESPACE} = {json.dumps(namespace)}"
    return f"{who} AND WorkflowType IN ({types})"


async def history(client: Client, entity: str, namespace: str, app: str, limit: int) -> list[Entry]:
    """The newest ``limit`` operations that the entity of this id ran, newest first."""
    own = re.compile(rf"{re.escape(entity)}/[^/]+/[A-Za-z]+/\d+")
    found: list[WorkflowExecution] = []
    async for execution in client.list_workflows(query(namespace, app)):
        if own.fullmatch(execution.id):
            found.append(execution)
        if len(found) == limit:
            break
    gate = asyncio.Semaphore(_AT_ONCE)

    async def entry(execution: WorkflowExecution) -> Entry:
        async with gate:
            return await _entry(client, execution, f"{namespace}/{app}")

    entries = await asyncio.gather(*(entry(execution) for execution in found))
    return sorted(entries, key=lambda each: each.started, reverse=True)


async def _entry(client: Client, execution: WorkflowExecution, where: str) -> Entry:
    handle: WorkflowHandle[Any, OperationResult] = client.get_workflow_handle(
        execution.id, run_id=execution.run_id, result_type=OperationResult
    )
    described = await handle.describe()
    summary = await described.static_summary() or ""
    state, message = "running", ""
    if execution.status is not WorkflowExecutionStatus.RUNNING:
        state, message = await _result(handle, execution)
        if state == Outcome.CANCELLED:
            message = str((await described.memo()).get(MEMO_ENDED, message))
    return Entry(
        execution.workflow_type,
        summary.removeprefix(f"{execution.workflow_type} {where}: "),
        state,
        message,
        execution.start_time,
        execution.close_time,
        execution.id,
    )


async def _result(handle: WorkflowHandle[Any, OperationResult], execution: WorkflowExecution) -> tuple[str, str]:
    try:
        result = await handle.result(follow_runs=False)
    except WorkflowFailureError as error:
        state = execution.status.name.lower() if execution.status is not None else "failed"
        return state.replace("canceled", Outcome.CANCELLED), reason_of(error)
    return result.outcome, result.message


def reason_of(error: BaseException) -> str:
    """The sentence at the bottom of Temporal's chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(getattr(error, "message", "") or error)


def table(entries: Sequence[Entry], *, exists: bool = False) -> Table | str:
    """``exists``: whether there is such an App now."""
    if not entries and exists:
        return "No operation of this App is kept: none has run yet, or Temporal's retention is over; see mw status"
    if not entries:
        return "Nothing is known of this App; Temporal forgets operations when its retention is over"
    result = Table("TYPE", "STATE", "STARTED", "TOOK", "WHY", "RESULT", box=None, pad_edge=False)
    for entry in entries:
        color = "green" if entry.state in _GOOD else "yellow" if entry.ended is None else "red"
        result.add_row(
            entry.type,
            f"[{color}]{escape(entry.state)}[/]",
            entry.started.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            spoken(entry.duration),
            escape(entry.why),
            escape(entry.message),
        )
    return result


def spoken(duration: timedelta) -> str:
    """``4.2s``, ``3m05s``, ``2h07m``."""
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes = int(seconds) // 60
    return f"{minutes}m{int(seconds) % 60:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"
