"""Operations started with Temporal's own client queue themselves, and mirror what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import replace
from typing import Any, cast

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import ActivityEnvironment

from activities.dependencies import Platform
from activities.progress.manual_requests import ManualRequests
from api.operations import (
    COMPONENT_WORKFLOW,
    ENTITY_WORKFLOW,
    GROUP_WORKFLOW,
    WORKFLOW_QUEUE,
    EntityStatus,
    OperationRequest,
    OperationType,
)
from api.steps import ComponentPlan, ComponentRun, EnqueueRequest, GroupPlan, GroupRun, Step, Target
from tests.workflows.cluster import INSTALLATION, FakeCluster
from tests.workflows.fakes import FakePlatform
from tests.workflows.running import NAMESPACE, entity, eventually, idle, notify, start_by_hand


async def failure(handle: object) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()  # type: ignore[attr-defined]
    error: BaseException | None = caught.value.cause
    while error is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    assert isinstance(error, ApplicationError)
    return error


async def test_a_second_deploy_waits_its_turn_and_finds_nothing_to_do(client: Client, cluster: FakeCluster) -> None:
    cluster.add("second").blocked = {"server"}
    await notify(client, "second")
    await cluster.until(lambda: "second/waitReady:server" in cluster.log)
    handle = await start_by_hand(client, "second")

    async def queued() -> bool:
        status: EntityStatus = await entity(client, "second").query("status", result_type=EntityStatus)
        return bool(status.queued)

    await eventually(queued)
    await cluster.change("second", blocked=set())
    result = await handle.result()
    assert result.outcome == "nothing to do"
    assert cluster.steps("second").count("prepare") == 1


async def test_it_runs_where_something_is_to_do(client: Client, cluster: FakeCluster) -> None:
    cluster.add("first")
    result = await (await start_by_hand(client, "first")).result()
    assert result.outcome == "completed"
    assert result.workflow_id.endswith("/uid-first/Deploy/1")


async def test_an_app_that_does_not_exist_is_refused(client: Client, cluster: FakeCluster) -> None:
    error = await failure(await start_by_hand(client, "nobody"))
    assert "nobody" in error.message


async def test_a_refused_spec_is_told(client: Client, cluster: FakeCluster) -> None:
    cluster.add("bad", refusal_reason="InvalidSpec", refusal="spec.topology: there is no 'ring'")
    error = await failure(await start_by_hand(client, "bad"))
    assert "spec.topology" in error.message
    assert error.type == "Refused"


async def test_a_delete_by_hand_points_to_kubectl(client: Client, cluster: FakeCluster) -> None:
    cluster.add("alive", deployed_hash="one")
    error = await failure(await start_by_hand(client, "alive", "Delete"))
    assert "kubectl delete" in error.message


async def test_a_cancellation_reaches_the_operation(client: Client, cluster: FakeCluster) -> None:
    cluster.add("unwanted").blocked = {"server"}
    handle = await start_by_hand(client, "unwanted")
    await cluster.until(lambda: "unwanted/waitReady:server" in cluster.log)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)


async def test_one_that_is_cancelled_while_it_is_queued_takes_its_wish_back(
    client: Client, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add("early", deployed_hash="one").rolls = ["a"]
    asked, answer, get = asyncio.Event(), asyncio.Event(), cluster.get

    async def slow_get(*which: Any) -> Any:
        asked.set()
        await answer.wait()
        return await get(*which)

    monkeypatch.setattr(cluster, "get", slow_get)
    await cluster.change("early", blocked={"a"})
    handle = await start_by_hand(client, "early", "Restart")
    await asked.wait()
    await handle.cancel()

    async def heard() -> bool:
        """The workflow has been told of it."""
        kinds = [event.event_type for event in (await handle.fetch_history()).events]
        cancelled = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
        told = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        return cancelled in kinds and told in kinds[kinds.index(cancelled) :]

    await eventually(heard)
    answer.set()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    await idle(client, "early")
    assert "rolled:a" not in cluster.steps("early")


async def test_a_failure_is_mirrored_and_asking_again_tries_again(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("rejected")
    app.failing = {"services": "the API server refuses it: quota"}
    error = await failure(await start_by_hand(client, "rejected"))
    assert "quota" in error.message
    await cluster.until(lambda: app.reports)
    assert (app.reports[-1].phase, app.reports[-1].failed_operation) == ("Waiting", "Deploy")
    app.failing = {}
    assert (await (await start_by_hand(client, "rejected")).result()).outcome == "completed"


async def test_who_asks_again_because_the_answer_got_lost_gets_the_same(client: Client, cluster: FakeCluster) -> None:
    """Also where the operation has ended meanwhile: nothing is restarted twice."""
    cluster.add("asked", deployed_hash="one")
    asked = OperationRequest(OperationType.RESTART, "by-hand")
    activity = ActivityEnvironment()
    activity.info = replace(activity.info, workflow_run_id=str(uuid.uuid4()))
    requests = ManualRequests(cast(Platform, FakePlatform(cluster, client, INSTALLATION)))
    tickets = []
    for _ in range(2):
        tickets.append(await activity.run(requests.enqueue, EnqueueRequest(NAMESPACE, "asked", asked)))
        await cluster.until(lambda: "finish" in cluster.steps("asked"))
    assert len(set(tickets)) == 1
    activity.info = replace(activity.info, workflow_run_id=str(uuid.uuid4()))
    assert await activity.run(requests.enqueue, EnqueueRequest(NAMESPACE, "asked", asked)) not in tickets


@pytest.mark.parametrize("kind", list(OperationType))
async def test_an_invented_ticket_gets_nothing_past_the_queue(
    client: Client, cluster: FakeCluster, kind: OperationType
) -> None:
    """Whoever reaches Temporal can give any input; what an operation may do is decided by who began it."""
    name = f"invented-{str(kind).lower()}"
    cluster.add(name, deployed_hash="one")
    where = {"namespace": NAMESPACE, "app": name, "ticket": "x", "uid": f"uid-{name}", "spec_hash": "one"}
    handle = await client.start_workflow(kind, where, id=f"by-hand/{name}", task_queue=WORKFLOW_QUEUE)
    if kind == OperationType.DELETE:
        assert "kubectl delete" in (await failure(handle)).message
    else:
        with contextlib.suppress(WorkflowFailureError):
            await handle.result()
    described = await handle.describe()
    history = [event async for event in handle.fetch_history_events()]
    steps = {
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    }
    assert steps <= {Step.ENQUEUE, Step.AWAIT_RESULT}, described.id


@pytest.mark.parametrize("kind", [COMPONENT_WORKFLOW, GROUP_WORKFLOW])
async def test_a_part_of_an_operation_cannot_be_started_by_itself(
    client: Client, cluster: FakeCluster, kind: str
) -> None:
    name = f"part-{kind.lower()}"
    cluster.add(name, deployed_hash="one")
    target = Target(
        NAMESPACE, name, f"uid-{name}", "one", "Repair", f"{INSTALLATION}/app/{NAMESPACE}/{name}/x/Repair/1"
    )
    group = GroupPlan("default", [f"{name}-0"])
    run: object = GroupRun(target, "server", group)
    if kind == COMPONENT_WORKFLOW:
        run = ComponentRun(target, ComponentPlan("server", [group]))
    handle = await client.start_workflow(kind, run, id=f"by-hand/{name}", task_queue=WORKFLOW_QUEUE)
    error = await failure(handle)
    assert "a part of an operation" in error.message
    assert cluster.steps(name) == []


@pytest.mark.parametrize("prefix", ["x", f"x/{INSTALLATION}"])
async def test_an_entity_under_another_id_plans_nothing(client: Client, cluster: FakeCluster, prefix: str) -> None:
    name = f"second-{len(prefix)}"
    cluster.add(name)
    handle = await client.start_workflow(
        ENTITY_WORKFLOW,
        {"namespace": NAMESPACE, "app": name},
        id=f"{prefix}/app/{NAMESPACE}/{name}",
        task_queue=WORKFLOW_QUEUE,
    )

    async def refused() -> bool:
        status: EntityStatus = await handle.query("status", result_type=EntityStatus)
        return status.doing.startswith("cannot look at the App: load is for the entity")

    try:
        await eventually(refused)
        assert cluster.steps(name) == []
    finally:
        await handle.terminate()
