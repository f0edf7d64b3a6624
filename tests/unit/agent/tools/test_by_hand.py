"""A tool that somebody in the Pod has agent 2 run: the same tool, its steps told, its secrets not."""

from __future__ import annotations

import asyncio
import subprocess

from grpc import aio

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.unit.agent.support import PYTHON, Manager, Node, eventually, role

SECRET = "s3cret-value"
TOOL = {
    "steps": [
        {"name": "who asks", "set": {"name": "{{ arg.name }}"}},
        {"when": "name == 'nobody'", "fail": "nobody asks"},
        {
            "name": "greet",
            "run": {
                "argv": ["/bin/sh", "-c", 'echo "hello $1, $P"', "sh", "{{ name }}"],
                "env": {"P": "{{ secret.password }}"},
            },
            "as": "said",
            "expect": "said is matching('hello')",
        },
    ],
    "result": {"said": "{{ said }}"},
}


async def _serving(node: Node, manager: Manager) -> None:
    (node.root / "secrets" / "password").write_text(SECRET + "\n")
    node.mount(node.document(tools={"greet": TOOL}))
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    async with node.channel(node.tools_port) as channel:
        await role(agent_pb2_grpc.ToolsStub(channel))


def _by_hand(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "agent", "tool", *words]
    return subprocess.run(command, capture_output=True, text=True, env=node.environment(), timeout=30, check=False)


async def _told(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(_by_hand, node, *words)


async def test_each_step_is_told_and_no_secret(node: Node, manager: Manager) -> None:
    await _serving(node, manager)
    done = await _told(node, "greet", "--trace", "name=Ada")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    told = done.stdout.splitlines()
    assert told[0] == "step 1 'who asks': set"
    assert "  name = 'Ada'" in told
    assert "step 2: passed over, name == 'nobody' does not hold" in told
    assert any(line.startswith("  to this container: /bin/sh -c") for line in told)
    assert "  said = 'hello Ada, ***'" in told
    assert "  expect said is matching('hello'): 'True'" in told
    assert told[-1] == "said: hello Ada, ***"


async def test_without_a_trace_it_is_the_output_and_the_result(node: Node, manager: Manager) -> None:
    await _serving(node, manager)
    done = await _told(node, "greet", "name=Ada")
    assert done.stdout.splitlines() == ["hello Ada, ***", "said: hello Ada, ***"]


async def test_a_failure_and_an_unknown_tool_say_why(node: Node, manager: Manager) -> None:
    await _serving(node, manager)
    failed = await _told(node, "greet", "name=nobody")
    assert (failed.returncode, failed.stderr) == (1, "tool greet, step 2: nobody asks\n")
    unknown = await _told(node, "gret")
    assert unknown.returncode == 1
    assert "the plugin has no tool 'gret'; it has greet" in unknown.stderr
    assert (await _told(node, "seconds=5")).returncode == 2


async def test_from_elsewhere_only_the_platform_may_call(node: Node, manager: Manager) -> None:
    """The socket is the container's own; by the network an App's certificate opens nobody's agent."""
    await _serving(node, manager)
    assert (node.root / "tmp" / "tools.sock").is_socket()
    async with aio.insecure_channel(f"127.0.0.1:{node.tools_port}") as channel:

        async def refused() -> bool:
            try:
                await agent_pb2_grpc.ToolsStub(channel).GetRole(pb.GetRoleRequest(), timeout=2)
            except aio.AioRpcError:
                return True
            return False

        await eventually(refused)
