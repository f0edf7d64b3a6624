"""What a worker registers is complete, and each name is there once: else no worker starts, or a step waits for ever."""

from __future__ import annotations

from typing import cast

import pytest
from temporalio import activity

from activities.dependencies import Platform
from activities.registry import all_activities
from api.steps import Step
from workflows.temporal.activity_call import LIMITS, URGENT_HEARTBEAT


def test_every_step_has_one_activity_and_limits() -> None:
    names = [activity._Definition.must_from_callable(each).name for each in all_activities(cast(Platform, None))]
    assert sorted(str(name) for name in names) == sorted(Step)
    assert set(LIMITS) == set(Step)


@pytest.mark.parametrize("step", [Step.LOAD, Step.REPORT])
def test_what_the_entity_does_before_a_failover_is_missed_soon_when_its_worker_is_lost(step: Step) -> None:
    assert LIMITS[step].urgent, f"missed after {URGENT_HEARTBEAT}"
