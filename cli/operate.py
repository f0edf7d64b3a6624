"""What a person tells the platform to do to a running App: verbs for what runs, and operations by request.

Both go the way of Temporal's own client, so nothing here can do what ``temporal workflow`` could not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from temporalio.client import (
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from api.operations import (
    BY_MW,
    QUERY_STATUS,
    UPDATE_CONTROL,
    WORKFLOW_QUEUE,
    EntityStatus,
    OperationInput,
    OperationResult,
    OperationState,
    OperationType,
    Outcome,
    Verb,
)
from cli.history import reason_of
from cli.nodes import full_name
from cli.platform import Platform
from cli.session import CommandError
from clients.errors import KubernetesError
from clients.resources import APP, Manifest
from clients.temporal import RPC_TIMEOUT

UPDATE_SECONDS = 10.0
LOOK_SECONDS = 1.0
SILENCE_SECONDS = 120.0
"""How long Temporal may be down before waiting is given up; the operation itself outlives that."""

Handle = WorkflowHandle[object, OperationResult]
Tell = Callable[[str], None]


async def control(platform: Platform, namespace: str, app: str, verb: Verb) -> str:
    """Says ``verb`` to the App's entity; the sentence it answers. Raises CommandError where it refuses."""
    handle = platform.temporal.get_workflow_handle(platform.entity_id(namespace, app))
    try:
        async with asyncio.timeout(UPDATE_SECONDS):
            return str(await handle.execute_update(UPDATE_CONTROL, verb, result_type=str))
    except WorkflowUpdateFailedError as error:
        raise CommandError(reason_of(error)) from error
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise CommandError(
            f"no worker answered in {UPDATE_SECONDS:.0f} s; it may still be heard: see mw status {app} -n {namespace}"
        ) from error
    except RPCError as error:
        raise _of_entity(error, platform, namespace, app) from error


def _of_entity(error: RPCError, platform: Platform, namespace: str, app: str) -> CommandError:
    if error.status is not RPCStatusCode.NOT_FOUND:
        return CommandError(f"Temporal: {error.message}")
    entity = platform.entity_id(namespace, app)
    return CommandError(
        f"there is no workflow {entity}: no such App (mw status lists them), or somebody ended it; "
        "the watcher begins it again within half a minute"
    )


async def start(platform: Platform, kind: OperationType, request: OperationInput) -> Handle:
    """Starts the operation as by hand; a node may be named without the App's name before it. Raises CommandError where
    there is no such App, or no such node."""
    kubernetes, namespace, app = platform.kubernetes, request.namespace, request.app
    if await kubernetes.get(APP, app, namespace) is None:
        raise CommandError(f"there is no App {app} in namespace {namespace}")
    if request.node:
        request = replace(request, node=await full_name(kubernetes, namespace, app, request.node))
    if request.candidate:
        request = replace(request, candidate=await full_name(kubernetes, namespace, app, request.candidate))
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    return await platform.temporal.start_workflow(
        kind,
        request,
        id=f"{BY_MW}{namespace}/{app}/{kind}/{moment}",
        task_queue=WORKFLOW_QUEUE,
        result_type=OperationResult,
        static_summary=f"{kind} {namespace}/{app}: {request.reason}"[:200],
        rpc_timeout=RPC_TIMEOUT,
    )


async def follow(platform: Platform, namespace: str, app: str, handle: Handle, tell: Tell) -> OperationResult:
    """Waits for the end and tells each step. Raises CommandError where it fails, or waits for an operator."""
    loop = asyncio.get_running_loop()
    ending = asyncio.ensure_future(handle.result())
    heard = loop.time()
    try:
        while True:
            await asyncio.wait([ending], timeout=LOOK_SECONDS)
            if not ending.done():
                if await _tell(platform, namespace, app, tell, handle.id):
                    heard = loop.time()
            elif isinstance(error := ending.exception(), RPCError):
                if loop.time() - heard > SILENCE_SECONDS:
                    raise CommandError(f"Temporal does not answer any more: {error}; {handle.id} goes on without this")
                tell("Temporal does not answer, trying again")
                await asyncio.sleep(LOOK_SECONDS)
                ending = asyncio.ensure_future(handle.result())
            else:
                return _ended(ending)
    finally:
        ending.cancel()


def _ended(ending: asyncio.Future[OperationResult]) -> OperationResult:
    try:
        result = ending.result()
    except WorkflowFailureError as error:
        raise CommandError(reason_of(error)) from error
    if result.outcome not in (Outcome.COMPLETED, Outcome.NOTHING):
        raise CommandError(f"{result.type} {result.outcome}: {result.message}")
    return result


async def _tell(platform: Platform, namespace: str, app: str, tell: Tell, own: str) -> bool:
    """Tells the present step; whether Temporal answered. Raises CommandError where the App waits for an operator."""
    entity = platform.temporal.get_workflow_handle(platform.entity_id(namespace, app))
    status: EntityStatus | None = None
    with contextlib.suppress(RPCError, WorkflowQueryFailedError):
        status = await entity.query(QUERY_STATUS, result_type=EntityStatus, rpc_timeout=RPC_TIMEOUT)
    try:
        said = doing(await platform.kubernetes.get(APP, app, namespace), status, own)
    except KubernetesError as error:
        said = str(error)
    if said:
        tell(said)
    if status is None:
        return False
    if status.state == OperationState.STOPPED and (why := stopped(status, own, f"{app} -n {namespace}")):
        raise CommandError(why)
    return True


def stopped(status: EntityStatus, own: str, app: str) -> str:
    """What to say to who waits for the run ``own`` while an operation is stopped; empty where that is no reason to end
    the waiting. Pure."""
    why, then = status.message or status.doing, f"mw retry, skip or abort {app}"
    if status.requested_by in (None, own):
        return f"it waits for an operator: {why}; then: {then}"
    if f"/{OperationType.FAILOVER}/" in own:
        return ""  # what is stopped makes room for it
    return (
        f"{own} is queued behind {status.operation}, which waits for an operator: {why}; then: {then}. It runs when "
        f"that one has ended; to take it back: temporal workflow cancel -w {own}"
    )


def doing(app: Manifest | None, status: EntityStatus | None, own: str) -> str:
    """What the App is at while the run ``own`` is waited for; empty where there is nothing to say, as between the end
    of its operation and its answer. ``status``: None where the App's workflow does not answer. Pure."""
    operation = ((app or {}).get("status") or {}).get("operation") or {}
    if operation.get("state") in (None, "Completed", "Failed", "Cancelled"):
        queued = status is not None and bool(status.queued) and status.requested_by != own
        return "waits for its turn" if queued else ""
    words = [operation.get("type", ""), operation.get("step", ""), "paused" if operation["state"] == "Paused" else ""]
    return ", ".join(str(word) for word in words if word)
