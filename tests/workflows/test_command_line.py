"""The command line's way through Temporal: history, an operator's verbs, operations by request, on a real server.

The entity and its operation are fakes under the real names: what is tested is what the command line says and makes of
the answers, whatever the platform's own workflows do meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from api.names import entity_workflow_id
from api.operations import (
    SEARCH_APP,
    SEARCH_NAMESPACE,
    WORKFLOW_QUEUE,
    AppReference,
    OperationInput,
    OperationResult,
    OperationState,
    OperationType,
    Outcome,
    Verb,
)
from cli.history import history
from cli.operate import control, follow, start
from cli.platform import Platform
from cli.session import CommandError
from clients.kubernetes import Kubernetes
from clients.temporal import search_attributes
from tests.workflows.cluster import INSTALLATION as OF_THE_ENTITIES
from tests.workflows.cluster import FakeCluster
from tests.workflows.running import connected_again, eventually, idle, notify, stopped
from tests.workflows.server import dev_server

NAMESPACE, INSTALLATION = "demo", "line"
BEGUN: list[str] = []


@workflow.defn(name="Restart")
class FakeRestart:
    """Ends as its reason says."""

    @workflow.run
    async def run(self, request: OperationInput) -> OperationResult:
        pairs = [(SEARCH_APP, request.app), (SEARCH_NAMESPACE, request.namespace)]
        workflow.upsert_search_attributes([SearchAttributeKey.for_keyword(key).value_set(v) for key, v in pairs])
        if request.reason == "wait":
            await workflow.wait_condition(lambda: False)
        if request.reason == "fail":
            raise ApplicationError("x-data-0 did not come up again", non_retryable=True)
        outcome = Outcome.ABORTED if request.reason == "abort" else Outcome.COMPLETED
        return OperationResult("Restart", outcome, f"{request.node or 'all nodes'} restarted")


@workflow.defn(name="App")
class FakeEntity:
    """Runs one operation for each of three reasons, then waits; knows pause and skip."""

    def __init__(self) -> None:
        self._state = ""

    @workflow.run
    async def run(self, reference: AppReference) -> None:
        for number, reason in enumerate(("first", "fail", "wait"), start=1):
            child = await workflow.start_child_workflow(
                "Restart",
                OperationInput(reference.namespace, reference.app, reason),
                id=f"{workflow.info().workflow_id}/uid/Restart/{number}",
                result_type=OperationResult,
                static_summary=f"Restart {reference.namespace}/{reference.app}: {reason}",
            )
            if reason != "wait":
                await asyncio.wait([child])
                child.exception()
        await workflow.wait_condition(lambda: False)

    @workflow.update(name="control")
    def control(self, verb: str) -> str:
        self._state = OperationState.STOPPED if verb == Verb.PAUSE else ""
        return f"{verb}: noted"

    @control.validator
    def _check(self, verb: str) -> None:
        if verb == Verb.SKIP:
            raise ApplicationError("no step has failed, so none can be skipped")

    @workflow.query(name="status")
    def status(self) -> dict[str, str]:
        """As a worker before ``message`` and ``requested_by`` answers."""
        return {"doing": "Restart: mw restart", "operation": "", "state": self._state}


class FakeApps:
    """The one App of each test, as far as the command line reads it."""

    async def get(self, resource: object, name: str, namespace: str) -> dict[str, Any] | None:
        operation = {"type": "Restart", "state": "Running", "step": "data: wait"}
        return {"status": {"operation": operation}} if name != "nobody" else None

    async def list(self, resource: object, namespace: str, *, labels: dict[str, str]) -> tuple[list[Any], str]:
        app = labels["middleware.io/app"]
        return [{"metadata": {"name": f"{app}-data-{ordinal}"}} for ordinal in range(2)], ""


@pytest.fixture(scope="module")
async def apart() -> AsyncIterator[Client]:
    """Of a server for the fakes: they have the names of the real workflows."""
    async with dev_server() as environment:
        yield environment.client


@pytest.fixture(autouse=True)
async def ended(apart: Client) -> AsyncIterator[None]:
    """No fake is left for the next test."""
    BEGUN.clear()
    yield
    for entity in BEGUN:
        await apart.get_workflow_handle(entity).terminate("the test is over")


@pytest.fixture
async def platform(apart: Client) -> AsyncIterator[Platform]:
    worker = Worker(
        await connected_again(apart),  # as one that does not stop is left behind
        task_queue=WORKFLOW_QUEUE,
        workflows=[FakeEntity, FakeRestart],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    running = {worker: asyncio.create_task(worker.run())}
    yield Platform(cast(Kubernetes, FakeApps()), apart, INSTALLATION)
    await stopped(running)


async def begin(platform: Platform, app: str) -> str:
    """An entity of that name."""
    entity = entity_workflow_id(INSTALLATION, NAMESPACE, app)
    reference = AppReference(NAMESPACE, app)
    attributes = search_attributes(reference)
    await platform.temporal.start_workflow(
        "App", reference, id=entity, task_queue=WORKFLOW_QUEUE, search_attributes=attributes
    )
    BEGUN.append(entity)
    return entity


async def run(
    platform: Platform, app: str, reason: str = "", node: str = "", begun: list[str] | None = None
) -> tuple[OperationResult, list[str]]:
    """Its result, and the steps that were told. ``begun`` gets its workflow id."""
    told: list[str] = []
    request = OperationInput(NAMESPACE, app, reason, node=node)
    handle = await start(platform, OperationType.RESTART, request)
    assert handle.id.startswith(f"by-hand/{NAMESPACE}/{app}/Restart/")
    begun = begun if begun is not None else []
    begun.append(handle.id)
    return await follow(platform, NAMESPACE, app, handle, told.append), told


async def test_history_has_the_entitys_operations_newest_first(platform: Platform) -> None:
    entity = await begin(platform, "past")
    await run(platform, "past")  # by hand: it mirrors, and is none of the entity's own

    async def all_are_listed() -> bool:
        """What the server lists follows what has happened, and not in that order."""
        entries = await history(platform.temporal, entity, NAMESPACE, "past", 20)
        return [(each.type, each.why, each.state) for each in entries] == [
            ("Restart", "wait", "running"),
            ("Restart", "fail", "failed"),
            ("Restart", "first", Outcome.COMPLETED),
        ]

    await eventually(all_are_listed)
    entries = await history(platform.temporal, entity, NAMESPACE, "past", 20)
    assert entries[1].message == "x-data-0 did not come up again"
    assert entries[2].message == "all nodes restarted"
    assert entries[0].ended is None
    assert entries[2].workflow_id == f"{entity}/uid/Restart/1"
    assert len(await history(platform.temporal, entity, NAMESPACE, "past", 1)) == 1


async def test_a_verb_is_answered_or_refused_with_a_sentence(platform: Platform) -> None:
    await begin(platform, "verbs")
    assert await control(platform, NAMESPACE, "verbs", Verb.RETRY) == "retry: noted"
    with pytest.raises(CommandError, match=r"^no step has failed, so none can be skipped$"):
        await control(platform, NAMESPACE, "verbs", Verb.SKIP)
    with pytest.raises(CommandError, match="there is no workflow line/app/demo/nobody"):
        await control(platform, NAMESPACE, "nobody", Verb.PAUSE)


@pytest.mark.parametrize("node", ["asked-data-1", "data-1"])
async def test_an_operation_by_request_carries_its_scope_and_result(platform: Platform, node: str) -> None:
    result, _ = await run(platform, "asked", node=node)
    assert result.message == "asked-data-1 restarted"


async def test_a_node_that_is_not_there_is_refused_before_anything_is_queued(platform: Platform) -> None:
    """Queued, its refusal would come after all that runs before it."""
    for named in (OperationInput(NAMESPACE, "asked", node="data-9"), OperationInput(NAMESPACE, "asked", candidate="x")):
        with pytest.raises(CommandError, match=r"has no node (data-9|x); it has asked-data-0, asked-data-1"):
            await start(platform, OperationType.SWITCHOVER, named)


async def test_a_failure_is_the_reason_and_so_is_an_abort(platform: Platform) -> None:
    with pytest.raises(CommandError, match=r"^x-data-0 did not come up again$"):
        await run(platform, "failing", reason="fail")
    with pytest.raises(CommandError, match="Restart aborted: all nodes restarted"):
        await run(platform, "failing", reason="abort")
    with pytest.raises(CommandError, match="there is no App nobody"):
        await run(platform, "nobody")


async def test_waiting_ends_where_an_operator_is_needed_also_with_an_older_worker(platform: Platform) -> None:
    await begin(platform, "stopped")
    await control(platform, NAMESPACE, "stopped", Verb.PAUSE)
    with pytest.raises(CommandError, match=r"^it waits for an operator: Restart: mw restart; then: mw retry"):
        await run(platform, "stopped", reason="wait")


async def test_who_waits_hears_why_an_operation_stopped_and_behind_which_his_own_is_queued(
    client: Client, cluster: FakeCluster
) -> None:
    platform = Platform(cast(Kubernetes, FakeApps()), client, OF_THE_ENTITIES)
    app = cluster.add("waits", deployed_hash="one")
    app.rolls, app.failing = ["waits-data-0"], {"rollNode:waits-data-0": "the image cannot be pulled"}
    asked: list[str] = []
    with pytest.raises(CommandError) as own:
        await run(platform, "waits", reason="new certificates", begun=asked)
    why = "waits for an operator: the image cannot be pulled; then: mw retry, skip or abort waits -n demo"
    assert str(own.value) == f"it {why}"
    with pytest.raises(CommandError) as queued:
        await run(platform, "waits", begun=asked)
    entity = platform.entity_id(NAMESPACE, "waits")
    assert str(queued.value) == (
        f"{asked[1]} is queued behind {entity}/uid-waits/Restart/1, which {why}. It runs when that one has ended; to "
        f"take it back: temporal workflow cancel -w {asked[1]}"
    )
    taken_back = client.get_workflow_handle(asked[1])
    await taken_back.cancel()
    with pytest.raises(WorkflowFailureError):
        await taken_back.result()
    app.failing = {}
    await control(platform, NAMESPACE, "waits", Verb.RETRY)
    await client.get_workflow_handle(asked[0]).result()
    await idle(client, "waits")
    assert cluster.steps("waits").count("planRoll") == 1, "what was taken back has not run"


async def test_the_real_entity_understands_the_command_line(client: Client, cluster: FakeCluster) -> None:
    platform = Platform(cast(Kubernetes, FakeApps()), client, OF_THE_ENTITIES)
    cluster.add("real").blocked = {"server"}
    await notify(client, "real")
    await cluster.until(lambda: "real/waitReady:server" in cluster.log)
    assert await control(platform, NAMESPACE, "real", Verb.PAUSE)
    with pytest.raises(CommandError):
        await control(platform, NAMESPACE, "real", Verb.SKIP)
    await cluster.change("real", blocked=set())

    async def resumed() -> bool:
        try:
            return bool(await control(platform, NAMESPACE, "real", Verb.RESUME))
        except CommandError:
            return False  # it is not at a safe point yet

    await eventually(resumed)

    async def completed() -> bool:
        entity = platform.entity_id(NAMESPACE, "real")
        found = await history(client, entity, NAMESPACE, "real", 5)
        return [(each.type, each.state) for each in found] == [("Deploy", Outcome.COMPLETED)]

    await eventually(completed)


async def test_without_a_worker_a_verb_is_not_waited_for_for_ever(
    apart: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.operate.UPDATE_SECONDS", 0.5)
    platform = Platform(cast(Kubernetes, FakeApps()), apart, INSTALLATION)
    await begin(platform, "unattended")
    with pytest.raises(CommandError, match="no worker answered"):
        await control(platform, NAMESPACE, "unattended", Verb.PAUSE)
