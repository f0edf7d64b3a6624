"""Whose lease is renewed, asked anew before each call."""

from __future__ import annotations

import asyncio
from typing import cast

import grpc
import pytest

from clients.agents import Agents, AgentTarget
from tests.unit.watcher.support.fakes import FakeAgents, eventually
from watcher.failover.lease_renewal import PERIOD, Holder, LeaseRenewal

pytestmark = pytest.mark.usefixtures("virtual_time")

KEY = ("demo", "cache", "redis")


def holder(node: str) -> Holder:
    return Holder(KEY, f"{node}-pod", AgentTarget("demo", "cache", node, "198.18.0.2"))


def nodes(agents: FakeAgents) -> list[str]:
    return [node for node, _ in agents.renewed]


async def test_nobody_gets_a_lease_who_may_not_have_one_at_that_moment() -> None:
    agents, barred = FakeAgents(), {"b"}
    renewal = LeaseRenewal(cast(Agents, agents), lambda h: h.target.node not in barred, lambda h, reached, began: None)
    async with renewal:
        renewal.keep(KEY, [holder("a"), holder("b")])
        await eventually(lambda: len(agents.renewed) >= 3)
        assert set(nodes(agents)) == {"a"}
        barred |= {"a"}
        barred -= {"b"}
        before = len(agents.renewed)
        await eventually(lambda: len(agents.renewed) >= before + 3)
        assert set(nodes(agents)[before:]) == {"b"}


async def test_who_holds_the_role_no_more_gets_no_further_lease() -> None:
    agents = FakeAgents()
    renewal = LeaseRenewal(cast(Agents, agents), lambda h: True, lambda h, reached, began: None)
    async with renewal:
        renewal.keep(KEY, [holder("a")])
        await eventually(lambda: len(agents.renewed) >= 2)
        renewal.keep(KEY, [holder("b")])
        await asyncio.sleep(0)  # a call that was made before may begin
        before = len(agents.renewed)
        await eventually(lambda: len(agents.renewed) >= before + 3)
        assert set(nodes(agents)[before:]) == {"b"}
        renewal.keep(KEY, [])
        await asyncio.sleep(0)
        before = len(agents.renewed)
        await asyncio.sleep(5 * PERIOD)
        assert len(agents.renewed) == before


@pytest.mark.parametrize(
    ("code", "reached"),
    [
        (grpc.StatusCode.UNAVAILABLE, False),
        (grpc.StatusCode.DEADLINE_EXCEEDED, False),
        (grpc.StatusCode.FAILED_PRECONDITION, True),
        (grpc.StatusCode.UNIMPLEMENTED, True),
    ],
)
async def test_an_agent_that_refuses_was_reached(code: grpc.StatusCode, reached: bool) -> None:
    agents, told = FakeAgents(), list[bool]()
    agents.refusing["a"] = code
    renewal = LeaseRenewal(cast(Agents, agents), lambda h: True, lambda h, there, began: told.append(there))
    async with renewal:
        renewal.keep(KEY, [holder("a")])
        await eventually(lambda: len(told) >= 1)
    assert set(told) == {reached}
