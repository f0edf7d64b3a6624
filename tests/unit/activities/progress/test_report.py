"""What is said of an App between operations: an Event that something failed only where it did."""

from __future__ import annotations

import pytest

from activities.progress.report import Report
from api.look import ReportRequest
from tests.unit.activities.support.agents import UID
from tests.unit.activities.support.cluster import NAME, NAMESPACE, World
from tests.unit.render.support import store

SAID = "books-store-g-0 is dead; the next Failover begins at 06:10:00 UTC (spec.failover.coolDownSeconds)"


@pytest.mark.parametrize(
    ("failed", "waiting", "event", "reason"),
    [("", "Failover", "FailoverWaits", "OperationWaits"), ("Failover", "", "FailoverFailed", "OperationFailed")],
)
async def test_what_waits_for_its_time_has_not_failed(failed: str, waiting: str, event: str, reason: str) -> None:
    world = await World(components=store(replicas=2)).deployed()
    request = ReportRequest(
        NAMESPACE,
        NAME,
        UID,
        3,
        "Waiting",
        SAID,
        accepted=True,
        accepted_reason="Accepted",
        failed_operation=failed,
        waiting_operation=waiting,
    )
    await world.do(Report(world.platform).report, request)
    assert [each for each in world.events() if SAID in each] == [f"{event}: {SAID}"]
    conditions = {each["type"]: each["reason"] for each in world.object("App", NAME)["status"]["conditions"]}
    assert conditions["Progressing"] == reason


async def test_a_paused_operation_that_nothing_calls_for_any_more_is_not_under_way() -> None:
    """Its state stood for ever, and the App was Updating without a word."""
    world = await World(components=store(replicas=2)).deployed()
    app = world.object("App", NAME)
    world.cluster.put({**app, "status": {**app.get("status", {}), "operation": {"type": "Scale", "state": "Paused"}}})
    request = ReportRequest(NAMESPACE, NAME, UID, 3, "Running", "", accepted=True, accepted_reason="Accepted")
    await world.do(Report(world.platform).report, request)
    assert world.object("App", NAME)["status"]["operation"]["state"] == "Cancelled"
