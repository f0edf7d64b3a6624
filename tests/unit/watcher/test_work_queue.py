"""Each key once, one run at a time, again after a failure."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from clients.errors import UnavailableError
from tests.unit.watcher.support.fakes import eventually
from watcher.work_queue import WorkQueue

pytestmark = pytest.mark.usefixtures("virtual_time")


async def test_a_burst_is_one_run_and_what_comes_during_a_run_is_one_more() -> None:
    runs: list[str] = []
    gate = asyncio.Event()

    async def handle(key: str) -> None:
        runs.append(key)
        await gate.wait()

    queue = WorkQueue("test", handle, delay=0.02)
    for _ in range(10):
        queue.add("a")
    await eventually(lambda: runs == ["a"])
    for _ in range(10):
        queue.add("a")
    assert runs == ["a"]
    gate.set()
    await eventually(lambda: runs == ["a", "a"])
    await eventually(lambda: len(queue) == 0)
    await queue.close()


async def test_a_failed_run_comes_again_and_a_shorter_wait_wins() -> None:
    attempts: list[float] = []
    loop = asyncio.get_running_loop()

    async def handle(key: str) -> None:
        attempts.append(loop.time())
        if len(attempts) < 3:
            raise UnavailableError("calling", 503, "", "restarting")

    queue = WorkQueue("test", handle)
    queue.add("a", 60.0)
    queue.add("a", 0.0)
    await eventually(lambda: len(attempts) == 3)
    assert [after - before for before, after in itertools.pairwise(attempts)] == pytest.approx([0.2, 0.4])
    await queue.close()


async def test_a_run_that_asks_for_itself_again_waits_as_long_as_it_asked() -> None:
    runs: list[float] = []
    loop = asyncio.get_running_loop()

    async def handle(key: str) -> None:
        runs.append(loop.time())
        if len(runs) < 3:
            queue.add(key, 0.1)

    queue = WorkQueue("test", handle)
    queue.add("a")
    await eventually(lambda: len(runs) == 3)
    assert [after - before for before, after in itertools.pairwise(runs)] == pytest.approx([0.1, 0.1])
    await eventually(lambda: len(queue) == 0)
    await queue.close()


async def test_keys_run_side_by_side_up_to_the_number_of_workers() -> None:
    running: set[str] = set()
    most = 0

    async def handle(key: str) -> None:
        nonlocal most
        running.add(key)
        most = max(most, len(running))
        await asyncio.sleep(0.01)
        running.discard(key)

    queue = WorkQueue("test", handle, workers=2)
    for key in "abcdef":
        queue.add(key)
    await eventually(lambda: len(queue) == 0)
    assert most == 2
    await queue.close()


async def test_closing_ends_what_runs_and_takes_nothing_more() -> None:
    ended: list[str] = []

    async def handle(key: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(key)

    queue = WorkQueue("test", handle)
    queue.add("a")
    await asyncio.sleep(0.02)
    await queue.close()
    queue.add("b")
    assert ended == ["a"]
    assert len(queue) == 0
