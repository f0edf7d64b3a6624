"""Which Pod a node has, and the logs of several nodes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from cli import logs
from cli.nodes import current_pods, full_name, named, nodes_of
from cli.session import CommandError
from clients.errors import InvalidError, UnavailableError
from clients.kubernetes import Kubernetes
from clients.resources import DEPLOYMENT, Resource
from tests.unit.watcher.support.objects import pod

NODE = "cache-redis-data-0"


def test_a_pod_that_stays_is_the_nodes() -> None:
    going = pod("redis", 0, suffix="old")
    going["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z"}
    coming = pod("redis", 0, suffix="new", ready=False)
    (node,) = nodes_of(current_pods([coming, going]))
    assert (node.name, node.component, node.pod, node.ready) == (NODE, "redis", coming["metadata"]["name"], False)


def test_a_node_is_found_by_its_short_name_too() -> None:
    nodes = nodes_of(current_pods([pod("redis", 0), pod("redis", 1)]))
    assert named(nodes, "cache", "redis-data-1") == named(nodes, "cache", "cache-redis-data-1")
    with pytest.raises(CommandError, match=f"there are {NODE}, "):
        named(nodes, "cache", "x")


class FakeNames:
    """A node with a Deployment, and one that only its Group knows: somebody has deleted the former's."""

    async def list(self, resource: Resource, *_: Any, **__: Any) -> tuple[list[dict[str, Any]], str]:
        if resource is DEPLOYMENT:
            return [{"metadata": {"name": NODE}}], ""
        return [{"status": {"members": [{"name": "cache-redis-data-1", "state": "normal"}]}}], ""


async def test_a_node_without_a_pod_can_be_named_for_an_operation() -> None:
    cluster = cast(Kubernetes, FakeNames())
    for name in (NODE, "redis-data-0"):
        assert await full_name(cluster, "demo", "cache", name) == NODE
    assert await full_name(cluster, "demo", "cache", "redis-data-1") == "cache-redis-data-1"
    with pytest.raises(CommandError, match=f"demo/cache has no node x; it has {NODE}, cache-redis-data-1"):
        await full_name(cluster, "demo", "cache", "x")


class FakePods:
    """Pods with logs; ``scripts`` holds for each opening of a stream what it gives before it ends."""

    def __init__(self, pods: Sequence[dict[str, Any]], scripts: list[list[str | Exception]]) -> None:
        self.pods, self.scripts = list(pods), scripts
        self.asked: list[dict[str, Any]] = []
        self.looks = 0

    async def until(self, *, looks: int = 0, opened: int = 0) -> None:
        """Lets the others run until so many have been."""
        while self.looks < looks or len(self.asked) < opened:  # noqa: ASYNC110 - nobody else sees it
            await asyncio.sleep(0)

    async def list(self, *_: Any, **__: Any) -> tuple[Sequence[dict[str, Any]], str]:
        self.looks += 1
        return self.pods, "1"

    async def pod_log(self, name: str, namespace: str, container: str, **options: Any) -> AsyncIterator[str]:
        self.asked.append({"pod": name, "container": container, **options})
        if not self.scripts:
            await asyncio.Event().wait()
        for line in self.scripts.pop(0):
            if isinstance(line, Exception):
                raise line
            yield line


async def test_of_several_nodes_each_line_has_its_node(capsys: pytest.CaptureFixture[str]) -> None:
    pods = [pod("redis", 0), pod("redis", 1)]
    fake = FakePods(pods, [["one", "two"], ["three"]])
    wish = logs.Wish("demo", "cache", "middleware", follow=False, tail=5)
    await logs.show(cast(Kubernetes, fake), wish, nodes_of(current_pods(pods)))
    assert capsys.readouterr().out.splitlines() == [
        "cache-redis-data-0 | one", "cache-redis-data-0 | two", "cache-redis-data-1 | three",
    ]  # fmt: skip
    assert fake.asked[0]["tail"] == 5


async def test_for_scripts_each_line_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    pods = [pod("redis", 0)]
    fake = FakePods(pods, [['say "é" | x', ""]])
    wish = logs.Wish("demo", "cache", "middleware", follow=False, tail=None, as_json=True)
    await logs.show(cast(Kubernetes, fake), wish, nodes_of(current_pods(pods)))
    read = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert read == [{"node": NODE, "line": 'say "é" | x'}, {"node": NODE, "line": ""}]


def pending(ordinal: int) -> dict[str, Any]:
    waits = pod("redis", ordinal, ready=False)
    waits["status"] |= {
        "conditions": [{"type": "PodScheduled", "status": "False", "message": "no machine fits"}],
        "containerStatuses": [],
    }
    return waits


async def test_a_node_that_has_not_started_keeps_nobody_from_the_logs_of_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pods = [pending(0), pod("redis", 1)]
    fake = FakePods(pods, [[InvalidError("reading", 400, "BadRequest", "waiting to start")], ["one"]])
    wish = logs.Wish("demo", "cache", "middleware", follow=False, tail=None)
    with pytest.raises(CommandError) as said:
        await logs.show(cast(Kubernetes, fake), wish, nodes_of(current_pods(pods)))
    assert str(said.value) == f"{NODE} has not started, so it has no log: cannot be scheduled: no machine fits"
    assert capsys.readouterr().out.splitlines() == ["cache-redis-data-1 | one"]


async def test_followed_a_node_that_has_not_started_says_so_and_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_PAUSE", 0)
    waits = pending(0)
    fake = FakePods([waits], [["one"]])
    wish = logs.Wish("demo", "cache", "middleware", follow=True, tail=None)
    running = asyncio.create_task(logs.show(cast(Kubernetes, fake), wish, nodes_of(current_pods([waits]))))
    await fake.until(looks=2)
    waits["status"]["containerStatuses"] = [{"name": "middleware", "containerID": "first", "state": {"running": {}}}]
    await fake.until(opened=2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    said = capsys.readouterr()
    assert said.out == "one\n"
    assert said.err.startswith(f"{NODE} has not started, so it has no log: cannot be scheduled")
    assert said.err.endswith("; waiting\n")


async def test_followed_it_goes_on_in_the_next_container(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_PAUSE", 0)
    own = pod("redis", 0)
    states = own["status"]["containerStatuses"]
    states[0]["containerID"] = "first"
    broken = UnavailableError("reading", 0, "Unreachable", "the connection broke")
    fake = FakePods([own], [["one", broken], ["two"], ["three"]])
    running = asyncio.create_task(
        logs.show(
            cast(Kubernetes, fake), logs.Wish("demo", "cache", "middleware", True, 1), nodes_of(current_pods([own]))
        )
    )
    await fake.until(opened=2)
    states[0]["containerID"] = "second"
    await fake.until(opened=4)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert capsys.readouterr().out.splitlines() == ["one", "two", "three"]
    assert [each["tail"] for each in fake.asked[:3]] == [1, None, None]
    assert (fake.asked[0]["since"], fake.asked[1]["since"] > 0, fake.asked[2]["since"]) == (0, True, 0)
