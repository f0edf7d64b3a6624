"""Whether a process that does not answer hangs or works, as agent 1 says twice."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc
import pytest

from clients.agents import Agents, AgentTarget
from proto import agent_pb2
from tests.unit.watcher.support.fakes import FakeAgents, eventually
from watcher.failover.detection_rules import Usage
from watcher.failover.probes import EVERY, Asked, Probes

pytestmark = pytest.mark.usefixtures("virtual_time")

TARGET = AgentTarget("demo", "cache", "node", "198.18.0.2")


@pytest.mark.parametrize(
    ("first", "second", "idle"),
    [
        ({"cpu_milliseconds": 500}, {"cpu_milliseconds": 500}, True),
        ({"cpu_milliseconds": 500}, {"cpu_milliseconds": 510}, False),
        ({"cpu_milliseconds": 500}, {"cpu_milliseconds": 510, "kernel_state": "T"}, True),
        ({"cpu_milliseconds": 500, "pid": 7}, {"cpu_milliseconds": 500, "pid": 8}, None),
        ({}, {"kernel_state": ""}, None),
    ],
)
async def test_usage(first: dict[str, Any], second: dict[str, Any], idle: bool | None) -> None:
    agents, said = FakeAgents(), list[Usage]()
    answers = iter([agent_pb2.ProcessStatus(**{"pid": 7, "kernel_state": "S", **each}) for each in (first, second)])
    agents.statuses["node"] = lambda: next(answers)
    questions, reached = Probes(cast(Agents, agents)), list[bool]()
    async with questions:
        questions.usage(Asked("pod", TARGET, lambda there, began: reached.append(there)), said.append)
        await eventually(lambda: reached == [True])
    assert [usage.idle for usage in said] == [idle]


async def test_an_agent_that_cannot_be_reached_tells_nothing_of_the_process() -> None:
    agents, said = FakeAgents(), list[Usage]()
    agents.refusing["node"] = grpc.StatusCode.UNAVAILABLE
    questions, reached = Probes(cast(Agents, agents)), list[bool]()
    async with questions:
        questions.usage(Asked("pod", TARGET, lambda there, began: reached.append(there)), said.append)
        await eventually(lambda: reached == [False])
    assert [usage.idle for usage in said] == [None]


async def test_a_question_is_asked_once_at_a_time_and_not_again_at_once() -> None:
    agents, answers = FakeAgents(), list[agent_pb2.RoleReport]()
    questions = Probes(cast(Agents, agents))
    async with questions:
        for _ in range(5):
            questions.role(Asked("pod", TARGET, lambda there, began: None), answers.append)
            await asyncio.sleep(0)
        await eventually(lambda: len(answers) == 1)
        questions.role(Asked("pod", TARGET, lambda there, began: None), answers.append)
        await asyncio.sleep(0.9 * EVERY)
    assert len(answers) == 1
