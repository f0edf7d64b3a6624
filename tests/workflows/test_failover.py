"""A lost primary: a Failover goes before everything but a deletion, and what it interrupts is decided on again."""

from __future__ import annotations

import time

import pytest
from temporalio.client import Client, WorkflowUpdateFailedError

from api.operations import NoticeKind
from api.reconfigure import ConfigPlan, ConfigPlans
from api.steps import ErrorType, RollNode, Step
from tests.support.stalls import in_time
from tests.workflows.cluster import FakeApp, FakeCluster
from tests.workflows.fakes import LOST
from tests.workflows.running import idle, notify, operation, say, start_by_hand, suspect
from tests.workflows.test_by_hand import failure
from workflows.entity.app import BLIND_FOR, LOOK_AGAIN

STEPS = ["planFailover:x-0", "fence:x-0", "choose", "promote:other"]
READMITTED = f"readmit:x-0:{LOST}"


def serving(cluster: FakeCluster, name: str, **changes: object) -> FakeApp:
    app = cluster.add(name, **{"deployed_hash": "one"} | changes)
    app.writable = "x-0"
    return app


async def test_a_lost_primary_is_fenced_replaced_and_taken_in_again(client: Client, cluster: FakeCluster) -> None:
    serving(cluster, "lost")
    await notify(client, "lost")
    await suspect(client, "lost", "x-0")
    result = await failover(client, cluster, "lost", 1)
    assert cluster.steps("lost") == [*STEPS, f"readmit:x-0:{LOST}"]
    assert result == "other has taken over from x-0 (stopped); x-0 follows other"


async def failover(client: Client, cluster: FakeCluster, app: str, sequence: int) -> str:
    await cluster.until(lambda: any(step.startswith("readmit") for step in cluster.steps(app)))
    result = await operation(client, app, "Failover", sequence).result()
    message: str = result["message"]  # type: ignore[index]
    return message


@pytest.mark.parametrize("paused", ["", "said", "reached"])
async def test_it_interrupts_an_operation_which_goes_on_afterwards(
    client: Client, cluster: FakeCluster, paused: str
) -> None:
    name = f"interrupted-{paused or 'running'}"
    app = serving(cluster, name, deployed_hash="zero", operation="Upgrade", change="7.0 → 8.0")
    app.rolls, app.blocked = ["x-1", "x-2"], {"x-1"}
    await notify(client, name)
    await cluster.until(lambda: "rollNode:x-1" in cluster.steps(name))
    if paused:
        await say(client, name, "pause")
    if paused == "reached":
        await cluster.change(name, blocked=set())
        await cluster.until(lambda: app.states)
    before = len(app.states)
    await suspect(client, name, "x-0")
    await cluster.until(lambda: any(step.startswith("readmit") for step in cluster.steps(name)))
    await cluster.change(name, blocked=set())
    if paused:
        await cluster.until(lambda: len(app.states) > before)
        assert app.states[-1].state == "paused"
        await say(client, name, "resume")
    await cluster.until(lambda: "finish" in cluster.steps(name))
    steps = cluster.steps(name)
    assert steps.index("promote:other") < steps.index("finish")
    assert not app.rolls


async def test_an_aborted_operation_that_it_interrupts_goes_on_going_back(client: Client, cluster: FakeCluster) -> None:
    """It was forgotten, and the version that was aborted was rolled out after all."""
    app = serving(cluster, "back-again", deployed_hash="zero", operation="Upgrade", change="7.0 → 8.0")
    app.rolls, app.blocked = ["x-1", "x-2"], {"x-1"}
    await notify(client, "back-again")
    await cluster.until(lambda: "rollNode:x-1" in cluster.steps("back-again"))
    await say(client, "back-again", "abort")
    await cluster.until(lambda: cluster.steps("back-again").count("rollNode:x-1") == 2)
    await suspect(client, "back-again", "x-0")
    await failover(client, cluster, "back-again", 2)
    await cluster.change("back-again", blocked=set())
    await cluster.until(lambda: any("was aborted" in report.message for report in app.reports))
    steps = cluster.steps("back-again")
    assert steps[len(steps) - steps[::-1].index("promote:other") :][:2] == [READMITTED, "rollBack"]
    assert steps.count("rollBack") == 2


async def test_a_pause_is_for_one_operation_and_not_for_later_ones(client: Client, cluster: FakeCluster) -> None:
    app = serving(cluster, "once", drift=["Service x is missing"])
    app.blocked = {"server"}
    await notify(client, "once")
    await cluster.until(lambda: "syncNodes:server" in cluster.steps("once"))
    await say(client, "once", "pause")
    await suspect(client, "once", "x-0")
    await failover(client, cluster, "once", 2)
    await cluster.until(lambda: [state.state for state in app.states] == ["paused"])
    await cluster.change("once", blocked=set())
    await say(client, "once", "resume")
    await cluster.until(lambda: "finish" in cluster.steps("once"))
    await idle(client, "once")
    await cluster.change("once", drift=["Service y is missing"])
    await notify(client, "once", NoticeKind.DRIFT)
    await cluster.until(lambda: cluster.steps("once").count("finish") == 2)
    assert [state.state for state in app.states].count("paused") == 1


async def test_a_pause_is_over_with_what_called_for_the_operation(client: Client, cluster: FakeCluster) -> None:
    """Days later a Repair waited for an operator who had said nothing to it."""
    app = serving(cluster, "over", drift=["Service x is missing"])
    app.blocked = {"server"}
    await notify(client, "over")
    await cluster.until(lambda: "syncNodes:server" in cluster.steps("over"))
    await say(client, "over", "pause")
    await cluster.change("over", drift=[])
    await suspect(client, "over", "x-0")
    await failover(client, cluster, "over", 2)
    await cluster.change("over", blocked=set())  # before, the Repair might have come to where it pauses
    await idle(client, "over")
    await cluster.change("over", drift=["Service y is missing"])
    await notify(client, "over", NoticeKind.DRIFT)
    await cluster.until(lambda: "finish" in cluster.steps("over"))
    assert not app.states


async def test_an_aborted_reconfigure_that_it_interrupts_goes_on_going_back(
    client: Client, cluster: FakeCluster
) -> None:
    """It had forgotten which engines it had touched, and said that it was none."""
    app = serving(cluster, "values-back", deployed_hash="zero", operation="Reconfigure", change="maxmemory")
    nodes = [RollNode("x-1", "server", "data", "a"), RollNode("x-2", "server", "data", "b")]
    app.config = ConfigPlans([ConfigPlan("server", nodes, True, ["maxmemory"])])
    app.blocked = {"x-1"}
    await notify(client, "values-back")
    await cluster.until(lambda: "configureNode:x-1" in cluster.steps("values-back"))
    await say(client, "values-back", "abort")
    await cluster.until(lambda: "configureNode:x-1:back" in cluster.steps("values-back"))
    app.config = ConfigPlans([ConfigPlan("server", nodes[:1], True, [])])
    await suspect(client, "values-back", "x-0")
    await failover(client, cluster, "values-back", 2)
    await cluster.change("values-back", blocked=set())
    await cluster.until(lambda: any("was aborted" in report.message for report in app.reports))
    assert "the former parameters were put back on x-1" in app.reports[-1].message


async def test_an_app_that_cannot_be_looked_at_has_it_all_the_same(client: Client, cluster: FakeCluster) -> None:
    app = serving(cluster, "blind")
    app.failing = {f"{Step.LOAD}:drift": "a template does not render"}
    await notify(client, "blind")
    await cluster.until(lambda: app.looks)
    began = time.monotonic()
    await suspect(client, "blind", "x-0")
    await cluster.until(lambda: "promote:other" in cluster.steps("blind"))
    assert in_time(began, BLIND_FOR.total_seconds() / 2)


async def test_it_does_not_wait_for_a_second_look_at_what_is_missing(client: Client, cluster: FakeCluster) -> None:
    app = serving(cluster, "at-once", deployed_hash="zero", operation="Upgrade", change="7.0 → 8.0")
    app.rolls, app.blocked = ["x-1"], {"x-1"}
    await notify(client, "at-once")
    await cluster.until(lambda: "rollNode:x-1" in cluster.steps("at-once"))
    await cluster.change("at-once", drift=["Deployment x-0 is missing"], missing=["Deployment x-0 is missing"])
    looks = len(app.looks)
    await notify(client, "at-once", NoticeKind.DRIFT)
    await cluster.until(lambda: len(app.looks) > looks)
    began = time.monotonic()
    await suspect(client, "at-once", "x-0")
    await cluster.until(lambda: "promote:other" in cluster.steps("at-once"))
    assert in_time(began, LOOK_AGAIN.total_seconds() / 2)


async def test_a_newer_spec_does_not_interrupt_it_and_a_deletion_does(client: Client, cluster: FakeCluster) -> None:
    app = serving(cluster, "mid-failover")
    app.blocked = {"fence:x-0"}
    await notify(client, "mid-failover")
    await suspect(client, "mid-failover", "x-0")
    await cluster.until(lambda: "fence:x-0" in cluster.steps("mid-failover"))
    for verb in ("pause", "abort"):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await say(client, "mid-failover", verb)
        assert "without a primary" in str(refused.value.cause)
    await cluster.change("mid-failover", spec_hash="two", generation=2, operation="Resize", change="more memory")
    await notify(client, "mid-failover")
    await cluster.change("mid-failover", blocked=set())
    await cluster.until(lambda: "expandVolumes" in cluster.steps("mid-failover"))
    steps = cluster.steps("mid-failover")
    assert steps[:4] == STEPS

    app = serving(cluster, "doomed")
    app.blocked = {"fence:x-0"}
    await notify(client, "doomed")
    await suspect(client, "doomed", "x-0")
    await cluster.until(lambda: "fence:x-0" in cluster.steps("doomed"))
    await cluster.change("doomed", deleting=True)
    await notify(client, "doomed")
    await cluster.until(lambda: "doomed" not in cluster.apps)


async def test_the_next_one_waits_for_the_cool_down_and_says_so(client: Client, cluster: FakeCluster) -> None:
    app = serving(cluster, "flapping", cool_down=8)
    await notify(client, "flapping")
    await suspect(client, "flapping", "x-0")
    await failover(client, cluster, "flapping", 1)
    await suspect(client, "flapping", "other")
    await cluster.until(lambda: any("coolDownSeconds" in report.message for report in app.reports))
    assert "fence:other" not in cluster.steps("flapping")
    waiting = next(report for report in app.reports if "coolDownSeconds" in report.message)
    assert (waiting.failed_operation, waiting.waiting_operation) == ("", "Failover"), "nothing has failed"
    app.writable = "other"
    await cluster.until(lambda: "fence:other" in cluster.steps("flapping"))


async def test_one_that_cannot_be_carried_out_says_why_and_is_tried_again(client: Client, cluster: FakeCluster) -> None:
    app = serving(cluster, "nobody")
    app.failing = {"planFailover": "nobody can take over without losing data"}
    await notify(client, "nobody")
    await suspect(client, "nobody", "x-0")
    await cluster.until(lambda: app.reports and "nobody can take over" in app.reports[-1].message)
    app.failing = {}
    await suspect(client, "nobody", "x-0")
    await cluster.until(lambda: "promote:other" in cluster.steps("nobody"))


async def test_who_was_replaced_and_is_back_is_only_taken_in_again(client: Client, cluster: FakeCluster) -> None:
    app = serving(cluster, "back")
    app.writable = "x-1"
    await notify(client, "back")
    await suspect(client, "back", "x-0", back=True)
    assert await failover(client, cluster, "back", 1) == "x-0 follows x-1"
    assert cluster.steps("back") == ["planFailover:x-0", "readmit:x-0"]


async def test_by_hand_it_runs_whatever_the_spec_says_by_now(client: Client, cluster: FakeCluster) -> None:
    serving(cluster, "by-hand-lost", refusal="spec.components[0].name: no such component", refusal_reason="InvalidSpec")
    handle = await start_by_hand(client, "by-hand-lost", "Failover", node="x-0")
    assert (await handle.result()).outcome == "completed"
    assert cluster.steps("by-hand-lost")[:4] == STEPS


async def test_one_that_is_refused_by_hand_leaves_phase_and_message_as_they_are(
    client: Client, cluster: FakeCluster
) -> None:
    """A healthy App said Waiting for half a minute, whatever was done meanwhile."""
    app = serving(cluster, "not-lost")
    await notify(client, "not-lost")
    await cluster.until(lambda: bool(app.reports))
    app.failing[ErrorType.NO_CANDIDATE] = "server has no other node that could take over"
    error = await failure(await start_by_hand(client, "not-lost", "Failover"))
    assert (error.type, app.failing[ErrorType.NO_CANDIDATE] in error.message) == ("Refused", True)
    looks = len(app.looks)
    await notify(client, "not-lost")
    await cluster.until(lambda: len(app.looks) > looks)
    await idle(client, "not-lost")
    assert [report.phase for report in app.reports] == ["Running"]


async def test_a_paused_app_is_left_alone(client: Client, cluster: FakeCluster) -> None:
    app = serving(cluster, "left-alone", paused=True)
    await notify(client, "left-alone")
    await suspect(client, "left-alone", "x-0")
    await cluster.until(lambda: app.reports)
    assert cluster.steps("left-alone") == []
