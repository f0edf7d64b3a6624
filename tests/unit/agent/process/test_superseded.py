"""A document that is pushed while a start is prepared, which may wait for peers for a minute: the start is with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.unit.agent.support import Manager, Node, at_start, eventually, pushed

if TYPE_CHECKING:
    Tools = agent_pb2_grpc.ToolsAsyncStub

WAITS = "echo {{ node.lead }} >> tries; while [ ! -e go ]; do sleep 0.05; done"
STARTS = ["/bin/sh", "-c", "cat engine.conf >> started; trap : TERM; sleep 1000 & wait"]
FILES = [{"path": "/middleware/engine.conf", "source": "conf", "write": "always", "mode": "0600"}]


def _document(node: Node, **changes: Any) -> dict[str, Any]:
    """Its preStart waits until ``go`` is there; its engine notes with what it was started."""
    waits = {"timeout": 60, "steps": [{"run": {"argv": ["/bin/sh", "-c", WAITS]}, "timeout": 60}]}
    return node.document(process={"command": STARTS}, tools={"preStart": waits}, files=FILES, **changes)


async def _prepares(node: Node, times: int = 1) -> None:
    tries = node.data / "tries"
    await eventually(lambda: tries.exists() and len(tries.read_text().split()) == times, what=f"preparation {times}")


async def _started(node: Node) -> str:
    """With what the engine was started, each time."""
    started = node.data / "started"
    return str(await eventually(lambda: started.exists() and started.read_text(), what="the engine has read its file"))


async def _preparing(node: Node, conf: str) -> None:
    """Both agents run, and agent 1 waits in preStart."""
    node.mount(_document(node), conf=conf)
    node.start_manager()
    node.start_tools()
    await _prepares(node)


async def _told_to_lead(node: Node, manager: Manager) -> asyncio.Future[pb.ProcessStatus]:
    """By the platform's Start, which begins the preparation anew."""
    answer = asyncio.ensure_future(manager.stub.Start(pb.StartRequest(lead=True), timeout=30))
    await _prepares(node, 2)
    return answer


async def _push(tools: Tools, document: dict[str, Any], conf: str) -> pb.ReloadConfigResult:
    request = pb.ReloadConfigRequest(files=pushed(document, conf=conf), parameters={"size": "2"})
    result = await tools.ReloadConfig(request, wait_for_ready=True, timeout=10)
    assert result.success, result.message
    return result


async def test_the_engine_starts_with_what_was_pushed_while_it_was_prepared(
    node: Node, manager: Manager, tools: Tools
) -> None:
    await _preparing(node, f"size 1 lead {at_start('node.lead')}\n")
    starting = await _told_to_lead(node, manager)
    assert (
        "does not run"
        in (await _push(tools, _document(node, revision=2), f"size 2 lead {at_start('node.lead')}\n")).message
    )
    (node.data / "go").touch()
    status = await starting
    assert (status.state, status.starts, status.revision) == (pb.RUNNING, 1, 2)
    assert await _started(node) == "size 2 lead true\n", "the word to lead was for this start"
    assert (node.data / "tries").read_text().split() == ["false", "true", "true"]


async def test_a_hold_that_comes_while_the_engine_is_prepared_holds_it(
    node: Node, manager: Manager, tools: Tools
) -> None:
    """It was replaced as primary meanwhile."""
    await _preparing(node, "size 1\n")
    starting = await _told_to_lead(node, manager)
    await _push(tools, _document(node, revision=2, hold=True), "size 2\n")
    (node.data / "go").touch()
    assert (await manager.reaches(pb.HELD)).starts == 0
    await _push(tools, _document(node, revision=3), "size 3\n")
    assert (await starting).starts == 1
    assert await _started(node) == "size 3\n"
    assert (node.data / "tries").read_text().split()[-1] == "false", "nobody wants it to lead any more"


async def test_a_mount_that_follows_what_was_pushed_begins_nothing_anew(
    node: Node, manager: Manager, tools: Tools
) -> None:
    await _preparing(node, "size 1\n")
    await _push(tools, _document(node, revision=2), "size 2\n")
    (node.data / "go").touch()
    await manager.reaches(pb.RUNNING)
    await _prepares(node, 2)
    (node.data / "go").unlink()
    restarting = asyncio.ensure_future(manager.stub.Restart(pb.RestartRequest(), timeout=30))
    await _prepares(node, 3)
    node.mount(_document(node, revision=2), conf="size 2\n")
    (node.data / "go").touch()
    assert (await restarting).starts == 2
    await _prepares(node, 3)
