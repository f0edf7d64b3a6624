"""Passwords are changed stage by stage, in each node after node, in either direction, and never left half changed."""

from __future__ import annotations

import pytest
from temporalio.client import Client

from api.look import Evacuation
from api.operations import NoticeKind
from tests.workflows.cluster import FakeApp, FakeCluster
from tests.workflows.running import idle, notify, operation, say, start_by_hand
from tests.workflows.test_by_hand import failure

ROTATE = "RotateCredentials"
FORWARDS = ["a:accept", "b:accept", "a:use", "b:use", "a:retire", "b:retire"]


def running(cluster: FakeCluster, name: str, **changes: object) -> FakeApp:
    app = cluster.add(name, deployed_hash="one")
    app.rolls = ["a", "b"]
    for key, value in changes.items():
        setattr(app, key, value)
    return app


def given(cluster: FakeCluster, app: str) -> list[str]:
    return [s.removeprefix("giveCredentials:") for s in cluster.steps(app) if s.startswith("giveCredentials")]


def passwords(app: FakeApp) -> dict[str, str]:
    return {key: text for key, text in app.secret.items() if not key.startswith(".")}


async def edit(client: Client, cluster: FakeCluster, name: str, password: str) -> None:
    """As somebody edits the Secret, and the watcher sees it."""
    cluster.apps[name].secret["password"] = password
    await cluster.change(name, operation=ROTATE, change="password in Secret was changed")
    await notify(client, name, NoticeKind.DRIFT)


async def test_by_hand_a_new_password_is_made_and_every_engine_goes_through_each_stage(
    client: Client, cluster: FakeCluster
) -> None:
    app = running(cluster, "made")
    await notify(client, "made")
    result = await (await start_by_hand(client, "made", ROTATE)).result()
    assert (result.outcome, given(cluster, "made")) == ("completed", FORWARDS)
    assert passwords(app) == {"password": "made", "password.used": "made"}
    steps = cluster.steps("made")
    assert steps.index("keepBoth") > steps.index("giveCredentials:b:use")
    assert steps.index("keepBoth") < steps.index("advanceRotation:use")


async def test_an_edit_of_the_secret_is_carried_out_by_itself(client: Client, cluster: FakeCluster) -> None:
    app = running(cluster, "edited")
    await notify(client, "edited")
    await idle(client, "edited")
    await edit(client, cluster, "edited", "own")
    await cluster.until(lambda: "edited/finish" in cluster.log)
    assert given(cluster, "edited") == FORWARDS
    assert passwords(app) == {"password": "own", "password.used": "own"}
    await idle(client, "edited")
    assert cluster.steps("edited").count("beginRotation") == 1


@pytest.mark.parametrize(
    ("where", "way"),
    [
        ("b:accept", ["a:accept", "b:accept", "a:withdraw", "b:withdraw"]),
        ("a:use", ["a:accept", "b:accept", "a:use", "a:return", "b:return", "a:withdraw", "b:withdraw"]),
    ],
)
async def test_an_abort_goes_back_to_the_former_password_and_stays_there(
    client: Client, cluster: FakeCluster, where: str, way: list[str]
) -> None:
    name = f"back-{where.replace(':', '-')}"
    app = running(cluster, name, blocked={where})
    await edit(client, cluster, name, "own")
    await cluster.until(lambda: f"{name}/giveCredentials:{where}" in cluster.log)
    await say(client, name, "abort")
    result = await operation(client, name, ROTATE, 1).result()
    assert result["outcome"] == "aborted"  # type: ignore[index]
    assert "the former password is valid again" in result["message"]  # type: ignore[index]
    assert (given(cluster, name), passwords(app)) == (way, {"password": "old", "password.used": "old"})
    await notify(client, name, NoticeKind.RESYNC)
    await idle(client, name)
    assert cluster.steps(name).count("beginRotation") == 1, "it does not begin again by itself"
    await edit(client, cluster, name, "other")
    await cluster.change(name, blocked=set())
    await cluster.until(lambda: f"{name}/finish" in cluster.log)
    assert passwords(app) == {"password": "other", "password.used": "other"}, "another edit is another wish"


async def test_an_abort_while_both_are_valid_goes_back(client: Client, cluster: FakeCluster) -> None:
    app = running(cluster, "both", both_for=3600.0)
    await notify(client, "both")
    handle = await start_by_hand(client, "both", ROTATE)
    await cluster.until(lambda: "both/keepBoth" in cluster.log)
    assert app.secret["password"] == "made"
    await say(client, "both", "abort")
    error = await failure(handle)
    assert "the former password is valid again" in error.message
    assert passwords(app) == {"password": "old", "password.used": "old"}


async def test_what_is_due_while_both_are_valid_gets_its_turn_and_the_rotation_goes_on_afterwards(
    client: Client, cluster: FakeCluster
) -> None:
    app = running(cluster, "meanwhile", both_for=3600.0)
    await notify(client, "meanwhile")
    await start_by_hand(client, "meanwhile", ROTATE)
    await cluster.until(lambda: "meanwhile/keepBoth" in cluster.log)
    app.writable = "meanwhile-0"
    moves = Evacuation("server", "meanwhile-0", "", "other", "meanwhile-0 refuses writes")
    await cluster.change("meanwhile", evacuations=[moves])
    await notify(client, "meanwhile", NoticeKind.DRIFT)
    await cluster.until(lambda: app.writable == "other")
    await cluster.until(lambda: cluster.steps("meanwhile").count("keepBoth") == 2)
    app.both_for = 0.0
    await cluster.change("meanwhile", drift=["Service x was changed: spec.selector"])
    await notify(client, "meanwhile", NoticeKind.DRIFT)
    await cluster.until(lambda: not app.snapshot.drift)
    await cluster.until(lambda: cluster.steps("meanwhile").count("keepBoth") == 3)
    await idle(client, "meanwhile")
    assert passwords(app) == {"password": "made", "password.used": "made"}


async def test_it_is_too_late_to_go_back_once_an_engine_may_have_forgotten(
    client: Client, cluster: FakeCluster
) -> None:
    app = running(cluster, "retiring", blocked={"a:retire"})
    await edit(client, cluster, "retiring", "own")
    await cluster.until(lambda: "retiring/giveCredentials:a:retire" in cluster.log)
    await say(client, "retiring", "abort")
    await cluster.change("retiring", blocked=set())
    result = await operation(client, "retiring", ROTATE, 1).result()
    assert "too late to go back" in result["message"]  # type: ignore[index]
    assert passwords(app) == {"password": "own", "password.used": "own"}


@pytest.mark.parametrize("where", ["b:accept", "a:use", "b:retire"])
async def test_what_a_newer_spec_interrupts_goes_on_where_it_was(
    client: Client, cluster: FakeCluster, where: str
) -> None:
    name = f"newer-{where.replace(':', '-')}"
    app = running(cluster, name, blocked={where})
    await notify(client, name)
    await start_by_hand(client, name, ROTATE)
    await cluster.until(lambda: f"{name}/giveCredentials:{where}" in cluster.log)
    await cluster.change(name, spec_hash="two", deployed_hash="two", generation=2)
    await notify(client, name)
    await cluster.until(lambda: cluster.steps(name).count("beginRotation") == 2)
    await cluster.change(name, blocked=set())
    await cluster.until(lambda: f"{name}/finish" in cluster.log)
    assert passwords(app) == {"password": "made", "password.used": "made"}
    assert not [each for each in given(cluster, name) if "withdraw" in each]


async def test_a_way_back_that_is_interrupted_goes_on_back(client: Client, cluster: FakeCluster) -> None:
    app = running(cluster, "there", blocked={"a:use", "b:return"})
    await edit(client, cluster, "there", "own")
    await cluster.until(lambda: "there/giveCredentials:a:use" in cluster.log)
    await say(client, "there", "abort")
    await cluster.until(lambda: "there/giveCredentials:b:return" in cluster.log)
    await cluster.change("there", spec_hash="two", deployed_hash="two", generation=2)
    await notify(client, "there")
    await cluster.until(lambda: cluster.steps("there").count("giveCredentials:b:return") == 2)
    await cluster.change("there", blocked=set())
    await cluster.until(lambda: "there/giveCredentials:b:withdraw" in cluster.log)
    await idle(client, "there")
    assert passwords(app) == {"password": "old", "password.used": "old"}


async def test_a_node_that_does_not_take_it_stops_the_operation_with_both_valid(
    client: Client, cluster: FakeCluster
) -> None:
    app = running(cluster, "untaken", failing={"giveCredentials:b:accept": "b: refuses"})
    await edit(client, cluster, "untaken", "own")
    await cluster.until(lambda: app.states)
    assert (app.states[0].state, app.states[0].message) == ("stopped", "b: refuses")
    assert app.secret["password.used"] == "old"
    app.failing = {}
    await say(client, "untaken", "retry")
    await cluster.until(lambda: "untaken/finish" in cluster.log)
    assert passwords(app) == {"password": "own", "password.used": "own"}


async def test_what_cannot_be_changed_is_refused_with_the_reason_and_nothing_is_touched(
    client: Client, cluster: FakeCluster
) -> None:
    app = running(cluster, "fixed", kept="plugin keeper 1.0.0 has no credentials")
    await notify(client, "fixed")
    error = await failure(await start_by_hand(client, "fixed", ROTATE))
    assert (error.type, given(cluster, "fixed")) == ("Refused", [])
    assert "has no credentials" in error.message
    await idle(client, "fixed")
    assert app.reports == [] or app.reports[-1].phase == "Running", "the App is none the worse for it"
