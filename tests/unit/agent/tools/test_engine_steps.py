"""Steps that ask agent 1: a restart and a signal of the engine, by a tool of a plugin; the real agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.unit.agent.support import PYTHON, Manager, Node, at_start, eventually, role

if TYPE_CHECKING:
    Tools = agent_pb2_grpc.ToolsAsyncStub

ENGINE = """
import os, pathlib, signal, time
conf = pathlib.Path("conf")
def load(*_):
    pathlib.Path("has").write_text(conf.read_text())
for name in ("SIGHUP", "SIGUSR2"):
    signal.signal(getattr(signal, name), load)
if os.fork() == 0:
    signal.signal(signal.SIGHUP, lambda *_: pathlib.Path("child-was-told").touch())
    while True:
        time.sleep(0.1)
load()
if pathlib.Path("broken").exists():
    raise SystemExit("it does not start")
while True:
    time.sleep(0.1)
"""
"""Has what its file said when it last read it; a child of it would take the signal badly."""


async def _start(node: Node, manager: Manager, tools: Tools, start_seconds: float = 0.1) -> None:
    write = {"write": {"path": "/middleware/conf", "content": "{{ arg.said }}"}}
    node.mount(
        node.document(
            process={"command": [PYTHON, "-c", ENGINE], "startSeconds": start_seconds},
            tools={
                "restarts": {
                    "steps": [{"restart": {}, "timeout": 20}, {"run": {"argv": ["/bin/cat", "has"]}, "as": "has"}],
                    "result": {"has": "{{ has }}"},
                    "timeout": 30,
                },
                "reloads": {"steps": [write, {"reload": {"signal": "HUP"}}]},
                "reloadsOtherwise": {"steps": [write, {"reload": {"signal": "USR2"}}]},
            },
            files=[{"path": "/middleware/conf", "source": "conf", "write": "always", "mode": "0640"}],
        ),
        conf=f"of start {at_start('node.ordinal')}",
    )
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    await role(tools)
    await eventually((node.data / "has").exists, what="the engine has read its file")


async def _run(tools: Tools, tool: str, **arguments: str) -> pb.ToolResult:
    result = pb.ToolResult()
    async for output in tools.Run(pb.RunRequest(tool=tool, arguments=arguments), timeout=40):
        if output.WhichOneof("kind") == "result":
            result = output.result
    return result


async def test_a_step_restarts_the_engine_and_waits_until_it_runs_again(
    node: Node, manager: Manager, tools: Tools
) -> None:
    await _start(node, manager, tools)
    before = await manager.status()
    result = await _run(tools, "restarts")
    assert result.success, result.message
    after = await manager.status()
    assert (after.state, after.starts) == (pb.RUNNING, before.starts + 1)
    assert after.pid != before.pid
    assert result.values["has"] == "of start 0", "with its present files, which agent 1 writes at each start"


async def test_a_restart_after_which_the_engine_does_not_run_fails_with_its_words(
    node: Node, manager: Manager, tools: Tools
) -> None:
    await _start(node, manager, tools, start_seconds=4)  # longer than an interpreter takes to begin
    (node.data / "broken").touch()
    result = await _run(tools, "restarts")
    assert not result.success
    assert result.message.startswith("tool restarts, step 1: it does not run again: ")
    assert "it does not start" in result.message


@pytest.mark.parametrize("tool", ["reloads", "reloadsOtherwise"])
async def test_a_step_signals_the_engine_alone_which_goes_on_running(
    node: Node, manager: Manager, tools: Tools, tool: str
) -> None:
    await _start(node, manager, tools)
    before = await manager.status()
    result = await _run(tools, tool, said="new")
    assert result.success, result.message
    await eventually(lambda: (node.data / "has").read_text() == "new", what="it has read its file anew")
    after = await manager.status()
    assert (after.pid, after.starts) == (before.pid, before.starts)
    assert not (node.data / "child-was-told").exists()


async def test_before_the_engine_starts_there_is_nothing_to_restart(node: Node, manager: Manager) -> None:
    """The platform refuses such a plugin; an older document may hold it all the same."""
    node.mount(node.document(tools={"preStart": {"steps": [{"restart": {}}]}}))
    node.start_manager()
    assert "there is no engine yet" in (await manager.reaches(pb.BACKOFF)).message
