"""A drain waits for the App's writable node: its role goes first, whatever else the App is doing."""

from __future__ import annotations

from temporalio.client import Client

from api.look import Evacuation
from api.operations import NoticeKind
from tests.workflows.cluster import FakeApp, FakeCluster
from tests.workflows.running import entity, notify, say


def leaving(name: str, *, candidate: str = "other") -> Evacuation:
    return Evacuation("server", f"{name}-0", "m1", candidate, f"machine m1 is cordoned: {name}-0 is master")


def settled(cluster: FakeCluster, name: str) -> FakeApp:
    app = cluster.add(name, deployed_hash="one")
    app.writable = f"{name}-0"
    return app


async def test_the_role_moves_and_the_app_is_as_before(client: Client, cluster: FakeCluster) -> None:
    app = settled(cluster, "drained")
    await cluster.change("drained", evacuations=[leaving("drained")])
    await notify(client, "drained", NoticeKind.CORDON)
    await cluster.until(lambda: "drained/finish" in cluster.log)
    assert cluster.steps("drained") == ["begin", "switchover:drained-0", "finish"]
    assert app.writable == "other"
    await cluster.until(lambda: not app.snapshot.evacuations)
    await cluster.change("drained", deleting=True)
    await notify(client, "drained")
    await entity(client, "drained").result()
    assert cluster.steps("drained").count("switchover:drained-0") == 1


async def test_where_nobody_can_take_over_the_app_says_so_and_stops_saying_so(
    client: Client, cluster: FakeCluster
) -> None:
    app = settled(cluster, "alone")
    await cluster.change("alone", evacuations=[leaving("alone", candidate="")])
    await notify(client, "alone", NoticeKind.CORDON)
    await cluster.until(lambda: app.reports)
    assert app.reports[-1].message == "machine m1 is cordoned: alone-0 is master"
    assert app.reports[-1].cordoned == "machine m1 is cordoned: alone-0 is master"
    await cluster.change("alone", evacuations=[])
    await notify(client, "alone", NoticeKind.CORDON)
    await cluster.until(lambda: app.reports[-1].message == "")
    assert app.reports[-1].cordoned == ""
    assert cluster.steps("alone") == []


async def test_a_move_that_fails_is_told_and_tried_again_when_something_changes(
    client: Client, cluster: FakeCluster
) -> None:
    app = settled(cluster, "behind")
    app.failing = {"switchover": "it does not catch up"}
    await cluster.change("behind", evacuations=[leaving("behind")])
    await notify(client, "behind", NoticeKind.CORDON)
    await cluster.until(lambda: app.reports)
    assert app.reports[-1].message.endswith("could not be relieved yet: it does not catch up")
    assert cluster.steps("behind").count("switchover:behind-0") == 1, "not again and again"
    app.failing = {}
    await notify(client, "behind", NoticeKind.CORDON, "behind-0 is on machine m1, which is cordoned")
    await cluster.until(lambda: app.writable == "other")


async def test_an_operation_that_waits_for_an_operator_makes_room_and_begins_again_as_it_was(
    client: Client, cluster: FakeCluster
) -> None:
    app = cluster.add("held", deployed_hash="zero", operation="Upgrade", change="7.0 to 8.0")
    app.rolls, app.blocked = ["held-1", "held-0"], {"held-1"}
    await notify(client, "held")
    await cluster.until(lambda: "held/rollNode:held-1" in cluster.log)
    await say(client, "held", "pause")
    await cluster.change("held", blocked=set())
    await cluster.until(lambda: app.states and app.states[-1].state == "paused")
    app.writable = "held-0"
    await cluster.change("held", evacuations=[leaving("held")])
    await notify(client, "held", NoticeKind.CORDON)
    await cluster.until(lambda: app.writable == "other")
    await cluster.until(lambda: [state.state for state in app.states].count("paused") == 2)
    assert "held/rollNode:held-0" not in cluster.log, "it is paused as before"
    await say(client, "held", "resume")
    await cluster.until(lambda: app.snapshot.deployed_hash == "one")
