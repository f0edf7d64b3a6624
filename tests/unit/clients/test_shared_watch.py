"""One watch for all who wait: nothing is missed over a relist, and only those concerned are woken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from clients.errors import GoneError, UnavailableError
from clients.kubernetes import Kubernetes
from clients.resources import POD
from clients.shared_watch import Change, SharedWatch, WatchEvent


def pod(name: str, version: int, *, uid: str = "", app: str = "x") -> dict[str, Any]:
    labels = {"middleware.io/app": app}
    metadata = {"name": name, "namespace": "demo", "uid": uid or name, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": labels, "managedFields": ["long"]}}


class FakeKubernetes:
    """Lists what it is given, and streams what is put into its queue; an exception there ends the stream."""

    def __init__(self, *lists: list[dict[str, Any]]) -> None:
        self.lists = list(lists)
        self.listed = 0
        self.events: asyncio.Queue[tuple[str, dict[str, Any]] | Exception] = asyncio.Queue()
        self.watched_from: list[str] = []

    async def list(self, *_: object, **__: object) -> tuple[list[dict[str, Any]], str]:
        self.listed += 1
        return self.lists.pop(0) if len(self.lists) > 1 else self.lists[0], "100"

    async def watch(self, _r: object, _n: object, version: str, **_: object) -> AsyncIterator[tuple[str, Any]]:
        self.watched_from.append(version)
        while True:
            event = await self.events.get()
            if isinstance(event, Exception):
                raise event
            yield event


def watching(kubernetes: FakeKubernetes) -> SharedWatch:
    return SharedWatch(cast(Kubernetes, kubernetes), POD)


async def test_a_waiter_is_woken_by_the_object_it_waits_for() -> None:
    kubernetes = FakeKubernetes([])
    async with watching(kubernetes) as watch:
        waiting = asyncio.create_task(watch.wait_for(lambda: watch.get("demo", "a"), 5, namespace="demo"))
        await watch.synced(5)
        kubernetes.events.put_nowait(("ADDED", pod("a", 101)))
        found = await waiting
        assert found["metadata"]["name"] == "a"
        assert "managedFields" not in found["metadata"]


async def test_who_waits_for_another_app_sleeps_on() -> None:
    kubernetes, asked = FakeKubernetes([]), []
    async with watching(kubernetes) as watch:
        await watch.synced(5)

        def never() -> bool | None:
            asked.append(1)
            return None

        other = asyncio.create_task(watch.wait_for(never, 5, labels={"middleware.io/app": "y"}))
        mine = asyncio.create_task(watch.wait_for(lambda: watch.get("demo", "a"), 5, labels={"middleware.io/app": "x"}))
        await asyncio.sleep(0)
        kubernetes.events.put_nowait(("ADDED", pod("a", 101)))
        await mine
        assert len(asked) == 1
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)


async def test_an_expired_version_lists_again_and_tells_the_differences() -> None:
    before = [pod("gone", 1), pod("same", 2), pod("changed", 3), pod("replaced", 4)]
    after = [pod("same", 2), pod("changed", 9), pod("replaced", 8, uid="another"), pod("new", 7)]
    kubernetes = FakeKubernetes(before, after)
    watch, seen = watching(kubernetes), []
    async with watch:
        await watch.synced(5)

        def note(event: WatchEvent) -> None:
            seen.append((event.change, event.object["metadata"]["name"]))

        watch.subscribe(note)
        kubernetes.events.put_nowait(GoneError("watching", 410, "Expired", ""))
        await watch.wait_for(lambda: watch.get("demo", "new"), 5)
    assert seen == [
        (Change.DELETED, "gone"),
        (Change.MODIFIED, "changed"),
        (Change.DELETED, "replaced"),
        (Change.ADDED, "replaced"),
        (Change.ADDED, "new"),
    ]


async def test_a_broken_connection_resumes_where_it_was() -> None:
    kubernetes = FakeKubernetes([])
    async with watching(kubernetes) as watch:
        await watch.synced(5)
        kubernetes.events.put_nowait(("BOOKMARK", pod("", 150)))
        kubernetes.events.put_nowait(UnavailableError("watching", 0, "Unreachable", "", retry_after=0.01))
        kubernetes.events.put_nowait(("ADDED", pod("a", 151)))
        await watch.wait_for(lambda: watch.get("demo", "a"), 5)
    assert kubernetes.watched_from == ["100", "150"]
    assert kubernetes.listed == 1


async def test_waiting_ends_with_its_time() -> None:
    async with watching(FakeKubernetes([])) as watch:
        with pytest.raises(TimeoutError):
            await watch.wait_for(lambda: None, 0.05)
