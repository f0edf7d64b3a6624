"""A Secret that is gone while engines run with its passwords: only a person can put it back."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError

from api.names import credentials_name
from api.operations import OperationType
from tests.unit.activities.support.cluster import NAME, World
from tests.unit.render.support import store


async def test_whoever_puts_it_back_is_told_how_the_operation_begins_at_once() -> None:
    """It tries again by itself, but up to five minutes later."""
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    world.cluster.remove(world.object("Secret", credentials_name(NAME)))
    with pytest.raises(ApplicationError, match=f"create it again .*; then say mw retry {NAME}$"):
        await world.carry_out(OperationType.REPAIR)
