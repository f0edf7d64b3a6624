"""``begin`` and ``tellState``: an operation that begins, is paused, or stopped at a step says so where people look."""

from __future__ import annotations

from temporalio import activity

from activities.cluster.events import tell
from activities.cluster.status import ConditionChange, StatusChange, tell_step
from activities.dependencies import Platform
from api.app import Phase
from api.operations import OperationState
from api.steps import StateRequest, Step, Target


class Control:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.BEGIN)
    async def begin(self, target: Target) -> None:
        """For operations that prepare nothing: the App's status and an Event say that they run."""
        change = StatusChange(
            phase=Phase.UPDATING,
            message=f"{target.operation}: {target.reason}",
            conditions={"Progressing": ConditionChange(True, target.operation)},
        )
        await tell(self._platform, target, f"{target.operation}Started", target.reason)
        await tell_step(self._platform, target, "begin", change)

    @activity.defn(name=Step.TELL_STATE)
    async def tell_state(self, request: StateRequest) -> None:
        target = request.target
        if request.state == OperationState.RUNNING:
            change = StatusChange(
                phase=Phase.UPDATING,
                message=f"{target.operation} goes on",
                conditions={
                    "Progressing": ConditionChange(True, target.operation),
                    "Paused": ConditionChange(False, "NotPaused"),
                },
            )
            await tell(self._platform, target, f"{target.operation}GoesOn", request.step or "goes on")
        elif request.state == OperationState.PAUSED:
            change = StatusChange(
                phase=Phase.PAUSED,
                message=f"{target.operation} is paused: {request.message}",
                operation={"state": "Paused"},
                conditions={
                    "Progressing": ConditionChange(False, "Paused", request.message),
                    "Paused": ConditionChange(True, "OperationPaused", request.message),
                },
            )
            await tell(self._platform, target, f"{target.operation}Paused", request.message)
        else:
            change = StatusChange(
                phase=Phase.WAITING,
                message=f"{target.operation} stopped: {request.message}; retry, skip or abort it",
                operation={"state": "Waiting"},
                conditions={"Progressing": ConditionChange(False, "OperationStopped", request.message)},
            )
            await tell(self._platform, target, f"{target.operation}Stopped", request.message, warning=True)
        await tell_step(self._platform, target, request.step, change)
