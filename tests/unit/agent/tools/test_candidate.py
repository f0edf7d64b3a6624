"""The engine's own check of files that it is not given yet: what it sees and says, and that all else stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc import aio

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.unit.agent.support import Manager, Node, at_start, pushed, role

if TYPE_CHECKING:
    Tools = agent_pb2_grpc.ToolsAsyncStub
SECRET = "s3cret-value"
FILE = "/middleware/conf/shelf.conf"
SOURCE = "middleware__conf__shelf.conf"
CHECK = '''if grep -q "size 0" "$1"; then echo "shelf: size 0 is too small in $(cat "$1")" >&2; exit 1; fi
test -s "$1" && test "$1" != "$2"'''


def checking(node: Node, revision: int = 1) -> dict[str, Any]:
    argv = ["/bin/sh", "-c", CHECK, "sh", f"{{{{ arg['{FILE}'] }}}}", FILE.replace("/middleware", str(node.data))]
    tools = {"validateConfig": {"steps": [{"name": "check", "run": {"argv": argv}}]}}
    files = [{"path": FILE, "source": SOURCE, "write": "always", "mode": "0640"}]
    return node.document(revision=revision, tools=tools, files=files)


def content(size: int) -> str:
    return f"size {size}\npassword {at_start('secret.password')}\n"


async def start(node: Node, manager: Manager, tools: Tools) -> None:
    (node.root / "secrets" / "password").write_text(SECRET + "\n")
    node.mount(checking(node), **{SOURCE: content(5)})
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    await role(tools)


async def test_the_engine_checks_the_new_files_while_the_old_ones_stay_in_effect(
    node: Node, manager: Manager, tools: Tools
) -> None:
    await start(node, manager, tools)
    request = pb.ValidateConfigRequest(files=pushed(checking(node, 2), **{SOURCE: content(7)}))
    result = await tools.ValidateConfig(request, timeout=20)
    assert (result.success, result.message) == (True, "tool validateConfig succeeded")
    assert (node.data / "conf/shelf.conf").read_text() == f"size 5\npassword {SECRET}\n"
    assert not (node.data / ".agent/candidate").exists(), "passwords stand in it"
    assert not (node.data / ".agent/pushed.json").exists()


async def test_what_the_engine_refuses_is_told_in_its_words_without_secrets(
    node: Node, manager: Manager, tools: Tools
) -> None:
    await start(node, manager, tools)
    request = pb.ValidateConfigRequest(files=pushed(checking(node, 2), **{SOURCE: content(0)}))
    result = await tools.ValidateConfig(request, timeout=20)
    assert not result.success
    assert "shelf: size 0 is too small" in result.message
    assert SECRET not in result.message
    assert (node.data / "conf/shelf.conf").read_text() == f"size 5\npassword {SECRET}\n"
    assert not (node.data / ".agent/candidate").exists()


async def test_a_plugin_without_the_tool_says_so(node: Node, manager: Manager, tools: Tools) -> None:
    await start(node, manager, tools)
    with pytest.raises(aio.AioRpcError, match="no tool 'validateConfig'") as error:
        await tools.ValidateConfig(pb.ValidateConfigRequest(files=pushed(node.document(revision=2))), timeout=20)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_node_that_cannot_hold_the_files_is_no_refusal(node: Node, manager: Manager, tools: Tools) -> None:
    await start(node, manager, tools)
    (node.data / ".agent/candidate").write_text("in the way")
    request = pb.ValidateConfigRequest(files=pushed(checking(node, 2), **{SOURCE: content(0)}))
    with pytest.raises(aio.AioRpcError, match="cannot be written beside those in effect") as error:
        await tools.ValidateConfig(request, timeout=20)
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_before_the_first_start_nobody_knows_what_stands_in_the_files(node: Node, tools: Tools) -> None:
    (node.root / "secrets" / "password").write_text(SECRET + "\n")
    node.mount(checking(node), **{SOURCE: content(5)})
    node.start_tools()
    request = pb.ValidateConfigRequest(files=pushed(checking(node, 2), **{SOURCE: content(7)}))
    with pytest.raises(aio.AioRpcError, match="never started in this Pod") as error:
        await tools.ValidateConfig(request, wait_for_ready=True, timeout=20)
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
