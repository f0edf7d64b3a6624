"""Agent 1 as a process manager, with real processes; it runs as a subreaper here and as PID 1 in a Pod."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from agent import VERSION
from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.support.stalls import in_time
from tests.unit.agent.support import ENDED, PYTHON, Manager, Node, alive, arguments, at_start, eventually, pushed


def _python(code: str) -> list[str]:
    return [PYTHON, "-u", "-c", code]


def _run(node: Node, code: str, **process: Any) -> None:
    node.mount(node.document(process={"command": _python(code)} | process))


async def _pid(path: Path) -> int:
    return int(await eventually(lambda: path.exists() and path.read_text().strip(), what=str(path)))


async def test_a_process_is_starting_and_then_running(node: Node, manager: Manager) -> None:
    node.mount(node.document(process={"startSeconds": 3}))
    node.start_manager()
    starting = await manager.reaches(pb.STARTING)
    assert not starting.HasField("exit_code")
    running = await manager.reaches(pb.RUNNING)
    assert alive(running.pid)
    assert os.getpgid(running.pid) == running.pid, "a process group of its own"
    assert (running.starts, running.revision, running.stop_requested, running.agent_version) == (1, 1, False, VERSION)
    assert not running.volume.present


async def test_output_reaches_stdout_in_whole_lines(node: Node, manager: Manager) -> None:
    code = (
        "import os, sys\n"
        "for i in range(300):\n"
        "    os.write(1 + i % 2, b'half of ' ); os.write(1 + i % 2, b'line %d\\n' % i)\n"
        "os.write(1, b'x' * 200000 + b'\\n'); os.write(1, b'no newline at the end')\n"
        "sys.exit(0)\n"
    )
    _run(node, code)
    node.start_manager()
    await eventually(lambda: "no newline at the end\n" in node.log.read_text(), 20)
    lines = node.log.read_text().splitlines()
    first_run = lines[: lines.index("no newline at the end") + 1]
    assert first_run == [*(f"half of line {i}" for i in range(300)), "x" * 200000, "no newline at the end"]


async def test_orphans_are_reaped_and_the_exit_code_is_the_childs(node: Node, manager: Manager) -> None:
    code = (
        "import os, sys, time\n"
        "for code in (1, 2, 3):\n"
        "    if os.fork() == 0:\n"
        "        if os.fork() == 0:\n"
        "            os.setsid(); open(f'orphan-{code}', 'w').write(str(os.getpid())); time.sleep(0.2)\n"
        "            os._exit(code)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "while len([n for n in os.listdir('.') if n.startswith('orphan')]) < 3: time.sleep(0.02)\n"
        "time.sleep(0.6); sys.exit(42)\n"
    )
    _run(node, code)
    agent = node.start_manager()
    orphans = [await _pid(node.data / f"orphan-{code}") for code in (1, 2, 3)]
    await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), what="no zombie is left")
    assert agent.poll() is None
    status = await eventually(lambda: _exited(manager))
    assert status.exit_code == 42


async def _exited(manager: Manager) -> pb.ProcessStatus | None:
    status = await manager.status()
    return status if status.HasField("exit_code") else None


async def test_a_death_by_signal_is_128_plus_its_number_and_restarts_it(node: Node, manager: Manager) -> None:
    node.mount(node.document())
    node.start_manager()
    first = await manager.reaches(pb.RUNNING)
    os.kill(first.pid, signal.SIGSEGV)

    async def restarted() -> pb.ProcessStatus | None:
        status = await manager.status()
        return status if status.state == pb.RUNNING and status.starts == 2 else None

    second = await eventually(restarted)
    assert second is not None
    assert (second.exit_code, second.stop_requested) == (128 + signal.SIGSEGV, False)
    assert second.pid != first.pid


async def test_every_state_of_an_unexpected_end_is_seen_by_a_watcher(node: Node, manager: Manager) -> None:
    node.mount(node.document())
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    watch = manager.stub.WatchStatus(pb.GetStatusRequest())
    seen = [await anext(aiter(watch))]
    os.kill(seen[0].pid, signal.SIGKILL)
    async for status in watch:
        if status.state != seen[-1].state:
            seen.append(status)
        if status.state == pb.RUNNING:
            break
    watch.cancel()
    assert [s.state for s in seen] == [pb.RUNNING, pb.EXITED, pb.BACKOFF, pb.STARTING, pb.RUNNING]
    assert re.search(f"{ENDED} with exit code 137", seen[1].message)
    assert "next try in" in seen[2].message


async def test_a_stop_kills_the_whole_group_when_the_signal_is_ignored(node: Node, manager: Manager) -> None:
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pid = os.fork()\n"
        "open('child' if pid == 0 else 'parent', 'w').write(str(os.getpid()))\n"
        "time.sleep(1000)\n"
    )
    _run(node, code, stop={"signal": "TERM", "timeout": 0.5})
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    child = await _pid(node.data / "child")
    status = await manager.stub.Stop(pb.StopRequest(), timeout=10)
    assert (status.state, status.exit_code, status.stop_requested, status.pid) == (pb.STOPPED, 137, True, 0)
    await eventually(lambda: not alive(child), what="the rest of the group is dead")


async def test_what_the_engine_leaves_in_its_group_dies_with_it(node: Node, manager: Manager) -> None:
    code = (
        "import os, signal, sys, time\n"
        "if os.fork() == 0:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    open('left', 'w').write(str(os.getpid())); time.sleep(1000)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        "open('listening', 'w').close(); time.sleep(1000)\n"
    )
    _run(node, code)
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    left = await _pid(node.data / "left")
    await eventually(lambda: (node.data / "listening").exists())
    status = await manager.stub.Stop(pb.StopRequest(), timeout=10)
    assert status.exit_code == 3, "the engine's own answer to the signal"
    await eventually(lambda: not alive(left))


async def test_the_plugins_stop_signal_is_used(node: Node, manager: Manager) -> None:
    code = (
        "import signal, sys, time; signal.signal(signal.SIGINT, lambda *_: sys.exit(11))\n"
        "open('listening', 'w').close(); time.sleep(1000)"
    )
    _run(node, code, stop={"signal": "INT", "timeout": 5})
    node.start_manager()
    await eventually(lambda: (node.data / "listening").exists())
    await manager.reaches(pb.RUNNING)
    status = await manager.stub.Stop(pb.StopRequest(), timeout=10)
    assert status.exit_code == 11


async def test_a_stop_is_remembered_by_the_next_container_until_start(node: Node, manager: Manager) -> None:
    node.mount(node.document())
    agent = node.start_manager()
    await manager.reaches(pb.RUNNING)
    await manager.stub.Stop(pb.StopRequest(request_id="run/stop"), timeout=10)
    agent.terminate()
    await eventually(lambda: agent.poll() is not None)
    node.start_manager()
    status = await manager.reaches(pb.STOPPED)
    assert (status.stop_requested, status.starts) == (True, 0)
    assert (await manager.stub.Start(pb.StartRequest(), timeout=10)).state == pb.RUNNING


async def test_a_stop_of_a_deleted_app_does_not_hold_back_the_next_app(node: Node, manager: Manager) -> None:
    node.mount(node.document())
    agent = node.start_manager()
    await manager.reaches(pb.RUNNING)
    await manager.stub.Stop(pb.StopRequest(), timeout=10)
    agent.terminate()
    await eventually(lambda: agent.poll() is not None)
    document = node.document()
    document["node"]["appUid"] = "uid-2"
    node.mount(document)
    node.start_manager()
    await manager.reaches(pb.RUNNING)


async def test_a_repeated_request_is_answered_again_and_not_done_again(node: Node, manager: Manager) -> None:
    node.mount(node.document())
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    first = await manager.stub.Restart(pb.RestartRequest(request_id="run/restart"), timeout=10)
    assert first.starts == 2
    assert await manager.stub.Restart(pb.RestartRequest(request_id="run/restart"), timeout=10) == first
    assert (await manager.status()).starts == 2
    assert (await manager.stub.Restart(pb.RestartRequest(request_id="run/other"), timeout=10)).starts == 3


async def test_a_signal_reaches_the_process(node: Node, manager: Manager) -> None:
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: open('usr1', 'w').close())\n"
        "open('listening', 'w').close()\n"
        "while True: time.sleep(0.05)\n"
    )
    _run(node, code)
    node.start_manager()
    await eventually(lambda: (node.data / "listening").exists())
    await manager.stub.Signal(pb.SignalRequest(signal="USR1"), timeout=5)
    await eventually(lambda: (node.data / "usr1").exists())
    with pytest.raises(aio.AioRpcError, match="'NONSENSE' is not a signal"):
        await manager.stub.Signal(pb.SignalRequest(signal="NONSENSE"), timeout=5)
    await manager.stub.Stop(pb.StopRequest(), timeout=10)
    with pytest.raises(aio.AioRpcError, match="no process runs, its state is STOPPED"):
        await manager.stub.Signal(pb.SignalRequest(signal="USR1"), timeout=5)


async def test_signals_of_the_runtime_are_forwarded_and_term_stops_in_order(node: Node, manager: Manager) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGHUP, lambda *_: open('hup', 'w').close())\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open('term', 'w').close(), sys.exit(5)))\n"
        "open('listening', 'w').close()\n"
        "while True: time.sleep(0.05)\n"
    )
    _run(node, code)
    agent = node.start_manager()
    await eventually(lambda: (node.data / "listening").exists())
    agent.send_signal(signal.SIGHUP)
    await eventually(lambda: (node.data / "hup").exists())
    assert agent.poll() is None
    agent.terminate()
    assert await eventually(lambda: agent.poll()) == 5, "the engine's exit code is the container's"
    assert (node.data / "term").exists()
    assert not (node.data / ".agent" / "stopped").exists(), "not remembered: the next container starts the engine"


async def test_the_end_of_the_pod_takes_no_longer_than_the_stop_time_out(node: Node, manager: Manager) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open('deaf', 'w').close(); time.sleep(1000)"
    )
    _run(node, code, stop={"signal": "TERM", "timeout": 1})
    agent = node.start_manager()
    await eventually(lambda: (node.data / "deaf").exists())
    await manager.reaches(pb.RUNNING)
    began = time.monotonic()
    agent.terminate()
    assert await eventually(lambda: agent.poll()) == 137
    assert in_time(began, 1 + 3)


async def test_a_stop_interrupts_a_pre_start_that_waits(node: Node, manager: Manager) -> None:
    tools = {"preStart": {"timeout": 60, "steps": [{"run": {"argv": ["/bin/sleep", "60"]}, "timeout": 60}]}}
    node.mount(node.document(tools=tools))
    node.start_manager()
    await manager.reaches(pb.STARTING)
    began = time.monotonic()
    status = await manager.stub.Stop(pb.StopRequest(), timeout=10)
    assert status.state == pb.STOPPED
    assert in_time(began, 5)


async def test_a_failing_pre_start_is_tried_again_without_end_and_says_why(node: Node, manager: Manager) -> None:
    go = node.data / "go"
    step = {"name": "ask a peer", "run": {"argv": ["/usr/bin/test", "-e", str(go)]}}
    node.mount(node.document(tools={"preStart": {"steps": [step]}}))
    agent = node.start_manager()
    waiting = await manager.reaches(pb.BACKOFF)
    assert "tool preStart, step 1 'ask a peer': /usr/bin/test ended with exit code 1" in waiting.message
    assert (waiting.starts, waiting.pid) == (0, 0)
    await eventually(
        lambda: node.agent_log.read_text().count("not started") > 5, what="more tries than a crash would get"
    )
    assert agent.poll() is None
    go.touch()
    await manager.reaches(pb.RUNNING)


async def test_files_and_command_are_filled_in_before_each_start(node: Node, manager: Manager) -> None:
    (node.root / "secrets" / "password").write_text("top-secret\n")
    pid_file = node.data / "run" / "engine.pid"
    pid_file.parent.mkdir()
    pid_file.write_text("1")
    node.mount(
        node.document(
            process={
                "command": ["/bin/sh", "-c", "echo $TOKEN > seen; sleep 1000", "{{ preStart.primary }}"],
                "env": {"TOKEN": "{{ secret.password }}"},
                "workingDirectory": "/middleware/data/deep",
                "directories": ["data/deep"],
                "pidFiles": ["run/engine.pid"],
            },
            tools={"preStart": {"steps": [{"set": {"p": "node-7"}}], "result": {"primary": "{{ p }}"}}},
            files=[
                {"path": "/middleware/conf/a", "source": "a", "write": "always", "mode": "0640"},
                {"path": "/middleware/conf/b", "source": "b", "write": "once", "mode": "0600"},
            ],
        ),
        a=" ".join(("of", at_start("preStart.primary"), "{{ x }}", at_start("secret.password | quoted"))),
        b=f"first {at_start('node.first')} last '{at_start('last.role')}'",
    )
    node.start_manager()
    status = await manager.reaches(pb.RUNNING)
    assert (node.data / "conf" / "a").read_text() == 'of node-7 {{ x }} "top-secret"'
    assert (node.data / "conf" / "b").read_text() == "first true last ''"
    assert not pid_file.exists()
    seen = node.data / "data" / "deep" / "seen"
    assert await eventually(lambda: seen.exists() and seen.read_text()) == "top-secret\n"
    assert arguments(status.pid)[3] == "node-7"
    for name in ("a", "b"):
        (node.data / "conf" / name).write_text("rewritten by the engine")
    await manager.stub.Restart(pb.RestartRequest(), timeout=10)
    assert (node.data / "conf" / "a").read_text().startswith("of node-7")
    assert (node.data / "conf" / "b").read_text() == "rewritten by the engine"
    (node.data / ".agent" / "once-for").write_text("uid-of-an-earlier-app")
    await manager.stub.Restart(pb.RestartRequest(), timeout=10)
    assert (node.data / "conf" / "b").read_text() == "first true last ''"


async def test_two_managers_on_one_volume_never_run_two_engines(node: Node, manager: Manager) -> None:
    node.mount(node.document())
    old = node.start_manager(pod="pod-old")
    engine = (await manager.reaches(pb.RUNNING)).pid
    successor = Node(node.root, authority=node.authority, processes=node.processes)
    # A Pod of its own: it shares the volume and nothing else.
    environment = successor.environment("pod-new") | {"MW_SCRIPTS_DIR": str(node.root / "scripts-new")}
    successor.environment = lambda pod="pod-new": environment  # type: ignore[method-assign]
    successor.start_manager()
    async with successor.channel(successor.manager_port) as channel:
        waiting = Manager(agent_pb2_grpc.ProcessManagerStub(channel))
        status = await waiting.reaches(pb.STARTING)

        async def named() -> bool:
            return "Pod pod-old (uid uid-of-pod-old) still uses" in (await waiting.status()).message

        await eventually(named, what="the message names the holder")
        assert status.starts == 0
        # PID 1 dies and its files are closed before the kernel gets to the engine: the lock must survive that moment.
        old.kill()
        old.wait(5)
        assert alive(engine)
        assert (await waiting.status()).starts == 0
        os.kill(engine, signal.SIGKILL)
        assert (await waiting.reaches(pb.RUNNING)).starts == 1


async def test_the_pushed_document_counts_only_while_it_is_newer_and_of_this_app(node: Node, manager: Manager) -> None:
    (node.data / ".agent").mkdir()
    newer = node.document(revision=7)
    stored = {file.source: file.content.decode() for file in pushed(newer)}
    (node.data / ".agent" / "pushed.json").write_text(json.dumps(stored))
    node.mount(node.document(revision=3))
    node.start_manager()
    assert (await manager.reaches(pb.RUNNING)).revision == 7
    node.mount(node.document(revision=8))
    assert (await manager.status()).revision == 8
    other = node.document(revision=1)
    other["node"]["appUid"] = "uid-2"
    node.mount(other)
    assert (await manager.status()).revision == 1, "a copy of a deleted App's document lies on a kept volume"


async def test_a_missing_document_is_waited_for(node: Node, manager: Manager) -> None:
    node.start_manager()
    assert "has no node.json" in (await manager.reaches(pb.BACKOFF)).message
    node.mount(node.document())
    await manager.reaches(pb.RUNNING)
