"""Which Apps' workflows are begun again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.client import Client

from api.names import FINALIZER
from watcher.notify.entities import LOOK_EVERY, Entities, missing, needs_entity


def app(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "demo", "name": name, **metadata}}


def test_only_those_whose_workflow_does_not_run() -> None:
    running = {"main/app/demo/a", "other/app/demo/b"}
    assert missing([app("a"), app("b")], running, "main") == [app("b")], "another installation's is not its own"


@pytest.mark.parametrize(
    ("metadata", "needed"),
    [
        ({}, True),
        ({"deletionTimestamp": "now", "finalizers": [FINALIZER]}, True),
        ({"deletionTimestamp": "now", "finalizers": ["somebody/else"]}, False),
    ],
)
def test_an_app_needs_its_workflow_until_its_deletion_has_ended(metadata: dict[str, Any], needed: bool) -> None:
    assert needs_entity(app("a", **metadata)) == needed


@pytest.mark.usefixtures("virtual_time")
async def test_a_look_that_fails_is_followed_by_another() -> None:
    looks: list[float] = []

    async def down() -> Client:
        looks.append(asyncio.get_running_loop().time())
        raise ConnectionError("Temporal is away")

    async with Entities(lambda: [app("a")], "main", down, lambda *_: None):
        await asyncio.sleep(3.5 * LOOK_EVERY)
    assert len(looks) == 3
