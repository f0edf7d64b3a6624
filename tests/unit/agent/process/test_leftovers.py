"""No process of an engine outlives it: not in a session of its own, not stopped, not orphaned, not just forked."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from proto import agent_pb2 as pb
from tests.support.stalls import in_time
from tests.unit.agent.support import FAST_MANAGER, PYTHON, Manager, Node, alive, eventually

CHILD_WITH_A_SESSION = (
    "import os, signal, sys, time\n"
    "def child(name, work):\n"
    "    if os.fork() == 0:\n"
    "        os.setsid()\n"
    "        open(name + '.new', 'w').write(str(os.getpid())); os.rename(name + '.new', name)\n"
    "        work()\n"
    "        os._exit(0)\n"
    "    while not os.path.exists(name): time.sleep(0.01)\n"
)


def _run(node: Node, code: str, **changes: Any) -> None:
    process = {"command": [PYTHON, "-u", "-c", CHILD_WITH_A_SESSION + code], "stop": {"signal": "TERM", "timeout": 0.3}}
    node.mount(node.document(process=process | changes.pop("process", {}), **changes))


async def _pid(path: Path) -> int:
    return int(await eventually(lambda: path.exists() and path.read_text(), what=str(path)))


async def test_a_stop_ends_children_that_have_sessions_of_their_own_and_hang(node: Node, manager: Manager) -> None:
    _run(
        node,
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child('backend', lambda: time.sleep(1000))\n"
        "child('writer', lambda: child('worker', lambda: time.sleep(1000)) or time.sleep(1000))\n"
        "open('listening', 'w').close(); time.sleep(1000)\n",
    )
    node.start_manager()
    engine = (await manager.reaches(pb.RUNNING)).pid
    children = [await _pid(node.data / name) for name in ("backend", "writer", "worker")]
    await eventually(lambda: (node.data / "listening").exists())
    for pid in [engine, *children]:
        os.kill(pid, signal.SIGSTOP)
    status = await manager.stub.Stop(pb.StopRequest(timeout_seconds=0.2), timeout=10)
    assert (status.state, status.exit_code) == (pb.STOPPED, 137)
    assert not any(map(alive, children)), "each could still acknowledge a write"


async def test_what_an_engine_leaves_when_it_ends_in_order_is_ended_before_it_counts_as_stopped(
    node: Node, manager: Manager
) -> None:
    _run(
        node,
        "child('left', lambda: (signal.signal(signal.SIGTERM, signal.SIG_IGN), time.sleep(1000)))\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        "open('listening', 'w').close(); time.sleep(1000)\n",
    )
    node.start_manager()
    left = await _pid(node.data / "left")
    await eventually(lambda: (node.data / "listening").exists())
    await manager.reaches(pb.RUNNING)
    status = await manager.stub.Stop(pb.StopRequest(), timeout=10)
    assert (status.state, status.exit_code) == (pb.STOPPED, 3)
    assert not alive(left)


async def test_a_crashed_engine_is_started_again_beside_none_of_its_children_and_its_pid_file_stays_till_then(
    node: Node, manager: Manager
) -> None:
    """The child sees what the next start would do to it: its pid file removed, another engine beside it."""
    _run(
        node,
        "def watch():\n"
        "    while True:\n"
        "        if not os.path.exists('engine.pid'): open('unprotected', 'w').close()\n"
        "        if os.path.exists('second'): open('beside', 'w').close()\n"
        "        time.sleep(0.005)\n"
        "if os.path.exists('first'):\n"
        "    open('second', 'w').close(); time.sleep(1000)\n"
        "open('engine.pid', 'w').close()\n"
        "child('first', watch)\n"
        "time.sleep(0.2); os._exit(1)\n",
        process={"pidFiles": ["engine.pid"]},
    )
    node.start_manager()
    first = await _pid(node.data / "first")
    await eventually(lambda: (node.data / "second").exists())
    assert not alive(first)
    assert not (node.data / "engine.pid").exists(), "a stale one"
    assert not (node.data / "unprotected").exists()
    assert not (node.data / "beside").exists()


async def test_an_end_is_told_when_none_of_its_children_is_left(node: Node, manager: Manager) -> None:
    _run(node, "child('left', lambda: time.sleep(1000))\nopen('ready', 'w').close(); time.sleep(1000)\n")
    node.start_manager()
    left = await _pid(node.data / "left")
    await eventually(lambda: (node.data / "ready").exists())
    engine = (await manager.reaches(pb.RUNNING)).pid
    watch = manager.stub.WatchStatus(pb.GetStatusRequest())
    await anext(aiter(watch))
    os.kill(left, signal.SIGSTOP)
    os.kill(engine, signal.SIGKILL)
    async for status in watch:
        if status.state == pb.EXITED:
            break
    assert not alive(left)
    watch.cancel()


async def test_children_that_are_forked_faster_than_they_are_found_are_ended(node: Node, manager: Manager) -> None:
    """Each lives for a moment, and its child goes on in a session of its own. A container has its own process numbers,
    and agent 1 is the first."""
    _run(
        node,
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "def chain():\n"
        "    while True:\n"
        "        open('pulse', 'w').write(str(time.monotonic()))\n"
        "        if os.fork() > 0: os._exit(0)\n"
        "        os.setsid()\n"
        "child('first', chain)\n"
        "time.sleep(1000)\n",
    )
    node.start_as_first_process("-c", FAST_MANAGER)
    await eventually(lambda: (node.data / "pulse").exists())
    await manager.reaches(pb.RUNNING)
    assert (await manager.stub.Stop(pb.StopRequest(timeout_seconds=0.1), timeout=10)).state == pb.STOPPED
    await _no_other_pulse(node)


async def _no_other_pulse(node: Node) -> None:
    last = (node.data / "pulse").stat().st_mtime_ns
    await asyncio.sleep(0.2)
    assert (node.data / "pulse").stat().st_mtime_ns == last


async def test_what_pre_start_leaves_is_ended_before_the_engine_starts(node: Node, manager: Manager) -> None:
    helper = CHILD_WITH_A_SESSION + "child('helper', lambda: time.sleep(1000))\n"
    steps = [{"run": {"argv": [PYTHON, "-c", helper]}, "timeout": 10}]
    _run(node, "open('started', 'w').close(); time.sleep(1000)\n", tools={"preStart": {"steps": steps}})
    node.start_manager()
    helping = await _pid(node.data / "helper")
    await eventually(lambda: (node.data / "started").exists())
    assert not alive(helping)


async def test_a_stop_during_pre_start_ends_its_children_too(node: Node, manager: Manager) -> None:
    helper = CHILD_WITH_A_SESSION + "child('helper', lambda: time.sleep(1000))\ntime.sleep(1000)\n"
    steps = [{"run": {"argv": [PYTHON, "-c", helper]}, "timeout": 60}]
    _run(node, "time.sleep(1000)\n", tools={"preStart": {"timeout": 60, "steps": steps}})
    node.start_manager()
    helping = await _pid(node.data / "helper")
    assert (await manager.stub.Stop(pb.StopRequest(), timeout=10)).state == pb.STOPPED
    assert not alive(helping)


async def test_nothing_is_left_when_the_agent_itself_ends(node: Node, manager: Manager) -> None:
    _run(node, "child('left', lambda: time.sleep(1000))\ntime.sleep(1000)\n")
    agent = node.start_manager()
    left = await _pid(node.data / "left")
    await manager.reaches(pb.RUNNING)
    os.kill(left, signal.SIGSTOP)
    agent.terminate()
    await eventually(lambda: agent.poll() is not None)
    assert not alive(left)


# What cannot be killed. A test has no disk that never answers, so here the signal is kept from one of the processes.

STUBBORN = (
    "import os, agent.process.reaper as reaper\n"
    "from pathlib import Path\n"
    "kill, held = reaper.kill, Path(os.environ['MW_DATA_DIR']) / 'held'\n"
    "reaper.kill = lambda process: None if held.exists() and str(process.pid) == held.read_text() else kill(process)\n"
)


async def _stubborn(node: Node, manager: Manager) -> int:
    _run(
        node,
        "child('stubborn', lambda: time.sleep(1000))\nopen('ready', 'w').close(); time.sleep(1000)\n",
        process={"pidFiles": ["engine.pid"]},
    )
    node.start("-c", STUBBORN + FAST_MANAGER)
    stubborn = await _pid(node.data / "stubborn")
    await eventually(lambda: (node.data / "ready").exists())
    await manager.reaches(pb.RUNNING)
    (node.data / "engine.pid").touch()
    (node.data / "held").write_text(str(stubborn))
    return stubborn


async def test_a_node_is_not_told_as_stopped_while_a_process_of_it_cannot_be_killed(
    node: Node, manager: Manager
) -> None:
    stubborn = await _stubborn(node, manager)
    began = time.monotonic()
    request = pb.StopRequest(request_id="run/fence", timeout_seconds=0.1)
    with pytest.raises(aio.AioRpcError, match=rf"killed and do not end: {stubborn} \(python") as refused:
        await manager.stub.Stop(request, timeout=10)
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert in_time(began, 5), "an answer, not the caller's own time-out"
    status = await manager.status()
    assert (status.state, status.pid, status.stop_requested) == (pb.LINGERING, 0, True)
    (node.data / "held").unlink()
    assert (await manager.reaches(pb.STOPPED)).starts == 1
    assert not alive(stubborn)
    assert (await manager.stub.Stop(request, timeout=10)).state == pb.STOPPED, "the refusal is not remembered"


async def test_an_engine_that_ended_is_not_started_beside_a_process_of_it_that_cannot_be_killed(
    node: Node, manager: Manager
) -> None:
    await _stubborn(node, manager)
    os.kill((await manager.status()).pid, signal.SIGKILL)
    assert "state S" in (await manager.reaches(pb.LINGERING)).message
    assert (node.data / "engine.pid").exists(), "it guards the data directory of what still runs"
    with pytest.raises(aio.AioRpcError, match="killed and do not end"):
        await manager.stub.Start(pb.StartRequest(), timeout=10)
    assert (await manager.status()).starts == 1
    (node.data / "held").unlink()
    assert (await manager.reaches(pb.RUNNING)).starts == 2
    assert not (node.data / "engine.pid").exists()


async def test_a_restart_that_cannot_stop_it_starts_it_once_it_has_ended(node: Node, manager: Manager) -> None:
    await _stubborn(node, manager)
    with pytest.raises(aio.AioRpcError, match="killed and do not end"):
        await manager.stub.Restart(pb.RestartRequest(request_id="run/restart"), timeout=10)
    (node.data / "held").unlink()
    status = await manager.reaches(pb.RUNNING)
    assert (status.starts, status.stop_requested) == (2, False)


async def test_as_the_containers_first_process_it_also_ends_what_it_never_finds(node: Node, manager: Manager) -> None:
    blind = "import agent.process.reaper as reaper\nreaper.descendants = lambda of: []\n"
    _run(
        node,
        "def beat():\n"
        "    while True: open('pulse', 'w').close(); time.sleep(0.01)\n"
        "child('first', beat)\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
        "time.sleep(1000)\n",
    )
    node.start_as_first_process("-c", blind + FAST_MANAGER)
    await eventually(lambda: (node.data / "pulse").exists())
    await manager.reaches(pb.RUNNING)
    assert (await manager.stub.Stop(pb.StopRequest(), timeout=10)).state == pb.STOPPED
    await _no_other_pulse(node)
