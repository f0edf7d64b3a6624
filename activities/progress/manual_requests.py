"""``enqueue``, ``awaitResult``, ``cancelTicket``: how an operation started by hand speaks to the App's entity."""

from __future__ import annotations

import asyncio

from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.cluster.events import tell
from activities.dependencies import Platform, permanent
from activities.progress.replaceable import why_never_replaced
from api.names import entity_workflow_id
from api.operations import (
    ENTITY_WORKFLOW,
    QUERY_RESULT,
    QUERY_STATUS,
    SIGNAL_CANCEL,
    UPDATE_ENQUEUE,
    WORKFLOW_QUEUE,
    AppReference,
    EntityStatus,
    OperationResult,
    OperationType,
)
from api.steps import EnqueueRequest, ErrorType, Step, Target, TicketRequest
from clients.resources import APP, Manifest
from clients.temporal import RPC_TIMEOUT, search_attributes
from render.plugin.bundle import PluginRefused

_FIRST_POLL, _LONGEST_POLL = 0.1, 2.0
_FORGOTTEN = 3
"""Looks in a row at which the entity knows nothing of a ticket, before it is given up."""


class ManualRequests:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def _entity(self, namespace: str, app: str) -> str:
        return entity_workflow_id(self._platform.installation, namespace, app)

    @activity.defn(name=Step.ENQUEUE)
    async def enqueue(self, request: EnqueueRequest) -> str:
        """The ticket. Refuses an App that does not exist: its entity would have nothing to hold on to. And a Failover
        where the topology has none: it would only keep the App busy until it is refused."""
        where = f"{request.namespace}/{request.app}"
        app = await self._platform.kubernetes.get(APP, request.app, request.namespace)
        if app is None:
            raise permanent(ErrorType.NOT_FOUND, f"there is no App {where}; check namespace and name, or apply it")
        if request.request.type == OperationType.FAILOVER and (never := await self._never_replaced(app)):
            uid, asked = str(app["metadata"]["uid"]), request.request
            target = Target(request.namespace, request.app, uid, "", asked.type, asked.requested_by, asked.reason)
            await tell(self._platform, target, "FailoverRefused", never, warning=True)
            raise permanent(ErrorType.NO_CANDIDATE, never)
        reference = AppReference(request.namespace, request.app)
        start: WithStartWorkflowOperation[object, object] = WithStartWorkflowOperation(
            ENTITY_WORKFLOW,
            reference,
            id=self._entity(request.namespace, request.app),
            task_queue=WORKFLOW_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=search_attributes(reference),
            static_summary=f"App {where}",
        )
        info = activity.info()
        try:
            # By the update's id a repeat gets the first answer, also where the operation has begun or ended meanwhile:
            # else it would run twice.
            ticket: str = await self._client.execute_update_with_start_workflow(
                UPDATE_ENQUEUE,
                request.request,
                start_workflow_operation=start,
                id=f"{info.workflow_run_id}/{info.activity_id}",
                result_type=str,
            )
        except WorkflowUpdateFailedError as error:
            raise ApplicationError(f"the App's entity refuses: {error.cause}", non_retryable=True) from error
        return ticket

    async def _never_replaced(self, app: Manifest) -> str:
        """By what runs: the spec may name a plugin version that was refused. Empty where that cannot be read."""
        spec, deployed = app.get("spec") or {}, (app.get("status") or {}).get("deployed") or {}
        plugin = spec.get("plugin") or {}
        name = str(deployed.get("plugin") or plugin.get("name") or "")
        version = str(deployed.get("pluginVersion") or plugin.get("version") or "")
        try:
            bundle = await self._platform.plugins.bundle(name, version)
        except PluginRefused:
            return ""
        if bundle is None:
            return ""
        topology = str(deployed.get("topology") or spec.get("topology") or "")
        default = next(each.name for each in bundle.plugin.spec.topologies if each.default)
        return why_never_replaced(bundle, topology or default)

    @activity.defn(name=Step.AWAIT_RESULT)
    async def await_result(self, request: TicketRequest) -> OperationResult:
        handle = self._client.get_workflow_handle(self._entity(request.namespace, request.app))
        pause, missed = _FIRST_POLL, 0
        while True:
            result, known = await self._look(handle, request.ticket)
            if result is not None:
                return result
            missed = 0 if known else missed + 1
            if missed >= _FORGOTTEN:
                raise permanent(
                    ErrorType.NOT_FOUND,
                    f"the entity of {request.namespace}/{request.app} knows nothing of {request.ticket} any more; "
                    "start the operation again if it is still wanted",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL)

    async def _look(self, handle: WorkflowHandle[object, object], ticket: str) -> tuple[OperationResult | None, bool]:
        """The result if there is one, and whether the entity knows the ticket."""
        try:
            result: OperationResult | None = await handle.query(
                QUERY_RESULT, ticket, result_type=OperationResult, rpc_timeout=RPC_TIMEOUT
            )
            if result is not None:
                return result, True
            status: EntityStatus = await handle.query(QUERY_STATUS, result_type=EntityStatus, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None, False
            return None, True  # Temporal or the entity's worker does not answer now; keep asking
        return None, ticket in status.queued

    @activity.defn(name=Step.CANCEL_TICKET)
    async def cancel_ticket(self, request: TicketRequest) -> None:
        handle = self._client.get_workflow_handle(self._entity(request.namespace, request.app))
        try:
            await handle.signal(SIGNAL_CANCEL, request.ticket, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise

    @property
    def _client(self) -> Client:
        return self._platform.temporal
