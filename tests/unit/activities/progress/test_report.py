"""What is said of an App between operations: an Event that something failed only where it did."""

from __future__ import annotations

import pytest

from activities.progress.report import Report
from api.steps import ReportRequest
from tests.unit.activities.support.agents import UID
from tests.unit.activities.support.cluster import NAME, NAMESPACE, World
from tests.unit.render.support import store

SAID = "books-store-g-0 is dead; the next Failover begins at 06:10:00 UTC (spec.failover.coolDownSeconds)"


@pytest.mark.parametrize(
    ("field", "event", "reason"),
    [
        ("waiting_operation", "FailoverWaits", "OperationWaits"),
        ("failed_operation", "FailoverFailed", "OperationFailed"),
    ],
)
async def test_what_waits_for_its_time_has_not_failed(field: str, event: str, reason: str) -> None:
    world = await World(components=store(replicas=2)).deployed()
    request = ReportRequest(NAMESPACE, NAME, UID, 3, "Waiting", SAID, True, "Accepted", **{field: "Failover"})
    await world.do(Report(world.platform).report, request)
    assert [each for each in world.events() if SAID in each] == [f"{event}: {SAID}"]
    conditions = {each["type"]: each["reason"] for each in world.object("App", NAME)["status"]["conditions"]}
    assert conditions["Progressing"] == reason
