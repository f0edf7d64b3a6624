"""Tests measure by it, so it is measured itself."""

from __future__ import annotations

import asyncio
import time

import pytest

pytestmark = pytest.mark.usefixtures("virtual_time")


async def test_an_hour_costs_nothing_and_is_an_hour() -> None:
    loop, real = asyncio.get_running_loop(), time.monotonic()
    began = loop.time()
    await asyncio.sleep(3600)
    assert loop.time() - began == pytest.approx(3600)
    assert time.monotonic() - real < 60


async def test_what_works_takes_no_time_and_what_waits_is_woken_in_order() -> None:
    loop, woken = asyncio.get_running_loop(), list[tuple[str, float]]()
    began = loop.time()

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        time.sleep(0.02)  # noqa: ASYNC251 - work, as of a busy machine
        woken.append((name, round(loop.time() - began, 6)))

    await asyncio.gather(wait("last", 3.0), wait("first", 0.001), wait("second", 0.002))
    assert woken == [("first", 0.001), ("second", 0.002), ("last", 3.0)]


async def test_a_timeout_runs_out_before_what_would_take_longer() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.sleep(5.1)
    async with asyncio.timeout(5):
        await asyncio.sleep(4.9)


async def test_the_work_of_a_thread_takes_no_time() -> None:
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(0.01):
        await asyncio.to_thread(time.sleep, 0.1)
    assert asyncio.get_running_loop().time() == began
