"""Replays histories as a worker does that takes over what another one has begun."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from workflows.registry import ALL_WORKFLOWS
from workflows.temporal.sandbox import STRICT


async def replayed(histories: Iterable[WorkflowHistory]) -> list[str]:
    """What went wrong, a sentence for each history that the present workflows do not go on with."""
    by_run = {history.run_id: history for history in histories}

    async def each() -> AsyncIterator[WorkflowHistory]:
        for history in by_run.values():
            yield history

    replayer = Replayer(workflows=ALL_WORKFLOWS, workflow_runner=STRICT)
    results = await replayer.replay_workflows(each(), raise_on_replay_failure=False)
    return [f"{by_run[run].workflow_id}: {error}" for run, error in results.replay_failures.items()]
