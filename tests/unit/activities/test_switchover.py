"""Once the candidate is asked to take over, nothing interrupts the step: half a promotion is two writable nodes."""

from __future__ import annotations

import asyncio

import pytest

from activities.takeover import Nodes, component_of, said, to_its_end
from proto import agent_pb2
from tests.unit.render.support import wanted


class Work:
    """``done`` when it has come to its end."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.begun, self.go, self.done, self.failure = asyncio.Event(), asyncio.Event(), False, failure

    async def run(self) -> None:
        self.begun.set()
        await self.go.wait()
        await asyncio.sleep(0)
        self.done = True
        if self.failure is not None:
            raise self.failure


@pytest.mark.parametrize("cancellations", [1, 2, 3])
async def test_a_cancellation_is_honoured_when_the_work_has_ended(cancellations: int) -> None:
    """Also a second one: an operation may be interrupted while its worker is told to stop."""
    work = Work()
    step = asyncio.create_task(to_its_end(work.run()))
    await work.begun.wait()
    for _ in range(cancellations):
        step.cancel()
        await asyncio.sleep(0.01)
        assert not step.done()
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert work.done


async def test_without_a_cancellation_the_end_of_the_work_is_the_end() -> None:
    work = Work()
    work.go.set()
    await to_its_end(work.run())
    assert work.done


async def test_a_failure_of_the_work_is_told() -> None:
    work = Work(RuntimeError("the candidate has not taken over"))
    work.go.set()
    with pytest.raises(RuntimeError, match="has not taken over"):
        await to_its_end(work.run())


async def test_cancelled_it_says_so_also_where_the_work_failed() -> None:
    work = Work(RuntimeError("the candidate has not taken over"))
    step = asyncio.create_task(to_its_end(work.run()))
    await work.begun.wait()
    step.cancel()
    await asyncio.sleep(0.01)
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await step


def test_who_is_writable_is_what_the_nodes_themselves_say() -> None:
    reports = {
        "b": agent_pb2.RoleReport(role="primary"),
        "a": agent_pb2.RoleReport(role="primary"),
        "c": agent_pb2.RoleReport(role="replica"),
        "d": agent_pb2.RoleReport(),
    }
    nodes = Nodes({}, reports, frozenset({"primary"}))
    assert nodes.holders() == ["a", "b"]
    assert said(nodes.holders()) == "a, b are writable"
    assert said(["a"]) == "a is writable"
    assert said([]) == "no node is writable"


def test_unless_named_it_is_about_the_component_that_has_a_writable_role() -> None:
    desired = wanted()
    assert component_of(desired, "").name == "store"
    assert component_of(desired, "watch").name == "watch"


def test_a_component_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(Exception, match=r"no component shop; it has store, watch"):
        component_of(wanted(), "shop")
