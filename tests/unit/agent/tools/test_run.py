"""The tools' calls of agent 2: programs that really run, answers that are remembered, callers that go away."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest
from grpc import aio

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.support.stalls import in_time, stood_still
from tests.unit.agent.support import PYTHON, Manager, Node, alive, eventually, pushed, role

SECRET = "s3cret-value"
if TYPE_CHECKING:
    Tools = agent_pb2_grpc.ToolsAsyncStub  # the generated stubs' name for what an aio channel makes of ToolsStub


async def _start(node: Node, manager: Manager, **tools: dict[str, Any]) -> None:
    (node.root / "secrets" / "password").write_text(SECRET + "\n")
    node.mount(node.document(tools=tools))
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    async with node.channel(node.tools_port) as channel:
        await role(agent_pb2_grpc.ToolsStub(channel))


def _shell(script: str, *words: str, **step: Any) -> dict[str, Any]:
    run = {"argv": ["/bin/sh", "-c", script, "sh", *words], "env": {"P": "{{ secret.password }}"}}
    return {"steps": [{"run": run | step.pop("run", {})} | step]}


async def _run(tools: Tools, tool: str, request_id: str = "", **arguments: str) -> tuple[list[str], pb.ToolResult]:
    lines: list[str] = []
    result = pb.ToolResult()
    async for output in tools.Run(pb.RunRequest(tool=tool, request_id=request_id, arguments=arguments), timeout=20):
        if output.WhichOneof("kind") == "line":
            lines.append(output.line)
        else:
            result = output.result
    return lines, result


async def test_a_program_gets_secrets_by_environment_and_input_and_its_output_is_streamed_and_matched(
    node: Node, manager: Manager, tools: Tools
) -> None:
    script = 'cat; echo "env=$P arg=$1"; echo oops >&2; exit 3'
    tool = _shell(
        script,
        "{{ arg.target }}",
        run={"stdin": "in={{ secret.password }}\n", "exitCodes": [3], "parse": "lines"},
        **{"as": "said"},
    ) | {"result": {"argument": "{{ said | select('matching', 'arg=') | first }}", "in": "{{ said[0] }}"}}
    await _start(node, manager, custom=tool)
    lines, result = await _run(tools, "custom", target="n7")
    assert sorted(lines) == ["env=*** arg=n7", "in=***", "oops"]
    assert (result.success, dict(result.values)) == (True, {"argument": "env=*** arg=n7", "in": "in=***"})


async def test_a_failing_program_says_its_exit_code_and_last_words(node: Node, manager: Manager, tools: Tools) -> None:
    tools_ = {
        "broken": _shell('echo "no $P" >&2; exit 4'),
        "absent": {"steps": [{"run": {"argv": ["/no/such"]}}]},
        "talkative": _shell('printf "%0233d%s%0500d\\n" 0 "$P" 0; exit 4'),
    }
    await _start(node, manager, **tools_)
    _, broken = await _run(tools, "broken")
    assert not broken.success
    assert broken.message == "tool broken, step 1: /bin/sh ended with exit code 4, saying 'no ***'"
    _, absent = await _run(tools, "absent")
    assert absent.message == "tool absent, step 1: cannot run /no/such: No such file or directory"
    _, talkative = await _run(tools, "talkative")
    assert "000***0000 ..." in talkative.message


@pytest.mark.parametrize("session", ["", "setsid"])
async def test_a_program_that_takes_too_long_is_killed_with_its_children(
    node: Node, manager: Manager, tools: Tools, session: str
) -> None:
    await _start(node, manager, slow=_shell(f"{session} sleep 1000 & echo $! > pid; wait", timeout=0.3))
    _, result = await _run(tools, "slow")
    assert result.message == "tool slow, step 1: not finished within 0.3 s"
    pid = int((node.data / "pid").read_text())
    await eventually(lambda: not alive(pid))


async def test_a_repeat_gets_the_first_answer_also_from_a_restarted_agent(
    node: Node, manager: Manager, tools: Tools
) -> None:
    count = _shell("echo x >> runs; wc -l < runs", **{"as": "n"}) | {"result": {"n": "{{ n }}"}}
    await _start(node, manager, count=count)
    _, first = await _run(tools, "count", "run/1")
    assert dict(first.values) == {"n": "1"}
    assert await _run(tools, "count", "run/1") == ([], first)
    agent = node.processes[-1]
    agent.kill()
    agent.wait(5)
    node.start_tools()

    async def repeated() -> pb.ToolResult | None:
        try:
            return (await _run(tools, "count", "run/1"))[1]
        except aio.AioRpcError:
            return None

    assert await eventually(repeated) == first
    assert (node.data / "runs").read_text() == "x\n"
    assert dict((await _run(tools, "count", "run/2"))[1].values) == {"n": "2"}


async def test_work_goes_on_when_its_caller_goes_away_and_a_repeat_gets_its_answer(
    node: Node, manager: Manager, tools: Tools
) -> None:
    await _start(node, manager, failover=_shell("echo x >> runs; sleep 1; echo done"))
    request = pb.FailoverRequest(request_id="run/1")
    with pytest.raises(aio.AioRpcError, match="DEADLINE_EXCEEDED"):
        await tools.Failover(request, timeout=0.5)
    result = await tools.Failover(request, timeout=10)
    assert result.success, result.message
    assert (node.data / "runs").read_text() == "x\n"


async def test_a_long_backup_does_not_keep_a_failover_waiting(node: Node, manager: Manager, tools: Tools) -> None:
    await _start(node, manager, backup=_shell("echo begun; sleep 5", timeout=9), failover=_shell("true"))
    backup = tools.Run(pb.RunRequest(tool="backup"), timeout=20)
    assert (await anext(aiter(backup))).line == "begun"
    assert (await tools.Failover(pb.FailoverRequest(request_id="run/1"), timeout=2)).success
    backup.cancel()


async def test_a_tool_the_plugin_lacks_is_refused_with_those_it_has(node: Node, manager: Manager, tools: Tools) -> None:
    await _start(node, manager, custom=_shell("true"))
    with pytest.raises(aio.AioRpcError, match="the plugin has no tool 'other'; it has custom"):
        await _run(tools, "other")
    with pytest.raises(aio.AioRpcError, match="UNIMPLEMENTED"):
        await tools.Failover(pb.FailoverRequest(), timeout=5)


def _wrong_pushes(node: Node) -> Iterable[tuple[list[pb.PushedFile], str]]:
    damaged = pushed(node.document(revision=5))
    damaged[0].sha256 = "0" * 64
    yield damaged, "node.json does not have the checksum"
    other = node.document(revision=5)
    other["node"]["name"] = "shop-engine-main-1"
    yield pushed(other), "is of node shop-engine-main-1"
    later_app = node.document(revision=5)
    later_app["node"]["appUid"] = "uid-2"
    yield pushed(later_app), "App uid uid-2"
    yield pushed(node.document(revision=2)), "revision 2; revision 3 is in effect already"
    yield pushed(node.document(revision=5, process={"command": "x"})), "process.command must be a list"
    lacking = node.document(
        revision=5, files=[{"path": "/middleware/x", "source": "x", "write": "always", "mode": "0640"}]
    )
    yield pushed(lacking), "lacks the files x"


async def test_a_push_that_cannot_be_right_is_refused_and_touches_nothing(
    node: Node, manager: Manager, tools: Tools
) -> None:
    node.mount(node.document(revision=3, tools={"ready": {"steps": [{"set": {}}]}}))
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    for files, sentence in _wrong_pushes(node):
        with pytest.raises(aio.AioRpcError, match="INVALID_ARGUMENT") as refused:
            await tools.ReloadConfig(pb.ReloadConfigRequest(files=files), wait_for_ready=True, timeout=10)
        assert sentence in str(refused.value.details())
        assert (await manager.status()).revision == 3


async def test_a_pushed_tool_is_in_effect_at_once_and_after_a_restart(
    node: Node, manager: Manager, tools: Tools
) -> None:
    await _start(node, manager, ready={"steps": [{"set": {}}]})
    files = pushed(node.document(revision=2, tools={"ready": {"steps": [{"fail": "a new rule"}]}}))
    assert (await tools.ReloadConfig(pb.ReloadConfigRequest(files=files), timeout=10)).success
    report = await tools.GetRole(pb.GetRoleRequest(), timeout=20)
    assert (report.ready, report.message) == (False, "tool ready, step 1: a new rule")
    engine = await manager.status()
    assert (engine.revision, engine.starts) == (2, 1), "no process restarts"


async def test_a_held_node_gets_its_document_and_starts_with_it(node: Node, manager: Manager, tools: Tools) -> None:
    node.mount(node.document(hold=True))
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.HELD)
    files = pushed(node.document(hold=False, revision=2))
    assert (await tools.ReloadConfig(pb.ReloadConfigRequest(files=files), wait_for_ready=True, timeout=10)).success
    status = await manager.stub.Start(pb.StartRequest(request_id="run/start"), timeout=10)
    assert (status.state, status.revision) == (pb.RUNNING, 2)


async def test_the_time_of_taking_a_role_survives_the_agents_restart(
    node: Node, manager: Manager, tools: Tools
) -> None:
    await _start(
        node, manager, getRole={"steps": [{"set": {"r": "primary"}}], "result": {"role": "{{ r }}", "position": "5"}}
    )
    first = await tools.GetRole(pb.GetRoleRequest(), timeout=20)
    agent = node.processes[-1]
    agent.kill()
    agent.wait(5)
    node.start_tools()

    second = await role(tools)
    assert (second.role, second.epoch) == ("primary", first.epoch)
    assert second.incarnation != first.incarnation


async def test_agent_2_outlives_the_drain_of_agent_1(node: Node, manager: Manager, tools: Tools) -> None:
    (node.root / "secrets" / "password").write_text(SECRET)
    slow = (
        "import os, signal, sys, time\n"
        "def drain(*_):\n"
        "    while not os.path.exists('drained'): time.sleep(0.02)\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, drain)\n"
        "open('listening', 'w').close(); time.sleep(99)\n"
    )
    document = node.document(
        process={"command": [PYTHON, "-c", slow], "stop": {"signal": "TERM", "timeout": 60}},
        tools={"getRole": {"steps": [{"set": {"r": "primary"}}], "result": {"role": "{{ r }}"}}},
    )
    node.mount(document)
    manager_process = node.start_manager()
    tools_process = node.start_tools()
    await eventually(lambda: (node.data / "listening").exists())
    await manager.reaches(pb.RUNNING)
    assert (await role(tools)).process == pb.RUNNING
    manager_process.terminate()
    tools_process.terminate()
    await manager.reaches(pb.STOPPING)
    report = await tools.GetRole(pb.GetRoleRequest(), timeout=20)
    assert (report.role, report.process) == ("primary", pb.STOPPING)
    (node.data / "drained").touch()
    assert await eventually(lambda: manager_process.poll() is not None)
    assert await eventually(lambda: tools_process.poll() is not None)
    assert (manager_process.returncode, tools_process.returncode) == (0, 0)


async def test_without_agent_1_the_state_is_not_known(node: Node, manager: Manager, tools: Tools) -> None:
    await _start(node, manager, ready={"steps": [{"set": {}}]})
    agent = node.processes[0]
    engine = (await manager.status()).pid
    agent.kill()
    agent.wait(5)
    try:

        async def refused() -> str:
            try:
                await tools.GetRole(pb.GetRoleRequest(), timeout=20)
            except aio.AioRpcError as error:
                return error.details() or ""
            return ""

        assert "agent 1 does not answer" in await eventually(refused)
    finally:
        os.kill(engine, signal.SIGKILL)


async def test_a_tool_is_undone_in_time_though_its_caller_is_gone(node: Node, manager: Manager, tools: Tools) -> None:
    """The second run begins the time anew."""
    fence = _shell("echo fenced $(date +%s%N) >> marks") | {"undo": {"tool": "unfence", "after": "{{ arg.seconds }}"}}
    await _start(node, manager, fence=fence, unfence=_shell("echo lifted $(date +%s%N) >> marks"))
    marks = node.data / "marks"
    _, refused = await _run(tools, "fence", seconds="soon")
    assert "undo after" in refused.message
    assert not marks.exists(), "it would have lasted for ever"
    began = time.monotonic()
    await _run(tools, "fence", seconds="2")
    await _run(tools, "fence", seconds="3")
    await eventually(lambda: marks.read_text().splitlines()[-1].startswith("lifted"))
    lines = [line.split() for line in marks.read_text().splitlines()]
    assert [what for what, _ in lines] == ["fenced", "fenced", "lifted"] or stood_still(began), "the first was over"
    (_, second), (_, lifted) = lines[-2:]
    assert (int(lifted) - int(second)) / 1e9 > 2.9
    assert in_time(began, 12)


async def test_a_push_waits_for_whoever_reloads_by_hand(node: Node, manager: Manager, tools: Tools) -> None:
    """Both write what the engine has: what the one had put was put back by the other."""
    script = 'echo "begins" >> log; sleep 0.5; echo "ends" >> log'
    await _start(node, manager, reloadConfig=_shell(script))
    by_hand = asyncio.ensure_future(_run(tools, "reloadConfig", "by-hand/1"))
    log = node.data / "log"
    await eventually(log.exists, what="the run by hand")
    document = node.document(revision=2, tools={"reloadConfig": _shell(script)})
    request = pb.ReloadConfigRequest(files=pushed(document), parameters={"size": "2"})
    result = await tools.ReloadConfig(request, timeout=10)
    assert result.success, result.message
    assert (await by_hand)[1].success
    assert log.read_text().split() == ["begins", "ends"] * 2
