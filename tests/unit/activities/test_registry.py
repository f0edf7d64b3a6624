"""What a worker registers is complete, and each name is there once: else no worker starts, or a step waits for ever."""

from __future__ import annotations

from typing import cast, get_type_hints

import pytest
from temporalio import activity

from activities.dependencies import Platform
from activities.registry import all_activities
from api.steps import Step, Target
from workflows.temporal.activity_call import LIMITS, URGENT_HEARTBEAT


def test_every_step_has_one_activity_and_limits() -> None:
    names = [activity._Definition.must_from_callable(each).name for each in all_activities(cast(Platform, None))]
    assert sorted(str(name) for name in names) == sorted(Step)
    assert set(LIMITS) == set(Step)


OF_NO_OPERATION = {Step.LOAD, Step.REPORT, Step.ENQUEUE, Step.AWAIT_RESULT, Step.CANCEL_TICKET}
"""A look at an App between operations, and what a run by hand asks the entity."""


@pytest.mark.parametrize("step", sorted(set(Step) - OF_NO_OPERATION))
def test_every_step_of_an_operation_says_for_whom_it_works(step: Step) -> None:
    """Else what keeps it from being done is told nowhere: a failover that failed again and again was not."""
    found = {activity._Definition.must_from_callable(each).name: each for each in all_activities(cast(Platform, None))}
    (request,) = [kind for name, kind in get_type_hints(found[step]).items() if name != "return"]
    own = request.__dict__.get("target")
    named = get_type_hints(own.fget)["return"] if isinstance(own, property) else get_type_hints(request)["target"]
    assert named is Target


@pytest.mark.parametrize("step", [Step.LOAD, Step.REPORT])
def test_what_the_entity_does_before_a_failover_is_missed_soon_when_its_worker_is_lost(step: Step) -> None:
    assert LIMITS[step].urgent, f"missed after {URGENT_HEARTBEAT}"
