"""A fence ends in time though agent 2 is killed: the real agents over a real redis-server that refuses writes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from redis.exceptions import RedisError

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.support.stalls import stood_still
from tests.unit.agent.support import Manager, Node, eventually, free_port, role

if TYPE_CHECKING:
    Tools = agent_pb2_grpc.ToolsAsyncStub


def _set(replicas: int) -> dict[str, Any]:
    return {"steps": [{"resp": ["CONFIG", "SET", "min-replicas-to-write", replicas], "timeout": 1}]}


@pytest.fixture
async def port(node: Node, manager: Manager, tools: Tools) -> int:
    """A node whose agents run a Redis on this port; ``marks`` counts what was undone."""
    port = free_port()
    program = shutil.which("redis-server")
    assert program, "these tests need redis-server on PATH: make .venv/bin/redis-server"
    lift = _set(0)
    lift["steps"].append({"run": {"argv": ["/bin/sh", "-c", "echo lifted >> marks"]}})
    ask = {"resp": ["PING"]}
    document = node.document(
        process={"command": [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]},
        tools={
            "getRole": {"steps": [ask, {"set": {"r": "primary"}}], "result": {"role": "{{ r }}"}},
            "fence": _set(99) | {"undo": {"tool": "unfence", "after": "{{ arg.seconds }}"}},
            "unfence": lift,
            "follow": _set(0),
        },
        connections={"me": {"resp": f"127.0.0.1:{port}"}},
        roles=["primary"],
        writableRoles=["primary"],
    )
    node.mount(document)
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    await eventually(lambda: _writes(port), what="the first write")
    await role(tools)
    return port


async def _writes(port: int) -> bool:
    async with redis.asyncio.Redis(port=port, socket_timeout=2) as client:
        try:
            await client.set("key", 1)
        except (RedisError, OSError):
            return False
        return True


async def _run(tools: Tools, tool: str, **arguments: str) -> None:
    """As soon as agent 2 knows the state of the process."""
    await role(tools)
    result = pb.ToolResult()
    async for output in tools.Run(pb.RunRequest(tool=tool, arguments=arguments), timeout=20):
        result = output.result
    assert result.success, result.message


def _kill(agent: subprocess.Popen[bytes]) -> None:
    agent.kill()
    agent.wait(5)


def _kept(node: Node) -> Path:
    return node.data / ".agent" / "undo.json"


def _undone(node: Node) -> int:
    marks = node.data / "marks"
    return len(marks.read_text().split()) if marks.exists() else 0


async def test_a_new_agent_lifts_the_fence_of_one_that_was_killed_when_its_time_has_come(
    node: Node, tools: Tools, port: int
) -> None:
    began = time.monotonic()
    await _run(tools, "fence", seconds="4")
    _kill(node.processes[-1])
    assert not await _writes(port)
    node.start_tools()
    await role(tools)
    assert not await _writes(port) or time.monotonic() - began > 3.9, "lifted before its time"
    await eventually(lambda: _writes(port), what="writes flow again")
    assert time.monotonic() - began > 3.9
    await eventually(lambda: not _kept(node).exists(), what="nothing is due any more")


async def test_what_is_overdue_is_undone_when_the_engine_answers_again(
    node: Node, manager: Manager, tools: Tools, port: int
) -> None:
    await _run(tools, "fence", seconds="60")
    _kill(node.processes[-1])
    kept = json.loads(_kept(node).read_text())
    _kept(node).write_text(json.dumps({"due": [{**due, "at": 1} for due in kept["due"]]}))  # long ago
    engine = (await manager.status()).pid
    os.kill(engine, signal.SIGSTOP)
    node.start_tools()
    await eventually(lambda: b"still to be undone" in node.agent_log.read_bytes(), what="a first attempt")
    assert _kept(node).exists()
    os.kill(engine, signal.SIGCONT)
    await eventually(lambda: _writes(port), what="writes flow again")
    await eventually(lambda: not _kept(node).exists(), what="nothing is due any more")


@pytest.mark.parametrize(("ending", "times"), [("follow", 0), ("unfence", 1)])
async def test_what_was_lifted_by_hand_is_not_lifted_again(
    node: Node, tools: Tools, port: int, ending: str, times: int
) -> None:
    began = time.monotonic()
    await _run(tools, "fence", seconds="2")
    assert (_kept(node).exists() and not await _writes(port)) or stood_still(began)
    await _run(tools, ending)
    assert await _writes(port)
    assert not _kept(node).exists()
    assert _undone(node) == times or stood_still(began), "its time was over before"
    times = _undone(node)
    await asyncio.sleep(2.5)  # past the time of the fence, by the clock of the agent that fenced
    assert _undone(node) == times
    _kill(node.processes[-1])
    node.start_tools()
    await role(tools)
    await asyncio.sleep(0.5)  # an agent that went on with it would do so at once
    assert _undone(node) == times


async def test_what_another_app_has_left_on_the_volume_is_dropped(node: Node, tools: Tools, port: int) -> None:
    _kill(node.processes[-1])
    left = {"appUid": "uid-0", "of": "fence", "tool": "unfence", "at": 1, "after": 1}
    _kept(node).write_text(json.dumps({"due": [left]}))
    node.start_tools()
    await role(tools)
    await eventually(lambda: not _kept(node).exists(), what="it is dropped")
    await asyncio.sleep(0.5)  # it was due long ago, and would be undone at once
    assert _undone(node) == 0


async def test_what_cannot_be_read_keeps_no_agent_from_its_work(node: Node, tools: Tools, port: int) -> None:
    _kill(node.processes[-1])
    _kept(node).write_text('{"due": [{"of"')
    node.start_tools()
    await _run(tools, "fence", seconds="1")
    await eventually(lambda: _undone(node) == 1, what="the fence is lifted")
