"""A first Deploy that waits (for an image, a machine) holds up neither a Failover nor that things are put back."""

from __future__ import annotations

from temporalio.client import Client

from api.operations import NoticeKind
from api.steps import Replacement
from tests.workflows.cluster import FakeApp, FakeCluster
from tests.workflows.running import notify, operation, say, start_by_hand, suspect

MISSING = "Service x is missing"


async def deploying(client: Client, cluster: FakeCluster, name: str) -> FakeApp:
    """Its component ``server`` is waited for."""
    app = cluster.add(name)
    app.blocked = {"server"}
    await notify(client, name)
    await cluster.until(lambda: "waitReady:server" in cluster.steps(name))
    return app


async def reason_of(client: Client, app: str, sequence: int) -> str:
    """Of a Deploy, as its input says."""
    async for event in operation(client, app, "Deploy", sequence).fetch_history_events():
        data = event.workflow_execution_started_event_attributes.input.payloads[0].data
        return data.decode()
    raise AssertionError("it has no history")


async def test_what_is_deleted_is_put_back_by_beginning_again_which_says_why(
    client: Client, cluster: FakeCluster
) -> None:
    await deploying(client, cluster, "first-waits")
    await cluster.change("first-waits", drift=[MISSING])
    await notify(client, "first-waits", NoticeKind.DRIFT)
    await cluster.until(lambda: cluster.steps("first-waits").count("prepare") == 2, timeout=40)
    await cluster.change("first-waits", drift=[])
    assert f"first deploy; {MISSING}" in await reason_of(client, "first-waits", 2)
    assert "first deploy" in await reason_of(client, "first-waits", 1)
    await cluster.change("first-waits", blocked=set())
    await cluster.until(lambda: "finish" in cluster.steps("first-waits"))


async def test_and_each_time_that_it_is_deleted(client: Client, cluster: FakeCluster) -> None:
    await deploying(client, cluster, "twice-gone")
    for times in (2, 3):
        await cluster.change("twice-gone", drift=[MISSING])
        await notify(client, "twice-gone", NoticeKind.DRIFT)
        await cluster.until(lambda times=times: cluster.steps("twice-gone").count("prepare") == times)  # type: ignore[misc]
        await cluster.change("twice-gone", drift=[])
    await cluster.change("twice-gone", blocked=set())
    await cluster.until(lambda: "finish" in cluster.steps("twice-gone"))


async def test_paused_by_an_operator_it_begins_again_and_stays_paused(client: Client, cluster: FakeCluster) -> None:
    app = await deploying(client, cluster, "held-first")
    await say(client, "held-first", "pause")
    await cluster.change("held-first", drift=[MISSING])
    await notify(client, "held-first", NoticeKind.DRIFT)
    await cluster.until(lambda: [state.state for state in app.states] == ["paused"], timeout=40)
    await cluster.change("held-first", drift=[], blocked=set())
    assert cluster.steps("held-first").count("prepare") == 2
    await say(client, "held-first", "resume")
    await cluster.until(lambda: "finish" in cluster.steps("held-first"))


async def test_a_lost_primary_is_replaced_and_the_deploy_begins_again(client: Client, cluster: FakeCluster) -> None:
    app = await deploying(client, cluster, "first-lost")
    app.writable = "x-0"
    await suspect(client, "first-lost", "x-0")
    await cluster.until(lambda: cluster.steps("first-lost").count("waitReady:server") == 2)
    await cluster.change("first-lost", blocked=set())
    await cluster.until(lambda: "finish" in cluster.steps("first-lost"))
    steps = cluster.steps("first-lost")
    assert steps.index("promote:other") < len(steps) - steps[::-1].index("prepare") - 1


async def test_a_failover_that_cannot_be_does_not_keep_the_deploy_from_going_on(
    client: Client, cluster: FakeCluster
) -> None:
    app = await deploying(client, cluster, "first-nobody")
    app.failing = {"planFailover": "nobody can take over"}
    await suspect(client, "first-nobody", "x-0")
    await cluster.until(lambda: cluster.steps("first-nobody").count("waitReady:server") == 2)
    assert "nobody can take over" in await reason_of(client, "first-nobody", 3)
    await cluster.change("first-nobody", blocked=set())
    await cluster.until(lambda: "finish" in cluster.steps("first-nobody"))


async def test_by_hand_a_failover_goes_before_it(client: Client, cluster: FakeCluster) -> None:
    app = await deploying(client, cluster, "first-hand")
    app.writable = "x-0"
    handle = await start_by_hand(client, "first-hand", "Failover", node="x-0")
    assert (await handle.result()).outcome == "completed"
    await cluster.until(lambda: cluster.steps("first-hand").count("waitReady:server") == 2)
    await cluster.change("first-hand", blocked=set())
    await cluster.until(lambda: "finish" in cluster.steps("first-hand"))


async def test_nodes_that_serve_get_other_pods_one_by_one_and_none_after_one_that_does_not_come_up(
    client: Client, cluster: FakeCluster
) -> None:
    app = cluster.add("one-by-one")
    app.left = [Replacement("data", "b", last=True), Replacement("data", "a"), Replacement("data", "c")]
    app.blocked = {"c"}
    await notify(client, "one-by-one")
    await cluster.until(lambda: cluster.steps("one-by-one").count("applyGroup:server") == 3)
    await cluster.until(lambda: cluster.steps("one-by-one").count("waitReady:server") == 3)
    assert app.replaced == ["a", "c"], "the writable one is last"
    await cluster.change("one-by-one", blocked=set())
    await cluster.until(lambda: "one-by-one/finish" in cluster.log)
    assert app.replaced == ["a", "c", "b"]
