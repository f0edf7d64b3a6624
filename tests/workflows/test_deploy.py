"""A Deploy goes component by component in the plugin's order, as a tree of workflows that reads by itself."""

from __future__ import annotations

from temporalio.client import Client

from api.operations import NoticeKind
from api.steps import ComponentPlan, GroupPlan, Plan
from tests.workflows.cluster import FakeCluster
from tests.workflows.running import entity, notify, operation


async def test_components_come_in_order(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("ordered")
    await notify(client, "ordered")
    await cluster.until(lambda: "ordered/finish" in cluster.log)
    steps = cluster.steps("ordered")
    assert set(steps[:2]) == {"prepare", "services"}
    assert steps[2:] == [
        "applyGroup:server",
        "waitReady:server",
        "ready:server",
        "record:server",
        "applyGroup:sentinel",
        "waitReady:sentinel",
        "ready:sentinel",
        "record:sentinel",
        "finish",
    ]
    result = await operation(client, "ordered", "Deploy", 1).result()
    assert app.results == [result["message"]], "the Event says what came of it, not why it began"  # type: ignore[index]


async def test_the_tree_is_the_tree_of_resources(client: Client, cluster: FakeCluster) -> None:
    cluster.add("tree")
    await notify(client, "tree")
    await cluster.until(lambda: "tree/finish" in cluster.log)
    deploy = operation(client, "tree", "Deploy", 1)
    await deploy.result()
    for suffix, kind in (("", "Deploy"), ("/server", "Component"), ("/server/data", "Group")):
        found = await client.get_workflow_handle(f"{deploy.id}{suffix}").describe()
        assert found.workflow_type == kind
        assert found.search_attributes["MiddlewareApp"] == ["tree"]
        assert found.search_attributes["MiddlewareOperation"] == ["Deploy"]
        assert "demo/tree" in str(await found.static_summary())


async def test_nothing_to_do_starts_nothing(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("done", deployed_hash="one")
    await notify(client, "done")
    await cluster.until(lambda: app.reports)
    assert [report.phase for report in app.reports] == ["Running"]
    await notify(client, "done")
    await entity(client, "done").query("status")
    assert cluster.steps("done") == []


async def test_kept_volumes_are_surveyed_before_anything_starts(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("kept")
    app.plan = Plan([ComponentPlan("server", [GroupPlan("data", ["a", "b"])], kept=True)])
    await notify(client, "kept")
    await cluster.until(lambda: "kept/finish" in cluster.log)
    assert cluster.steps("kept")[2:7] == [
        "applyGroup:server",
        "surveyVolumes:server",
        "startHeld:x-server-data-1",
        "applyGroup:server",
        "waitReady:server",
    ]


async def test_drift_is_repaired(client: Client, cluster: FakeCluster) -> None:
    cluster.add("drifted", deployed_hash="one", drift=["Service drifted-server is missing"])
    await notify(client, "drifted", NoticeKind.DRIFT)
    await cluster.until(lambda: "drifted/finish" in cluster.log)
    described = await operation(client, "drifted", "Repair", 1).describe()
    assert "Service drifted-server is missing" in str(await described.static_summary())
