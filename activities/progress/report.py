"""``report``: what an App's status says between operations: running, refused, paused, or waiting for an operator."""

from __future__ import annotations

from temporalio import activity

from activities.cluster.events import tell
from activities.cluster.status import ConditionChange, StatusChange, write_status
from activities.dependencies import Platform
from api.app import Phase
from api.look import ReportRequest
from api.steps import Step, Target
from clients.resources import APP


class Report:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @activity.defn(name=Step.REPORT)
    async def report(self, request: ReportRequest) -> None:
        platform = self._platform
        app = await platform.kubernetes.get(APP, request.app, request.namespace)
        if app is None or app["metadata"]["uid"] != request.uid:
            return
        conditions = {
            "Accepted": ConditionChange(
                request.accepted, request.accepted_reason, request.message if not request.accepted else ""
            ),
            "Paused": ConditionChange(request.paused, "Paused" if request.paused else "NotPaused"),
        }
        state: dict[str, str] | None = None
        if request.failed_operation:
            conditions["Progressing"] = ConditionChange(False, "OperationFailed", request.message)
        elif request.waiting_operation:
            conditions["Progressing"] = ConditionChange(False, "OperationWaits", request.message)
        else:
            conditions["Progressing"] = ConditionChange(False, "Paused" if request.paused else "Settled")
        live = app.get("status") or {}
        if live.get("operation") and live["operation"].get("state") in ("Running", "Waiting", "Paused"):
            state = {"state": "Failed" if request.failed_operation else "Cancelled"}
        change = StatusChange(Phase(request.phase), request.message, request.generation, state, conditions=conditions)
        target = Target(request.namespace, request.app, request.uid, "", "", f"generation {request.generation}")
        # The Event first: a repeat counts it up, while after the status nobody would know that it is still to be told.
        if not request.accepted:
            await tell(platform, target, request.accepted_reason, request.message, warning=True)
        elif request.failed_operation:
            await tell(platform, target, f"{request.failed_operation}Failed", request.message, warning=True)
        elif request.waiting_operation:
            await tell(platform, target, f"{request.waiting_operation}Waits", request.message, warning=True)
        elif request.paused:
            await tell(platform, target, "Paused", request.message)
        if request.cordoned:
            await tell(platform, target, "MachineCordoned", request.cordoned, warning=True)
        await write_status(platform, app, change)
