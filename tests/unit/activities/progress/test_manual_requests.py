"""An operation by hand that the App's topology has no use for is refused before it is queued."""

from __future__ import annotations

from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.progress.manual_requests import ManualRequests
from api.operations import OperationRequest, OperationType
from api.steps import EnqueueRequest
from tests.unit.activities.support.cluster import NAME, NAMESPACE, World
from tests.unit.activities.support.failing import PLATFORM
from tests.unit.render.support import shelf, store


class QueuedError(Exception):
    """It came as far as Temporal."""


class Temporal:
    async def execute_update_with_start_workflow(self, *_: Any, **__: Any) -> str:
        raise QueuedError


async def asked(world: World, operation: OperationType = OperationType.FAILOVER) -> None:
    world.platform.temporal = cast(Client, Temporal())
    requests = ManualRequests(world.platform)
    wish = EnqueueRequest(NAMESPACE, NAME, OperationRequest(operation, "by-hand/1"))
    await world.do(requests.enqueue, wish)


@pytest.mark.parametrize(
    ("topology", "replicas", "why"),
    [("cluster", 2, "the engine itself replaces a lost primary"), ("single", 1, "no other that could take over")],
)
async def test_a_failover_that_the_topology_never_has_is_refused_at_once(
    topology: str, replicas: int, why: str
) -> None:
    world = await World(shelf(), topology=topology, components=store(replicas=replicas)).deployed()
    status = dict(world.object("App", NAME)["status"])
    with pytest.raises(ApplicationError, match=why) as caught:
        await asked(world)
    assert caught.value.non_retryable
    assert any(event.startswith("FailoverRefused: ") for event in world.events())
    assert world.object("App", NAME)["status"] == status
    with pytest.raises(QueuedError):
        await asked(world, OperationType.RESTART)


async def test_a_failover_of_the_platform_is_queued() -> None:
    world = await World(PLATFORM, components=store(replicas=2), runtimeVersion="1").deployed()
    with pytest.raises(QueuedError):
        await asked(world)


async def test_what_cannot_be_read_is_decided_when_its_turn_comes() -> None:
    world = await World(shelf(), components=store(replicas=2)).deployed()
    app = world.object("App", NAME)
    deployed = {**app["status"]["deployed"], "pluginVersion": "9.9.9"}
    world.cluster.put({**app, "status": {**app["status"], "deployed": deployed}})
    with pytest.raises(QueuedError):
        await asked(world)
