"""A Secret that is gone while engines run with its passwords: only a person can put it back."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError

from api.names import credentials_name
from api.operations import OperationType
from tests.unit.activities.support.cluster import NAME, World
from tests.unit.render.support import store


async def test_whoever_is_to_put_it_back_is_told_how() -> None:
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    world.cluster.remove(world.object("Secret", credentials_name(NAME)))
    with pytest.raises(
        ApplicationError,
        match=r"create it again .*; it is looked for every few seconds$",
    ):
        await world.carry_out(OperationType.REPAIR)
