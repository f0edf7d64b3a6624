"""A node that goes is forgotten by the others only when its engine has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from activities.dependencies import Platform
from activities.reconcile import remove_node
from activities.reconcile.remove_node import RemoveNode
from api.steps import NodeStep, Target

pytestmark = pytest.mark.usefixtures("virtual_time")

TARGET = Target("library", "books", "uid-1", "hash", "Scale", "")
STEP = NodeStep(TARGET, "store", "g", "books-store-g-2")


def pod(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"uid": "p", "name": "books-store-g-2-x", **metadata}, "spec": {}}


class FakePods:
    """The shared watch of one node's Pods."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = [pod()]
        self.changed = asyncio.Event()
        self.labels: dict[str, str] = {}

    def list(self, _namespace: str, labels: dict[str, str]) -> list[dict[str, Any]]:
        self.labels = labels
        return self.found

    def become(self, *found: dict[str, Any]) -> None:
        self.found = list(found)
        self.changed.set()

    async def wait_for(self, predicate: Callable[[], bool | None], timeout: float, **_: Any) -> bool:
        async with asyncio.timeout(timeout):
            while (answer := predicate()) is None:
                self.changed.clear()
                await self.changed.wait()
            return answer


class FakePlatform:
    def __init__(self) -> None:
        self.pods = FakePods()


async def test_while_its_pod_terminates_its_engine_still_runs() -> None:
    platform = FakePlatform()
    stopped = asyncio.create_task(RemoveNode(cast(Platform, platform))._stopped(STEP))
    await asyncio.sleep(20)
    platform.pods.become(pod(deletionTimestamp="2026-01-01T00:00:00Z"))
    await asyncio.sleep(20)
    assert not stopped.done()
    platform.pods.become()
    await asyncio.wait_for(stopped, 1)
    assert platform.pods.labels["middleware.io/node"] == STEP.node


async def test_a_node_whose_machine_is_gone_is_removed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    async def tell(_platform: object, _target: object, reason: str, message: str, *, warning: bool) -> None:
        assert warning
        told.append(f"{reason}: {message}")

    monkeypatch.setattr(remove_node, "tell", tell)
    platform = FakePlatform()
    platform.pods.found[0]["spec"]["terminationGracePeriodSeconds"] = 0
    await RemoveNode(cast(Platform, platform))._stopped(STEP)
    assert told == ["PodLeftBehind: the Pod of books-store-g-2 did not end in 30 s and is left behind"]
