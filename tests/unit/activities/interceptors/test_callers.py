"""Whoever reaches Temporal can start a step by hand, with any argument; what destroys is not done for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.interceptors.callers import Callers
from activities.reconcile.delete import Delete
from api.look import LoadRequest, ReportRequest
from api.operations import OperationType
from api.steps import ComponentStep, ErrorType, Step, Target
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import store

OPERATION = "main/app/library/books/uid-1/Delete/3"


class Body(ActivityInboundInterceptor):
    """The activity at the end of the interceptors."""

    def __init__(self) -> None:
        self.ran = False

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        self.ran = True


async def ran(step: str, caller: str | None, workflow: str | None, argument: object) -> bool:
    environment, body = ActivityEnvironment(), Body()
    environment.info = replace(
        environment.info, activity_type=step, workflow_type=caller, workflow_id=workflow, activity_id="1"
    )
    intercepted = Callers("main").intercept_activity(body)
    try:
        await environment.run(intercepted.execute_activity, ExecuteActivityInput(print, [argument], None, {}))
    except ApplicationError as error:
        return error.type != ErrorType.NOT_ASKED
    return body.ran


def target(operation: str, workflow: str = OPERATION) -> Target:
    return Target("library", "books", "uid-1", "hash", operation, workflow)


@pytest.mark.parametrize(
    ("step", "caller", "workflow", "done"),
    [
        (Step.DELETE_LEFTOVERS, "Delete", OPERATION, True),
        (Step.DELETE_LEFTOVERS, None, None, False),
        (Step.DELETE_LEFTOVERS, "Repair", OPERATION, False),
        (Step.DELETE_LEFTOVERS, "Mine", OPERATION, False),
        (Step.DELETE_LEFTOVERS, "Delete", "x", False),
        (Step.REMOVE_NODE, "Delete", OPERATION, False),
        (Step.ROLL_NODE, None, None, False),
        (Step.APPLY_GROUP, "Group", f"{OPERATION}/store/g", True),
        (Step.APPLY_GROUP, "Group", f"{OPERATION}2/store/g", False),
    ],
)
async def test_a_step_is_done_for_its_operation_only(
    step: Step, caller: str | None, workflow: str | None, done: bool
) -> None:
    assert await ran(step, caller, workflow, ComponentStep(target("Delete"), "store")) == done


async def test_a_look_is_had_by_the_entity() -> None:
    assert await ran(Step.LOAD, "App", "main/app/library/books", LoadRequest("library", "books"))
    assert not await ran(Step.LOAD, None, None, LoadRequest("library", "books"))


@pytest.mark.parametrize(
    ("caller", "workflow"),
    [
        ("App", "x/app/library/books"),
        ("App", "x/main/app/library/books"),
        ("App", "main/app/library/other"),
        ("App", "main/app/library/books/2"),
        ("Deploy", "main/app/library/books"),
    ],
)
async def test_a_second_entity_of_an_app_sees_nothing_and_says_nothing(caller: str, workflow: str) -> None:
    report = ReportRequest("library", "books", "uid-1", 1, "Running", "", True, "Accepted")
    assert await ran(Step.REPORT, "App", "main/app/library/books", report)
    assert not await ran(Step.LOAD, caller, workflow, LoadRequest("library", "books"))
    assert not await ran(Step.REPORT, caller, workflow, report)


@pytest.mark.parametrize(
    "operation",
    [
        "x/app/library/books/uid-1/Deploy/1",
        "main/app/library/other/uid-1/Deploy/1",
        "main/app/library/books2/uid-1/Deploy/1",
        "by-hand-Deploy-books",
    ],
)
async def test_an_operation_of_another_entity_has_no_step_done(operation: str) -> None:
    step = ComponentStep(target("Deploy", operation), "store")
    assert not await ran(Step.ROLL_NODE, "Deploy", operation, step)


@pytest.mark.parametrize("step", ["plan_deletion", "delete_component", "delete_leftovers"])
async def test_an_app_that_nobody_has_deleted_loses_nothing(step: str) -> None:
    world = await World(deletionPolicy="Delete", components=store(replicas=2)).deployed()
    kinds = ("Deployment", "Service", "PersistentVolumeClaim", "Secret", "ConfigMap", "Group")
    before = {kind: world.names(kind) for kind in kinds}
    argument: Any = world.target(OperationType.DELETE)
    if step == "delete_component":
        argument = ComponentStep(argument, "store")
    with pytest.raises(ApplicationError, match="nobody has deleted App library/books"):
        await world.do(getattr(Delete(world.platform), step), argument)
    assert {kind: world.names(kind) for kind in kinds} == before
