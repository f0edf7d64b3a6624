"""What keeps a step from being done, where people look: in the App's status, and in an Event.

A step that fails is tried again, for most without end, since what is wrong may pass by itself. Only Temporal would know
why it takes so long. So from the fourth attempt on the App's message says it, whatever step it is: an interceptor,
since the next activity cannot forget it.
"""

from __future__ import annotations

import logging
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.cluster.events import tell
from activities.cluster.status import ConditionChange, StatusChange, tell_step
from activities.dependencies import Platform
from activities.interceptors.instrumentation import for_good
from activities.interceptors.targets import target_among
from api.app import Phase
from api.operations import OperationType
from api.steps import Target
from clients.errors import KubernetesError
from clients.resources import APP

log = logging.getLogger(__name__)
TOLD_AT = 4
"""The attempt whose failure is told first: some seconds after the first, when a hiccup is over."""
_WAITING = "waiting: "
_AT_WORK = {OperationType.DEPLOY: Phase.DEPLOYING, OperationType.DELETE: Phase.DELETING}


async def tell_waiting(platform: Platform, target: Target, step: str, reason: str) -> None:
    """That the operation waits, and why."""
    change = StatusChange(
        phase=Phase.WAITING,
        message=f"{_WAITING}{reason}",
        operation={"state": "Waiting"},
        conditions={"Progressing": ConditionChange(True, "Waiting", reason)},
    )
    await tell_step(platform, target, step, change)


async def tell_going_on(platform: Platform, target: Target, step: str) -> None:
    """That what it waited for is over."""
    change = StatusChange(
        phase=_AT_WORK.get(OperationType(target.operation), Phase.UPDATING),
        message=f"{target.operation} goes on",
        conditions={"Progressing": ConditionChange(True, target.operation)},
    )
    await tell_step(platform, target, step, change)


class RetryStatus(Interceptor):
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Telling(next, self._platform)


class _Telling(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, platform: Platform) -> None:
        super().__init__(next)
        self._platform = platform

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        attempt, target = activity.info().attempt, target_among(input.args)
        try:
            result = await super().execute_activity(input)
        except Exception as error:
            if target is not None and _passes(error) and attempt >= TOLD_AT:
                reason = str(error) or type(error).__name__
                await self._say(target, reason, event=attempt == TOLD_AT)
            raise
        if target is not None and attempt > TOLD_AT:
            await self._say(target, "")
        return result

    async def _say(self, target: Target, reason: str, *, event: bool = False) -> None:
        """``reason`` empty: it is over. Never an error: the step's own is what counts."""
        platform = self._platform
        try:
            if event:
                await tell(platform, target, "Waiting", reason, warning=True)
            app = await platform.kubernetes.get(APP, target.app, target.namespace)
            status = (app or {}).get("status") or {}
            operation = status.get("operation") or {}
            own = operation.get("workflowId") == target.workflow_id
            said = str((status.get("progress") or {}).get("message", ""))
            step = str(operation.get("step") or "") if own else activity.info().activity_type
            if reason:
                await tell_waiting(platform, target, step, reason)
            elif own and said.startswith(_WAITING):  # the step has told nothing newer
                await tell_going_on(platform, target, step)
        except KubernetesError as error:
            log.warning("the status could not be written: %s", error, extra={"app": target.app})


def _passes(error: Exception) -> bool:
    """Whether it is tried again."""
    return for_good(error) is None and not (isinstance(error, ApplicationError) and error.non_retryable)
