"""What may interrupt an operation that waits, and what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError

from api.operations import NoticeKind
from api.reconfigure import ConfigPlan, ConfigPlans
from api.steps import ComponentPlan, GroupPlan, RollNode, ScalePlan
from tests.workflows.cluster import FakeApp, FakeCluster
from tests.workflows.running import doing, entity, notify, operation, say, start_by_hand


async def test_a_deletion_ends_a_waiting_deploy(client: Client, cluster: FakeCluster) -> None:
    cluster.add("deleted").blocked = {"server"}
    await notify(client, "deleted")
    await cluster.until(lambda: "deleted/waitReady:server" in cluster.log)
    await cluster.change("deleted", deleting=True)
    await notify(client, "deleted")
    assert "is gone" in str(await entity(client, "deleted").result())
    assert cluster.steps("deleted")[-4:] == [
        "planDeletion",
        "deleteComponent:sentinel",
        "deleteComponent:server",
        "deleteLeftovers",
    ]
    described = await operation(client, "deleted", "Deploy", 1).describe()
    assert described.status == WorkflowExecutionStatus.CANCELED


async def test_a_newer_spec_ends_the_waiting_and_is_deployed(client: Client, cluster: FakeCluster) -> None:
    """An App waits for an image that does not exist; the person names another."""
    cluster.add("corrected").blocked = {"server"}
    await notify(client, "corrected")
    await cluster.until(lambda: "corrected/waitReady:server" in cluster.log)
    await cluster.change("corrected", generation=2, spec_hash="two")
    await notify(client, "corrected")
    await cluster.until(lambda: cluster.steps("corrected").count("waitReady:server") == 2)
    await cluster.change("corrected", blocked=set())
    await cluster.until(lambda: "corrected/finish" in cluster.log)
    assert cluster.apps["corrected"].snapshot.deployed_hash == "two"


async def test_the_same_spec_ends_nothing(client: Client, cluster: FakeCluster) -> None:
    cluster.add("patient").blocked = {"server"}
    await notify(client, "patient")
    await cluster.until(lambda: "patient/waitReady:server" in cluster.log)
    await notify(client, "patient")
    await cluster.change("patient", blocked=set())
    await cluster.until(lambda: "patient/finish" in cluster.log)
    assert cluster.steps("patient").count("prepare") == 1


async def test_a_pause_ends_it_and_its_end_goes_on(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("paused")
    app.blocked = {"server"}
    await notify(client, "paused")
    await cluster.until(lambda: "paused/waitReady:server" in cluster.log)
    await cluster.change("paused", paused=True, generation=2)
    await notify(client, "paused")
    await cluster.until(lambda: app.reports and app.reports[-1].paused)
    with pytest.raises(WorkflowFailureError):
        await operation(client, "paused", "Deploy", 1).result()
    await cluster.change("paused", paused=False, generation=3, blocked=set())
    await notify(client, "paused")
    await cluster.until(lambda: "paused/finish" in cluster.log)


async def test_a_refused_spec_says_what_it_has_left_halfway(client: Client, cluster: FakeCluster) -> None:
    app = held(cluster, "half", "Upgrade")
    await notify(client, "half")
    await cluster.until(lambda: at_work(cluster, "half"))
    await cluster.change("half", spec_hash="two", generation=2, refusal="spec.topology: none", refusal_reason="Invalid")
    await notify(client, "half")
    await cluster.until(lambda: app.reports)
    assert app.reports[-1].message == (
        "spec.topology: none; the Upgrade that ran stopped where it was and goes on afterwards"
    )
    await cluster.change("half", generation=3, refusal="", refusal_reason="", blocked=set())
    await notify(client, "half")
    await cluster.until(lambda: not app.rolls)


async def test_a_newer_spec_that_arrives_as_a_pause_is_told_ends_the_pause(
    client: Client, cluster: FakeCluster
) -> None:
    """The step was done first, and its answer swallowed the cancellation: the operation stayed paused for ever, and all
    that came after it, a deletion too, waited for its end."""
    app = held(cluster, "told", "Upgrade")
    await notify(client, "told")
    await cluster.until(lambda: at_work(cluster, "told"))
    await say(client, "told", "pause")
    await cluster.change("told", blocked={"paused"})
    await cluster.until(lambda: "told/tellState:paused" in cluster.log)
    await cluster.change("told", spec_hash="two", generation=2)
    await notify(client, "told")
    await doing(client, "told", "ending Upgrade")
    await cluster.change("told", blocked=set())
    await cluster.until(lambda: not app.rolls)


KINDS = ["Scale", "Upgrade", "Resize", "Reconfigure", "UpgradePlugin", "Repair", "Restart", "Switchover"]
BY_HAND = ("Restart", "Switchover")


def held(cluster: FakeCluster, name: str, kind: str) -> FakeApp:
    """An App whose operation waits in the middle of its work."""
    asked = kind not in (*BY_HAND, "Repair")
    app = cluster.add(name, deployed_hash="zero" if asked else "one", operation=kind if asked else "")
    app.snapshot = replace(app.snapshot, drift=["Service x is missing"] if kind == "Repair" else [])
    app.rolls, app.blocked = ["a", "b"], {"a", "server", "move:a"}
    app.writable = "a" if kind == "Switchover" else ""
    app.scale = ScalePlan([ComponentPlan("server", [GroupPlan("data", ["c"])])], [], ["server"])
    app.config = ConfigPlans([ConfigPlan("server", [RollNode("a", "server", "data")], changed=["timeout"])])
    return app


async def begun(client: Client, cluster: FakeCluster, name: str, kind: str) -> FakeApp:
    """The same, once it waits."""
    app = held(cluster, name, kind)
    if kind in BY_HAND:
        await start_by_hand(client, name, kind)
    else:
        await notify(client, name, NoticeKind.DRIFT if kind == "Repair" else NoticeKind.SPEC)
    await cluster.until(lambda: at_work(cluster, name))
    return app


def at_work(cluster: FakeCluster, name: str) -> bool:
    steps = {step.split(":")[0] for step in cluster.steps(name)}
    return bool(steps & {"rollNode", "configureNode", "syncNodes", "switchover"})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_deletion_ends_each_operation(client: Client, cluster: FakeCluster, kind: str) -> None:
    name = f"delete-{kind.lower()}"
    await begun(client, cluster, name, kind)
    await cluster.change(name, deleting=True)
    await notify(client, name)
    await cluster.until(lambda: name not in cluster.apps)
    assert "finish" not in cluster.steps(name)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_newer_spec_overtakes_each_operation(client: Client, cluster: FakeCluster, kind: str) -> None:
    name = f"newer-{kind.lower()}"
    await begun(client, cluster, name, kind)
    await cluster.change(name, spec_hash="two", generation=2, operation="Resize")
    await notify(client, name)
    await cluster.change(name, blocked=set())

    def carried_out() -> bool:
        """A busy worker may end the former operation before it hears of the newer spec."""
        steps = cluster.steps(name)
        return "expandVolumes" in steps and "finish" in steps[steps.index("expandVolumes") :]

    await cluster.until(carried_out)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_second_operation_by_hand_waits_for_each(client: Client, cluster: FakeCluster, kind: str) -> None:
    name, second = f"second-{kind.lower()}", "Restart" if kind == "Switchover" else "Switchover"
    app = await begun(client, cluster, name, kind)
    handle = await start_by_hand(client, name, second)
    app.writable = "a"
    await cluster.change(name, blocked=set())
    assert (await handle.result()).outcome in ("completed", "nothing to do")
    steps = cluster.steps(name)
    assert steps.index("finish") < len(steps) - 1 - steps[::-1].index("begin")
