"""Running workers, and speaking to the entity as the watcher does."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker, WorkflowRunner

from activities.interceptors.callers import Callers
from activities.interceptors.heartbeats import Heartbeats
from api.names import entity_workflow_id
from api.operations import (
    ACTIVITY_QUEUE,
    CORDONED,
    QUERY_STATUS,
    SIGNAL_SUSPECT,
    UPDATE_CONTROL,
    WORKFLOW_QUEUE,
    AppReference,
    EntityStatus,
    Notice,
    NoticeKind,
    OperationInput,
    OperationResult,
    Suspicion,
)
from clients.temporal import notify_entity
from tests.workflows.cluster import INSTALLATION, FakeCluster
from tests.workflows.fakes import activities_of
from workflows.registry import ALL_WORKFLOWS
from workflows.temporal.sandbox import STRICT

NAMESPACE = "demo"
STOPS_WITHIN = 20.0
"""Seconds for workers to stop. One stop in some hundreds has not ended in temporalio 1.35: nothing polled any more, no
activity ran, and ``finalize_shutdown`` of the SDK's core did not answer. Such a worker is left behind."""


_ACTIVITY = "_handle_start_activity_task"
"""The SDK's coroutine around each activity that runs."""


@asynccontextmanager
async def workers(client: Client, cluster: FakeCluster, runner: WorkflowRunner = STRICT) -> AsyncIterator[None]:
    """As the worker process runs them, with less patience for running activities."""
    running = Workers(client, cluster, runner)
    await running.start()
    try:
        yield
    finally:
        await running.stop()


async def connected_again(client: Client) -> Client:
    """Over a connection of its own, to the same server."""
    return await Client.connect(client.service_client.config.target_host, namespace=client.namespace)


async def stopped(running: Mapping[Worker, asyncio.Task[None]]) -> None:
    """Workers and what runs them. Raises TimeoutError where an activity does not let them stop."""
    ending = [asyncio.create_task(worker.shutdown()) for worker in running]
    _, left = await asyncio.wait([*ending, *running.values()], timeout=STOPS_WITHIN)
    # Only where a worker does not stop: others of the process may be at work.
    every = asyncio.all_tasks() if left else set()
    held = [task for task in every if _ACTIVITY in getattr(task.get_coro(), "__qualname__", "")]
    for task in left:  # in the SDK's own code, with nothing of ours left to wait for
        task.cancel()
    if held:
        waiting = io.StringIO()
        for task in held:
            task.print_stack(file=waiting)
        raise TimeoutError(f"activities do not let their worker stop:\n{waiting.getvalue()}")
    for task in {*running.values()} - left:
        task.result()


class Workers:
    """May be stopped and started anew. Raises TimeoutError where an activity does not let them stop."""

    def __init__(self, client: Client, cluster: FakeCluster, runner: WorkflowRunner = STRICT) -> None:
        self._client, self._cluster, self._runner = client, cluster, runner
        self._running: dict[Worker, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Over a connection of their own: the SDK refuses a worker over one that still has a worker of that queue."""
        connection = await connected_again(self._client)
        self._running = {worker: asyncio.create_task(worker.run()) for worker in self._workers(connection)}

    async def stop(self) -> None:
        await stopped(self._running)

    def _workers(self, client: Client) -> list[Worker]:
        return [
            Worker(client, task_queue=WORKFLOW_QUEUE, workflows=ALL_WORKFLOWS, workflow_runner=self._runner),
            Worker(
                client,
                task_queue=ACTIVITY_QUEUE,
                activities=activities_of(self._cluster, self._client),
                interceptors=[Callers(INSTALLATION), Heartbeats()],
                max_heartbeat_throttle_interval=timedelta(milliseconds=100),
                default_heartbeat_throttle_interval=timedelta(milliseconds=100),
            ),
        ]


async def notify(client: Client, app: str, kind: NoticeKind = NoticeKind.SPEC, detail: str = "") -> None:
    """``detail``: of a ``cordon`` there always is one."""
    detail = detail or (CORDONED if kind == NoticeKind.CORDON else "")
    notice = Notice(kind, detail)
    await notify_entity(client, INSTALLATION, AppReference(NAMESPACE, app), notice, plugin="redis 1.0.0")


async def suspect(client: Client, app: str, node: str, *, back: bool = False) -> None:
    """As the watcher does of a node that is lost."""
    await entity(client, app).signal(SIGNAL_SUSPECT, Suspicion("server", node, f"{node} is dead", back=back))


async def eventually(probe: Callable[[], Awaitable[bool]], timeout: float = 60.0) -> None:
    """Asks until it is so. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while not await probe():  # noqa: ASYNC110 - what is asked is on the server, and nobody here sets an event
            await asyncio.sleep(0.05)


def entity(client: Client, app: str) -> WorkflowHandle[object, object]:
    return client.get_workflow_handle(entity_workflow_id(INSTALLATION, NAMESPACE, app))


def operation(client: Client, app: str, kind: str, sequence: int) -> WorkflowHandle[object, object]:
    parent = entity_workflow_id(INSTALLATION, NAMESPACE, app)
    return client.get_workflow_handle(f"{parent}/uid-{app}/{kind}/{sequence}")


async def idle(client: Client, app: str) -> None:
    """Waits until no operation runs and all that arrived has been looked at."""
    await doing(client, app, "waiting for a change")


async def doing(client: Client, app: str, words: str) -> None:
    """Waits until what the entity says that it does begins with ``words``."""

    async def so() -> bool:
        status: EntityStatus = await entity(client, app).query(QUERY_STATUS, result_type=EntityStatus)
        return status.doing.startswith(words)

    await eventually(so)


async def say(client: Client, app: str, verb: str) -> str:
    """As ``mw pause`` and its likes do. Raises WorkflowUpdateFailedError where it is refused."""
    answer: str = await entity(client, app).execute_update(UPDATE_CONTROL, verb, result_type=str)
    return answer


async def start_by_hand(
    client: Client, app: str, kind: str = "Deploy", node: str = ""
) -> WorkflowHandle[object, OperationResult]:
    """As ``temporal workflow start --type Deploy --input ...`` does."""
    handle: WorkflowHandle[object, OperationResult] = await client.start_workflow(
        kind,
        OperationInput(NAMESPACE, app, node=node),
        id=f"by-hand-{kind}-{app}",
        task_queue=WORKFLOW_QUEUE,
        result_type=OperationResult,
    )
    return handle
