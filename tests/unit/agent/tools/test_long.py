"""Long tools: an engine that carries a run on by itself, and an agent that may end in the middle of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from grpc import aio

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.unit.agent.support import Manager, Node, eventually, role

if TYPE_CHECKING:
    Tools = agent_pb2_grpc.ToolsAsyncStub

MOVES = """#!/bin/sh
# An engine that moves its parts away: a run is a file per part, and "runs" has a line for each run.
cd "$(dirname "$0")/../data" || exit 1
case "$1" in
  start)
    [ -e refuses ] && { echo "no other broker has room for topic-0" >&2; exit 1; }
    [ -e slow ] && sleep 1
    echo run >> runs; echo 0 > moved ;;
  cancel) rm -f moved; echo cancelled >> runs ;;
  poll)
    [ -e deaf ] && { echo "the controller does not answer" >&2; exit 1; }
    if [ -e broken ]; then echo "state=failed says=the disk of node 2 is full"
    elif [ ! -e moved ]; then echo "state=idle says="
    elif [ "$(cat moved)" -ge 30 ]; then echo "state=done says="
    else echo "state=running moved=$(cat moved)"; fi ;;
esac
"""


def leave(script: Path) -> dict[str, Any]:
    def part(verb: str) -> dict[str, Any]:
        return {"run": {"argv": ["/bin/sh", str(script), verb]}}

    said = r"{{ (said | captured('state=(?P<v>\w+)')).v }}"
    moved = r"(said | captured('moved=(?P<v>\d+)')).get('v', 0) | int"
    return {
        "start": {"steps": [part("start")]},
        "poll": {
            "steps": [part("poll") | {"as": "said"}],
            "result": {
                "state": said,
                "progress": "{{ 100 * (" + moved + ") / 30 }}",
                "eta": "{{ 60 }}",
                "message": r"{{ (said | captured('says=(?P<v>.*)')).get('v') or (" + moved + r") ~ ' of 30 moved' }}",
            },
        },
        "cancel": {"steps": [part("cancel")]},
        "stalls": 60,
    }


@pytest.fixture
async def engine(node: Node, manager: Manager) -> Path:
    """Its data; the node's agents run."""
    script = node.root / "scripts" / "moves"
    script.write_text(MOVES)
    node.mount(node.document(tools={"leave": leave(script)}))
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    async with node.channel(node.tools_port) as channel:
        await role(agent_pb2_grpc.ToolsStub(channel))
    return node.data


async def ask(tools: Tools, verb: pb.LongToolVerb.ValueType = pb.LONG_TOOL_POLL) -> pb.LongToolStatus:
    return await tools.LongTool(pb.LongToolRequest(tool="leave", verb=verb), wait_for_ready=True, timeout=30)


async def begin(tools: Tools) -> pb.LongToolStatus:
    return await ask(tools, pb.LONG_TOOL_BEGIN)


def runs(engine: Path) -> str:
    return (engine / "runs").read_text() if (engine / "runs").exists() else ""


async def test_it_tells_how_far_it_is_until_it_is_done(engine: Path, tools: Tools) -> None:
    assert (await ask(tools)).state == pb.LONG_TOOL_IDLE
    assert (await begin(tools)).state == pb.LONG_TOOL_RUNNING
    (engine / "moved").write_text("12")
    assert await ask(tools) == pb.LongToolStatus(
        state=pb.LONG_TOOL_RUNNING, progress=40, eta=60, message="12 of 30 moved"
    )
    (engine / "moved").write_text("30")
    assert (await ask(tools)).state == pb.LONG_TOOL_DONE
    assert (await begin(tools)).state == pb.LONG_TOOL_DONE
    assert runs(engine) == "run\n", "what is done is not begun again"


async def test_begun_again_while_it_runs_there_is_one_run(engine: Path, tools: Tools) -> None:
    (engine / "slow").touch()
    both = await asyncio.gather(begin(tools), begin(tools))
    assert [each.state for each in both] == [pb.LONG_TOOL_RUNNING] * 2
    assert runs(engine) == "run\n"


async def test_an_agent_that_was_killed_finds_the_run_again(node: Node, engine: Path, tools: Tools) -> None:
    await begin(tools)
    (engine / "moved").write_text("15")
    agent = node.processes[-1]
    agent.kill()
    agent.wait(5)
    node.start_tools()

    async def begun_again() -> pb.LongToolStatus | None:
        try:
            return await begin(tools)
        except aio.AioRpcError:
            return None

    again = await eventually(begun_again)
    assert (again.state, again.progress, runs(engine)) == (pb.LONG_TOOL_RUNNING, 50, "run\n")


async def test_a_start_goes_on_when_its_caller_is_gone(engine: Path, tools: Tools) -> None:
    (engine / "slow").touch()
    with pytest.raises(aio.AioRpcError):
        await tools.LongTool(pb.LongToolRequest(tool="leave", verb=pb.LONG_TOOL_BEGIN), timeout=0.5)
    assert (await begin(tools)).state == pb.LONG_TOOL_RUNNING
    assert runs(engine) == "run\n"


async def test_it_is_cancelled_and_can_be_begun_again(engine: Path, tools: Tools) -> None:
    await begin(tools)
    assert (await ask(tools, pb.LONG_TOOL_CANCEL)).state == pb.LONG_TOOL_IDLE
    await begin(tools)
    assert runs(engine) == "run\ncancelled\nrun\n"


async def test_a_start_that_is_refused_says_why(engine: Path, tools: Tools) -> None:
    (engine / "refuses").touch()
    refused = await begin(tools)
    assert refused.refused
    assert "tool leave.start, step 1:" in refused.message
    assert "no other broker has room for topic-0" in refused.message


async def test_one_that_failed_and_one_of_which_nobody_knows_are_told_apart(engine: Path, tools: Tools) -> None:
    (engine / "broken").touch()
    failed = await ask(tools)
    assert (failed.state, failed.message) == (pb.LONG_TOOL_FAILED, "the disk of node 2 is full")
    (engine / "deaf").touch()
    unknown = await begin(tools)
    assert (unknown.state, unknown.refused, runs(engine)) == (pb.LONG_TOOL_UNKNOWN, False, "")
    assert "the controller does not answer" in unknown.message


async def test_by_hand_too_a_run_that_is_under_way_is_found(engine: Path, tools: Tools) -> None:
    for _ in range(2):
        async for output in tools.Run(pb.RunRequest(tool="leave.start"), timeout=20):
            assert dict(output.result.values) == {"state": "running"}
    assert runs(engine) == "run\n"


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ({"state": "finished", "progress": 0}, "state is 'finished'; it has to be one of idle, running, done, failed"),
        ({"state": "running", "progress": "{{ 101 }}"}, "progress is 101; 100 is the most, as it is per cent"),
        ({"state": "running", "progress": "half"}, "progress is 'half'; it has to be a number, and not below 0"),
        ({"state": "running", "progress": 0, "eta": "{{ -1 }}"}, "eta is '-1'; it has to be a number, and not below 0"),
    ],
)
async def test_an_answer_that_is_none_is_told_by_its_field(
    node: Node, manager: Manager, tools: Tools, result: dict[str, Any], sentence: str
) -> None:
    nothing = {"steps": [{"set": {"a": "b"}}]}
    poll = nothing | {"result": result}
    node.mount(node.document(tools={"leave": {"start": nothing, "poll": poll, "cancel": nothing}}))
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    await role(tools)
    said = await ask(tools)
    assert (said.state, said.message) == (pb.LONG_TOOL_UNKNOWN, f"tool leave.poll, its result: {sentence}")


async def test_a_start_of_which_the_poll_does_not_tell_is_refused(node: Node, manager: Manager, tools: Tools) -> None:
    nothing = {"steps": [{"set": {"a": "b"}}]}
    tool = {"start": nothing, "poll": nothing | {"result": {"state": "idle", "progress": 0}}, "cancel": nothing}
    node.mount(node.document(tools={"leave": tool}))
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    await role(tools)
    began = time.monotonic()
    said = await begin(tools)
    assert said.refused
    assert said.message == "tool leave.start succeeded, but leave.poll says 'idle' 10 s later"
    assert time.monotonic() - began >= 10
