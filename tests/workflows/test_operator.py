"""What an operator says to an operation that runs: stop between two nodes, try again, go on without, or end."""

from __future__ import annotations

import pytest
from temporalio.client import Client, WorkflowUpdateFailedError

from api.operations import NoticeKind
from api.steps import ComponentPlan, GroupPlan, ScalePlan
from tests.workflows.cluster import FakeApp, FakeCluster
from tests.workflows.running import idle, notify, operation, say

NODES = ["x-0", "x-1", "x-2"]


def upgrading(cluster: FakeCluster, name: str, **changes: object) -> FakeApp:
    app = cluster.add(name, deployed_hash="zero", operation="Upgrade", change="7.0 → 8.0")
    app.rolls = list(NODES)
    for key, value in changes.items():
        setattr(app, key, value)
    return app


async def refusal(client: Client, app: str, verb: str) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await say(client, app, verb)
    return str(caught.value.cause)


async def test_paused_between_two_nodes_and_resumed(client: Client, cluster: FakeCluster) -> None:
    app = upgrading(cluster, "pausing", blocked={"x-0"})
    await notify(client, "pausing")
    await cluster.until(lambda: "pausing/rollNode:x-0" in cluster.log)
    assert "safe point" in await say(client, "pausing", "pause")
    await cluster.change("pausing", blocked=set())
    await cluster.until(lambda: app.states)
    assert (app.states[0].state, app.states[0].step) == ("paused", "before x-1")
    assert "rollNode:x-1" not in cluster.steps("pausing")
    assert "is paused" in await refusal(client, "pausing", "retry")
    await say(client, "pausing", "resume")
    await cluster.until(lambda: "pausing/finish" in cluster.log)
    assert [s for s in cluster.steps("pausing") if s.startswith("rolled:")] == [f"rolled:{node}" for node in NODES]


async def test_a_node_that_fails_stops_the_operation_and_a_retry_goes_on(client: Client, cluster: FakeCluster) -> None:
    app = upgrading(cluster, "stopping", failing={"rollNode:x-0": "the image cannot be pulled"})
    await notify(client, "stopping")
    await cluster.until(lambda: app.states)
    assert (app.states[0].state, app.states[0].message) == ("stopped", "the image cannot be pulled")
    assert "rollNode:x-1" not in cluster.steps("stopping"), "no other node was touched"
    app.failing = {}
    await say(client, "stopping", "retry")
    await cluster.until(lambda: "stopping/finish" in cluster.log)
    assert cluster.steps("stopping").count("rollNode:x-0") == 2


async def test_a_skipped_node_is_named_and_not_begun_again_by_itself(client: Client, cluster: FakeCluster) -> None:
    app = upgrading(cluster, "skipping", failing={"rollNode:x-1": "no space"})
    await notify(client, "skipping")
    await cluster.until(lambda: app.states)
    await say(client, "skipping", "skip")
    result = await operation(client, "skipping", "Upgrade", 1).result()
    assert result["outcome"] == "completed"  # type: ignore[index]
    assert "left out: x-1" in result["message"]  # type: ignore[index]
    await cluster.change("skipping", operation="Upgrade", change="not rolled yet: x-1")
    await notify(client, "skipping", NoticeKind.RESYNC)
    await cluster.until(lambda: app.reports)
    assert "is not complete" in app.reports[-1].message
    app.failing = {}
    assert "begins again" in await say(client, "skipping", "retry")
    await cluster.until(lambda: "skipping/rolled:x-1" in cluster.log)


def resizing(cluster: FakeCluster, name: str) -> FakeApp:
    """More memory and larger volumes at once; these do not grow."""
    app = cluster.add(name, deployed_hash="zero", operation="Resize", change="g: resources, storage")
    app.rolls, app.failing = ["x-0"], {"expandVolumes": "the volume of x-0 has not grown: quota"}
    return app


async def test_volumes_that_do_not_grow_stop_the_operation_and_are_left_out(
    client: Client, cluster: FakeCluster
) -> None:
    app = resizing(cluster, "small")
    await notify(client, "small")
    await cluster.until(lambda: app.states)
    assert (app.states[0].state, app.states[0].message) == ("stopped", "the volume of x-0 has not grown: quota")
    await say(client, "small", "retry")
    await cluster.until(lambda: [state.state for state in app.states].count("stopped") == 2)
    await say(client, "small", "skip")
    result = await operation(client, "small", "Resize", 1).result()
    assert "left out: larger volumes" in result["message"]  # type: ignore[index]
    assert "small/rolled:x-0" in cluster.log, "the memory is not kept back by them"


async def test_an_abort_ends_the_wait_for_larger_volumes(client: Client, cluster: FakeCluster) -> None:
    app = resizing(cluster, "typo")
    await notify(client, "typo")
    await cluster.until(lambda: app.states)
    await say(client, "typo", "abort")
    await cluster.until(lambda: app.reports)
    assert "was aborted" in app.reports[-1].message
    assert "typo/rollBack" in cluster.log


async def test_an_abort_rolls_back_and_does_not_begin_again(client: Client, cluster: FakeCluster) -> None:
    app = upgrading(cluster, "aborting", blocked={"x-1"})
    await notify(client, "aborting")
    await cluster.until(lambda: "aborting/rollNode:x-1" in cluster.log)
    await say(client, "aborting", "abort")
    await cluster.until(lambda: "aborting/rollBack" in cluster.log)
    await cluster.change("aborting", blocked=set())
    await cluster.until(lambda: app.reports)
    assert app.reports[-1].phase == "Waiting"
    assert "was aborted" in app.reports[-1].message
    await notify(client, "aborting", NoticeKind.RESYNC)
    assert "retry" in await refusal(client, "aborting", "pause")
    assert cluster.steps("aborting").count("rollBack") == 1


async def test_an_aborted_move_of_a_plugin_goes_back(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("moving", deployed_hash="zero", operation="UpgradePlugin", change="1.0.0 → 1.1.0")
    app.blocked = {"server"}
    await notify(client, "moving")
    await cluster.until(lambda: "syncNodes:server" in cluster.steps("moving"))
    await say(client, "moving", "abort")
    await cluster.until(lambda: "rollBack" in cluster.steps("moving"))
    await cluster.change("moving", blocked=set())
    await cluster.until(lambda: app.reports)
    assert "was aborted" in app.reports[-1].message


async def test_what_is_cancelled_in_temporal_is_not_begun_anew(client: Client, cluster: FakeCluster) -> None:
    app = upgrading(cluster, "ended", blocked={"x-0"})
    await notify(client, "ended")
    await cluster.until(lambda: "ended/rollNode:x-0" in cluster.log)
    await operation(client, "ended", "Upgrade", 1).cancel()
    await cluster.until(lambda: app.reports)
    assert app.reports[-1].message == "Upgrade was aborted: it was cancelled in Temporal; what was done stays"
    await cluster.change("ended", blocked=set())
    await say(client, "ended", "retry")
    await cluster.until(lambda: "ended/finish" in cluster.log)


async def test_too_late_to_go_back_once_the_primary_runs_the_new_version(client: Client, cluster: FakeCluster) -> None:
    upgrading(cluster, "late", writable="x-1", blocked={"x-1"}, too_late=True)
    await notify(client, "late")
    await cluster.until(lambda: "late/rollNode:x-1" in cluster.log)
    await say(client, "late", "abort")
    await cluster.change("late", blocked=set())
    await cluster.until(lambda: "late/rolled:x-2" in cluster.log)
    assert "it was completed" in (await operation(client, "late", "Upgrade", 1).result())["message"]  # type: ignore[index]
    await idle(client, "late")
    assert cluster.apps["late"].snapshot.told == "Running|Accepted|", "nobody is waited for"
    assert await refusal(client, "late", "retry") == "Refused: no operation runs now"


async def test_drift_is_repaired_under_a_paused_operation_which_stays_paused(
    client: Client, cluster: FakeCluster
) -> None:
    app = upgrading(cluster, "roomy", blocked={"x-0"})
    await notify(client, "roomy")
    await cluster.until(lambda: "roomy/rollNode:x-0" in cluster.log)
    await say(client, "roomy", "pause")
    await cluster.change("roomy", blocked=set())
    await cluster.until(lambda: app.states)
    await cluster.change("roomy", drift=["Service x is missing"])
    await notify(client, "roomy", NoticeKind.DRIFT)
    await cluster.until(lambda: "roomy/finish" in cluster.log)
    await cluster.until(lambda: [state.state for state in app.states].count("paused") == 2)
    assert app.rolls, "the upgrade begins again, and paused"
    await say(client, "roomy", "resume")
    await cluster.until(lambda: not app.rolls)


async def test_words_that_make_no_sense_are_refused_with_what_would(client: Client, cluster: FakeCluster) -> None:
    cluster.add("idle", deployed_hash="one")
    await notify(client, "idle")
    assert "no operation runs" in await refusal(client, "idle", "pause")
    assert "say one of" in await refusal(client, "idle", "hurry")


async def test_an_abort_is_heard_while_a_new_node_is_waited_for(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("waiting", deployed_hash="zero", operation="Scale", change="2 → 3 nodes")
    app.scale = ScalePlan([ComponentPlan("server", [GroupPlan("data", ["d"])])], [], ["server"])
    app.blocked = {"d"}
    await notify(client, "waiting")
    await cluster.until(lambda: "waiting/waitReady:server" in cluster.log)
    await say(client, "waiting", "abort")
    await cluster.until(lambda: app.reports)
    assert "was aborted" in app.reports[-1].message


async def test_a_second_abort_ends_the_way_back_and_a_deletion_goes_on(client: Client, cluster: FakeCluster) -> None:
    app = upgrading(cluster, "twice", blocked={"x-0"})
    await notify(client, "twice")
    await cluster.until(lambda: "twice/rollNode:x-0" in cluster.log)
    await say(client, "twice", "abort")
    await cluster.until(lambda: cluster.steps("twice").count("rollNode:x-0") == 2)
    await say(client, "twice", "abort")
    await cluster.until(lambda: app.reports)
    assert "the way back was ended too" in app.reports[-1].message
    await cluster.change("twice", deleting=True)
    await notify(client, "twice")
    await cluster.until(lambda: "twice" not in cluster.apps)


async def test_what_is_missing_is_repaired_under_an_operation_that_waits_for_it(
    client: Client, cluster: FakeCluster
) -> None:
    app = upgrading(cluster, "stuck", blocked={"x-0"})
    await notify(client, "stuck")
    await cluster.until(lambda: "stuck/rollNode:x-0" in cluster.log)
    await cluster.change("stuck", drift=["Service x is missing"], missing=["Service x is missing"])
    await notify(client, "stuck", NoticeKind.DRIFT)
    await cluster.until(lambda: "stuck/finish" in cluster.log)
    await cluster.change("stuck", blocked=set())
    await cluster.until(lambda: not app.rolls)


async def test_what_goes_missing_behind_a_repair_is_put_back_by_another(client: Client, cluster: FakeCluster) -> None:
    """A Service lost its labels just after the Repair had looked at it, which then waited for its address for ever."""
    app = cluster.add("left-behind", deployed_hash="one", drift=["Deployment x-0 was changed: spec.replicas"])
    app.blocked = {"server"}
    await notify(client, "left-behind")
    await cluster.until(lambda: "syncNodes:server" in cluster.steps("left-behind"))
    await cluster.change("left-behind", drift=["Service x is missing"], missing=["Service x is missing"])
    await notify(client, "left-behind", NoticeKind.DRIFT)
    await cluster.until(lambda: cluster.steps("left-behind").count("prepare") == 2)
    await cluster.change("left-behind", blocked=set())
    await cluster.until(lambda: "finish" in cluster.steps("left-behind"))


async def test_the_same_drift_is_repaired_each_time(client: Client, cluster: FakeCluster) -> None:
    cluster.add("each-time", deployed_hash="one")
    for times in (1, 2):
        await cluster.change("each-time", drift=["Service x is missing"], missing=["Service x is missing"])
        await notify(client, "each-time", NoticeKind.DRIFT)
        await cluster.until(lambda times=times: cluster.steps("each-time").count("finish") == times)  # type: ignore[misc]


async def test_new_drift_is_put_back_though_a_repair_has_failed(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("broken", deployed_hash="one", drift=["Service x is missing"])
    app.failing = {"prepare": "the quota is used up"}
    await notify(client, "broken")
    await cluster.until(lambda: app.reports)
    assert app.reports[-1].message == "Repair failed: the quota is used up"
    app.failing = {}
    await cluster.change("broken", drift=["Service x is missing", "ConfigMap x is missing"])
    await notify(client, "broken", NoticeKind.DRIFT)
    await cluster.until(lambda: "finish" in cluster.steps("broken"))


async def test_the_way_back_is_not_interrupted_by_what_it_puts_away_itself(
    client: Client, cluster: FakeCluster
) -> None:
    app = upgrading(cluster, "own", failing={"rollNode:x-0": "no image"})
    await notify(client, "own")
    await cluster.until(lambda: app.states)
    app.failing, app.blocked = {}, {"x-0"}
    await say(client, "own", "abort")
    await cluster.until(lambda: cluster.steps("own").count("rollNode:x-0") == 2)
    await cluster.change("own", drift=["Deployment x-0 was changed: spec.replicas"])
    await notify(client, "own", NoticeKind.DRIFT)
    await cluster.change("own", blocked=set())
    await cluster.until(lambda: app.reports)
    assert "was aborted" in app.reports[-1].message
