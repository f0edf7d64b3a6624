"""How a process that hangs is told from a busy one, and stopped by who has no time."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from grpc import aio

from agent.engine.processes import Process, look
from agent.process.link import StatusFollower
from agent.process.state import StatusBoard
from agent.settings import Settings
from proto import agent_pb2 as pb
from tests.support.stalls import in_time
from tests.unit.agent.support import PYTHON, Manager, Node, alive, eventually

BUSY = "while True: pass"
IDLE = "import time; time.sleep(1000)"
ORDERLY = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    "open('listening', 'w').close()\n"
    "time.sleep(1000)\n"
)
DEAF = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "open('listening', 'w').close()\n"
    "time.sleep(1000)\n"
)


async def _started(node: Node, manager: Manager, code: str) -> int:
    node.mount(node.document(process={"command": [PYTHON, "-c", code], "stop": {"signal": "TERM", "timeout": 30}}))
    node.start_manager()
    return (await manager.reaches(pb.RUNNING)).pid


async def test_a_stopped_process_dies_within_the_callers_patience(node: Node, manager: Manager) -> None:
    engine = await _started(node, manager, ORDERLY)
    await eventually(lambda: (node.data / "listening").exists())
    os.kill(engine, signal.SIGSTOP)
    began = time.monotonic()
    status = await manager.stub.Stop(pb.StopRequest(request_id="run/fence", timeout_seconds=0.5), timeout=10)
    assert time.monotonic() - began > 0.4
    assert in_time(began, 2)
    assert (status.state, status.exit_code, status.pid) == (pb.STOPPED, 137, 0)
    assert not alive(engine)


async def test_an_impatient_stop_shortens_an_orderly_one(node: Node, manager: Manager) -> None:
    engine = await _started(node, manager, DEAF)
    await eventually(lambda: (node.data / "listening").exists())
    orderly = asyncio.ensure_future(manager.stub.Stop(pb.StopRequest(request_id="run/1"), timeout=40))
    await manager.reaches(pb.STOPPING)
    began = time.monotonic()
    status = await manager.stub.Stop(pb.StopRequest(request_id="run/2", timeout_seconds=0.5), timeout=10)
    assert in_time(began, 2)
    assert status.state == pb.STOPPED
    assert (await orderly).state == pb.STOPPED
    assert not alive(engine)


async def test_the_end_of_the_pod_is_shortened_too_and_the_next_stop_has_the_plugins_patience(
    node: Node, manager: Manager
) -> None:
    await _started(node, manager, DEAF)
    await eventually(lambda: (node.data / "listening").exists())
    assert (await manager.stub.Stop(pb.StopRequest(timeout_seconds=0.2), timeout=10)).state == pb.STOPPED
    (node.data / "listening").unlink()
    await manager.stub.Start(pb.StartRequest(), timeout=10)
    await eventually(lambda: (node.data / "listening").exists())
    node.processes[0].terminate()
    message = (await manager.reaches(pb.STOPPING)).message
    assert message == "sent TERM, waits at most 30 s"
    await asyncio.wait([asyncio.ensure_future(manager.stub.Stop(pb.StopRequest(timeout_seconds=0.3), timeout=10))])
    assert await eventually(lambda: node.processes[0].poll() is not None)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
async def test_a_patience_that_is_no_time_is_refused(node: Node, manager: Manager, seconds: float) -> None:
    await _started(node, manager, IDLE)
    with pytest.raises(aio.AioRpcError, match="it must be a number of seconds"):
        await manager.stub.Stop(pb.StopRequest(timeout_seconds=seconds), timeout=10)
    assert (await manager.status()).state == pb.RUNNING


async def test_the_status_tells_a_busy_process_from_one_that_hangs(node: Node, manager: Manager) -> None:
    engine = await _started(node, manager, BUSY)
    first = await manager.status()

    async def worked() -> pb.ProcessStatus | None:
        status = await manager.status()
        return status if status.cpu_milliseconds >= first.cpu_milliseconds + 100 else None

    assert (await eventually(worked, what="it uses the processor")).kernel_state == "R"
    os.kill(engine, signal.SIGSTOP)

    async def stopped() -> pb.ProcessStatus | None:
        status = await manager.status()
        return status if status.kernel_state == "T" else None

    hanging = await eventually(stopped, what="the kernel says T")
    assert (await manager.status()).cpu_milliseconds == hanging.cpu_milliseconds
    await manager.stub.Stop(pb.StopRequest(timeout_seconds=0.1), timeout=10)
    status = await manager.status()
    assert (status.cpu_milliseconds, status.kernel_state) == (0, "")


async def test_a_name_with_parentheses_and_spaces_is_no_obstacle(node: Node, manager: Manager) -> None:
    program = node.data / "a) R 1 (b"
    program.symlink_to(PYTHON)
    node.mount(node.document(process={"command": [str(program), "-c", IDLE]}))
    node.start_manager()
    pid = (await manager.reaches(pb.RUNNING)).pid
    assert _name(pid) == program.name
    seen = await eventually(lambda: _asleep(pid), what="the process sleeps")
    assert 0 < seen.cpu_milliseconds < 60_000
    assert look(2**22 + 1) is None


def _asleep(pid: int) -> Process | None:
    seen = look(pid)
    return seen if seen is not None and seen.state == "S" else None


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


async def test_a_restart_that_never_ends_leaves_no_stop_behind(node: Node, manager: Manager) -> None:
    """Agent 1 was killed in a restart, and the next one held the engine back as stopped on request."""
    node.mount(node.document(process={"command": [PYTHON, "-c", DEAF], "stop": {"signal": "TERM", "timeout": 30}}))
    agent = node.start_manager()
    first = await manager.reaches(pb.RUNNING)
    await eventually(lambda: (node.data / "listening").exists())
    settings = Settings.from_environment(node.environment())
    asked = asyncio.ensure_future(StatusFollower(settings.manager_socket, StatusBoard()).restart())
    await manager.reaches(pb.STOPPING)
    await asyncio.sleep(0.3)  # as long as the mark would take to be written
    assert not (settings.state_dir / "stopped").exists()
    agent.kill()
    agent.wait(5)
    await asyncio.gather(asked, return_exceptions=True)
    os.killpg(first.pid, signal.SIGKILL)
    node.start_manager()
    status = await manager.reaches(pb.RUNNING)
    assert not status.stop_requested
