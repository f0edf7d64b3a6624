"""An engine that keeps ending: it is tried again for as long as it takes, says why, and starts as soon as it can."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.support.stalls import in_time
from tests.unit.agent.support import ENDED, PYTHON, Manager, Node, eventually, pushed, role, write_secret

SLOW_TO_TRY_AGAIN = (
    "import sys; from agent.process.main import run; from agent.process.waiting import RestartPolicy; "
    "sys.exit(run(RestartPolicy(first_delay=0.01, longest_delay=600, attempts=3, stable=STABLE)))"
)
if TYPE_CHECKING:
    Tools = agent_pb2_grpc.ToolsAsyncStub


def _document(node: Node, code: str, **changes: Any) -> dict[str, Any]:
    return node.document(process={"command": [PYTHON, "-u", "-c", code], "startSeconds": 0.05}, **changes)


def _start(node: Node, *, delay: float = 0.2, stable: float = 60) -> None:
    code = SLOW_TO_TRY_AGAIN.replace("longest_delay=600", f"longest_delay={delay}").replace("STABLE", str(stable))
    node.start("-c", code)


async def test_it_is_tried_again_without_end_and_the_container_stays(node: Node, manager: Manager) -> None:
    node.mount(_document(node, "import sys; print('no memory for the cache'); sys.exit(7)"))
    _start(node, delay=0.05)

    async def many() -> pb.ProcessStatus | None:
        status = await manager.status()
        return status if status.state == pb.CRASH_LOOP and status.failures > 8 else None

    status = await eventually(many, what="more tries than there once were")
    assert node.processes[0].poll() is None
    assert status.starts == status.failures
    assert (status.last_end.exit_code, status.last_end.output) == (7, "no memory for the cache")
    times, engine = 10 if status.failures >= 10 else 5, Path(PYTHON).name
    assert re.fullmatch(
        f"keeps ending, {times} times or more in a row: {re.escape(engine)} {ENDED} with exit code 7, "
        "saying: no memory for the cache; next try in 0.05 s",
        status.message,
    )


async def test_a_command_that_cannot_be_executed_says_so(node: Node, manager: Manager) -> None:
    node.mount(node.document(process={"command": ["/no/such/engine"]}))
    _start(node)
    status = await manager.reaches(pb.CRASH_LOOP)
    assert status.last_end.exit_code == 127
    assert "cannot start /no/such/engine: No such file or directory" in status.message


@pytest.mark.parametrize("way", ["pushed", "mounted"])
async def test_corrected_files_start_it_at_once(node: Node, manager: Manager, way: str) -> None:
    node.mount(_document(node, "import sys; sys.exit(1)"))
    node.start_tools()
    node.start("-c", SLOW_TO_TRY_AGAIN.replace("first_delay=0.01", "first_delay=200").replace("STABLE", "60"))
    waiting = await manager.reaches(pb.BACKOFF)
    assert "next try in 200 s" in waiting.message
    corrected = _document(node, "import time; time.sleep(1000)", revision=2)
    began = time.monotonic()
    if way == "mounted":
        node.mount(corrected)
    else:
        async with node.channel(node.tools_port) as channel:
            request = pb.ReloadConfigRequest(files=pushed(corrected))
            answer = await agent_pb2_grpc.ToolsStub(channel).ReloadConfig(request, wait_for_ready=True, timeout=20)
        assert answer.success
    running = await manager.reaches(pb.RUNNING)
    assert in_time(began, 10)
    assert (running.failures, running.message) == (0, "running")


async def test_a_corrected_secret_starts_it_at_once(node: Node, manager: Manager) -> None:
    write_secret(node.root / "secrets", {"password": b"wrong-one"})
    code = "import os, sys, time; time.sleep(1000) if os.environ['TOKEN'] == 'right-one' else sys.exit(1)"
    document = _document(node, code)
    document["process"]["env"] = {"TOKEN": "{{ secret.password }}"}
    node.mount(document)
    node.start("-c", SLOW_TO_TRY_AGAIN.replace("first_delay=0.01", "first_delay=200").replace("STABLE", "60"))
    await manager.reaches(pb.BACKOFF)
    write_secret(node.root / "secrets", {"password": b"right-one"})
    await manager.reaches(pb.RUNNING)


async def test_a_corrected_document_ends_the_wait_of_a_preparation_that_failed(node: Node, manager: Manager) -> None:
    fails = {"preStart": {"steps": [{"fail": "no peer answers"}]}}
    node.mount(_document(node, "import time; time.sleep(1000)", tools=fails))
    node.start(
        "-c",
        "import sys; from agent.process.main import run; from agent.process.waiting import RestartPolicy; "
        "sys.exit(run(RestartPolicy(prepare_delay=200, longest_prepare_delay=200)))",
    )
    assert "no peer answers" in (await manager.reaches(pb.BACKOFF)).message
    node.mount(_document(node, "import time; time.sleep(1000)", revision=2))
    await manager.reaches(pb.RUNNING)


async def test_a_start_is_tried_at_once_and_counts_anew(node: Node, manager: Manager) -> None:
    node.mount(_document(node, "import os, sys, time; time.sleep(1000) if os.path.exists('cured') else sys.exit(1)"))
    node.start("-c", SLOW_TO_TRY_AGAIN.replace("first_delay=0.01", "first_delay=200").replace("STABLE", "60"))
    await manager.reaches(pb.BACKOFF)
    (node.data / "cured").touch()
    answer = await manager.stub.Start(pb.StartRequest(), timeout=20)
    assert (answer.state, answer.failures) == (pb.RUNNING, 0), "what became of this try, not of the one before"


async def test_what_ended_before_is_told_until_it_has_run_for_long(node: Node, manager: Manager) -> None:
    code = "import os, sys, time\nif os.path.exists('cured'): time.sleep(1000)\nprint('the disk is full'); sys.exit(1)"
    node.mount(_document(node, code))
    _start(node, delay=0.1, stable=1.5)
    await manager.reaches(pb.CRASH_LOOP)
    (node.data / "cured").touch()
    again = await manager.reaches(pb.RUNNING)
    assert again.message.startswith("running; before that: keeps ending,")
    assert "the disk is full" in again.message

    async def stable() -> pb.ProcessStatus | None:
        status = await manager.status()
        return status if not status.failures else None

    assert (await eventually(stable)).message == "running"


# What agent 2 says of it, and so the App's status and whoever waits for the node


def _ready_when(node: Node, name: str) -> dict[str, Any]:
    return {"ready": {"steps": [{"run": {"argv": ["/usr/bin/test", "-e", str(node.data / name)]}}]}}


async def test_a_node_says_that_its_engine_keeps_ending_also_while_it_is_started_again(
    node: Node, manager: Manager, tools: Tools
) -> None:
    code = "import os, sys, time\nprint('bad page'); time.sleep(1000 if os.path.exists('slow') else 0); sys.exit(1)"
    node.mount(_document(node, code, tools=_ready_when(node, "serves")))
    _start(node, delay=0.3)
    node.start_tools()
    await manager.reaches(pb.CRASH_LOOP)
    waits = await eventually(lambda: _said(tools, pb.CRASH_LOOP))
    assert waits.keeps_ending
    assert "saying: bad page; next try in" in waits.message
    (node.data / "slow").touch()
    again = await eventually(lambda: _said(tools, pb.RUNNING))
    assert again.keeps_ending
    assert "saying: bad page" in again.message
    (node.data / "serves").touch()
    ready = await eventually(lambda: _ready(tools, True))
    assert (ready.keeps_ending, ready.message) == (False, "")
    (node.data / "serves").unlink()
    later = await eventually(lambda: _ready(tools, False))
    assert not later.keeps_ending
    assert "bad page" not in later.message, "that it was ready since says that this is over"


async def _said(tools: Tools, process: pb.ProcessState.ValueType) -> pb.RoleReport | None:
    report = await _streamed(tools)
    return report if report.process == process else None


async def _ready(tools: Tools, wanted: bool) -> pb.RoleReport | None:
    report = await role(tools)
    return report if report.ready is wanted else None


async def _streamed(tools: Tools) -> pb.RoleReport:
    """Also of a process that does not run."""
    stream = tools.WatchRole(pb.GetRoleRequest(), wait_for_ready=True)
    report: pb.RoleReport = await anext(aiter(stream))
    stream.cancel()
    return report
