"""The entity goes on through continue-as-new and worker restarts, and remembers what it must."""

from __future__ import annotations

from temporalio.client import Client, WorkflowHandle

from api.operations import WORKFLOW_QUEUE, AppReference, Notice, NoticeKind, OperationInput, OperationResult
from clients.temporal import notify_entity
from tests.workflows.cluster import INSTALLATION, FakeCluster
from tests.workflows.running import NAMESPACE, Workers, doing, entity, eventually, notify, say
from tests.workflows.server import SUGGESTED_EVENTS
from watcher.notify.entities import Entities


async def test_it_outlives_an_app_that_cannot_be_looked_at(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("unseen")
    app.failing = {"load": "the API server refuses the selector"}
    await notify(client, "unseen")
    await doing(client, "unseen", "cannot look at the App: the API server refuses the selector")
    app.failing = {}
    await notify(client, "unseen")
    await cluster.until(lambda: "unseen/finish" in cluster.log)


async def test_it_continues_as_new_without_losing_a_notice(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("long", deployed_hash="one")
    await notify(client, "long")
    first = (await entity(client, "long").describe()).run_id
    for generation in range(2, SUGGESTED_EVENTS // 8):
        await cluster.change("long", generation=generation)
        await notify(client, "long")
        await notify(client, "long", NoticeKind.DRIFT)
        wanted = generation
        await cluster.until(lambda wanted=wanted: app.snapshot.told_generation == wanted)  # type: ignore[misc]
    assert (await entity(client, "long").describe()).run_id != first
    await cluster.change("long", generation=100, spec_hash="two")
    await notify(client, "long")
    await cluster.until(lambda: "long/finish" in cluster.log)


async def test_a_worker_that_restarts_in_mid_operation_changes_nothing(
    client: Client, cluster: FakeCluster, workers: Workers
) -> None:
    cluster.add("survivor").blocked = {"server"}
    await notify(client, "survivor")
    await cluster.until(lambda: "survivor/waitReady:server" in cluster.log)
    await workers.stop()
    await cluster.change("survivor", blocked=set())
    await workers.start()
    await cluster.until(lambda: "survivor/finish" in cluster.log)
    steps = cluster.steps("survivor")
    assert [steps.count(step) for step in ("prepare", "applyGroup:server", "applyGroup:sentinel", "finish")] == [1] * 4


async def test_a_failed_operation_is_not_begun_again_by_itself(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("failing")
    app.failing = {"prepare": "Service demo/failing is there already and belongs to App other"}
    await notify(client, "failing")
    await cluster.until(lambda: app.reports)
    assert "belongs to App other" in app.reports[-1].message
    await notify(client, "failing")
    await notify(client, "failing", NoticeKind.DRIFT)
    await cluster.change("failing", generation=2, spec_hash="two")
    app.failing = {}
    await notify(client, "failing")
    await cluster.until(lambda: "failing/finish" in cluster.log)
    assert cluster.steps("failing").count("prepare") == 2


async def test_a_refused_spec_touches_nothing(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("refused", refusal_reason="InvalidSpec", refusal="spec.plugin.name: plugin 'x' is not installed")
    await notify(client, "refused")
    await cluster.until(lambda: app.reports)
    report = app.reports[-1]
    assert (report.accepted, report.accepted_reason, report.phase) == (False, "InvalidSpec", "Refused")
    assert cluster.steps("refused") == []


async def test_an_app_of_the_same_name_is_begun_anew(client: Client, cluster: FakeCluster) -> None:
    cluster.add("again")
    await notify(client, "again")
    await cluster.until(lambda: "again/finish" in cluster.log)
    await cluster.change("again", deleting=True)
    await notify(client, "again")
    await entity(client, "again").result()
    cluster.add("again", uid="another")
    await notify(client, "again")
    await cluster.until(lambda: cluster.steps("again").count("finish") == 2)


async def test_what_is_queued_survives_continue_as_new_and_runs_once(client: Client, cluster: FakeCluster) -> None:
    """The server suggests to continue as new after few events, so several operations go through it."""
    app = cluster.add("queue", deployed_hash="zero", operation="Upgrade", change="7.0 → 8.0")
    app.rolls, app.blocked = ["a"], {"a"}
    await notify(client, "queue")
    await cluster.until(lambda: "queue/rollNode:a" in cluster.log)
    handles = []
    for number in range(6):
        handle: WorkflowHandle[object, OperationResult] = await client.start_workflow(
            "Restart",
            OperationInput("demo", "queue", reason=f"number {number}"),
            id=f"queued-{number}",
            task_queue=WORKFLOW_QUEUE,
            result_type=OperationResult,
        )
        handles.append(handle)
    await cluster.change("queue", blocked=set())
    results = [await handle.result() for handle in handles]
    assert {result.outcome for result in results} == {"completed"}
    assert len({result.workflow_id for result in results}) == 6
    assert cluster.steps("queue").count("begin") == 6
    first = await client.get_workflow_handle(entity(client, "queue").id).describe()
    assert first.run_id != first.raw_description.workflow_execution_info.first_run_id


async def test_an_app_whose_workflow_was_terminated_goes_on_and_hears_an_operator_again(
    client: Client, cluster: FakeCluster
) -> None:
    """It said "Updating" for as long as anybody looked, and nothing could be done about it."""
    app = cluster.add("ended-by-hand", deployed_hash="zero", operation="Upgrade", change="7.0 → 8.0")
    app.rolls, app.blocked = ["a", "b"], {"a"}
    await notify(client, "ended-by-hand")
    await cluster.until(lambda: "ended-by-hand/rollNode:a" in cluster.log)
    await entity(client, "ended-by-hand").terminate("by mistake")
    told: list[Notice] = []

    def tell(_: object, notice: Notice) -> None:
        told.append(notice)

    async def connected() -> Client:
        return client

    manifest = {"metadata": {"namespace": NAMESPACE, "name": "ended-by-hand"}}
    entities = Entities(lambda: [manifest], INSTALLATION, connected, tell)

    async def noticed() -> bool:
        await entities.look()
        return bool(told)

    await eventually(noticed)
    await notify_entity(client, INSTALLATION, AppReference(NAMESPACE, "ended-by-hand"), told[0])
    await cluster.until(lambda: cluster.steps("ended-by-hand").count("rollNode:a") == 2)
    assert "safe point" in await say(client, "ended-by-hand", "pause")
    await cluster.change("ended-by-hand", blocked=set())
    await cluster.until(lambda: app.states)
    await say(client, "ended-by-hand", "resume")
    await cluster.until(lambda: "ended-by-hand/finish" in cluster.log)

    async def known() -> bool:
        told.clear()
        await entities.look()
        return not told

    await eventually(known)
