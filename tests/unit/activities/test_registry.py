"""What a worker registers is complete, and each name is there once: else no worker starts, or a step waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from activities.load import Load
from activities.platform import Platform
from activities.registry import all_activities
from activities.report import Report
from api.operations import OperationType
from api.steps import LoadRequest, ReportRequest, Step
from tests.unit.activities.cluster import World
from tests.unit.render.support import shelf, store
from workflows.options import LIMITS, URGENT_HEARTBEAT


def test_every_step_has_one_activity_and_limits() -> None:
    names = [activity._Definition.must_from_callable(each).name for each in all_activities(cast(Platform, None))]
    assert sorted(str(name) for name in names) == sorted(Step)
    assert set(LIMITS) == set(Step)


@pytest.mark.parametrize("step", [Step.LOAD, Step.REPORT])
async def test_what_the_entity_does_before_a_failover_is_missed_soon_when_its_worker_is_lost(
    step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await World(shelf(), runtimeVersion="1", components=store(replicas=1)).deployed()
    get, environment, beats = world.platform.kubernetes.get, ActivityEnvironment(), list[object]()
    environment.on_heartbeat = lambda *details: beats.append(details)

    async def slow_get(*which: Any) -> Any:
        await asyncio.sleep(0.01)  # the API server takes its time
        return await get(*which)

    monkeypatch.setattr(world.platform.kubernetes, "get", slow_get)
    target = world.target(OperationType.DEPLOY)
    if step is Step.LOAD:
        await environment.run(Load(world.platform).load, LoadRequest(target.namespace, target.app))
    else:
        request = ReportRequest(target.namespace, target.app, target.uid, 1, "Running", "as wanted", True, "Accepted")
        await environment.run(Report(world.platform).report, request)
    assert beats
    assert LIMITS[step].waits
    assert LIMITS[step].urgent, f"missed after {URGENT_HEARTBEAT}"
