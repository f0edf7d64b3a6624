"""A primary that nobody knows takes no writes: the real agents over a real redis-server."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.support.stalls import in_time, stood_still
from tests.unit.agent.support import Manager, Node, eventually, free_port, pushed, role

if TYPE_CHECKING:
    Tools = agent_pb2_grpc.ToolsAsyncStub

SECONDS = 1.5
FOLLOWERS = 1


def _document(node: Node, port: int, **changes: Any) -> dict[str, Any]:
    program = shutil.which("redis-server")
    assert program, "these tests need redis-server on PATH: make .venv/bin/redis-server"
    ask = {"resp": ["INFO", "replication"], "as": "info", "timeout": 1}
    heard = "{{ info.replicas | selectattr('lag', 'in', [0, 1]) | map(attribute='ip') | list }}"
    mark = {
        "run": {
            "argv": ["/bin/sh", "-c", "echo $SECONDS_ASKED >> fences"],
            "env": {"SECONDS_ASKED": "{{ arg.seconds }}"},
        }
    }
    fence = [
        ask | {"expect": "info.role == 'master'"},
        {"resp": ["CLIENT", "PAUSE", "{{ arg.seconds | int * 1000 }}", "WRITE"], "timeout": 1},
        mark,
    ]
    unfence = {"resp": ["CLIENT", "UNPAUSE"], "timeout": 1}
    follow = {"resp": [["REPLICAOF", "127.0.0.1", "{{ arg.port }}"], ["CLIENT", "UNPAUSE"]], "timeout": 1}
    return node.document(
        **{
            "process": {
                "command": [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(node.data)]
            },
            "tools": {
                "getRole": {
                    "steps": [ask],
                    "result": {
                        "role": "{{ 'primary' if info.role == 'master' else 'replica' }}",
                        "followers": heard,
                    },
                },
                "fence": {"steps": fence, "undo": {"tool": "unfence", "after": "{{ arg.seconds }}"}},
                "unfence": {"steps": [unfence]},
                "follow": {"steps": [follow]},
            },
            "connections": {"me": {"resp": f"127.0.0.1:{port}"}},
            "roles": ["primary", "replica"],
            "writableRoles": ["primary"],
            "lease": {"seconds": SECONDS, "followers": FOLLOWERS},
            "members": [{"name": "shop-engine-main-1", "address": "127.0.0.1"}],
        }
        | changes
    )


@pytest.fixture
async def port(node: Node, manager: Manager, tools: Tools) -> int:
    """A node whose agents run a Redis with a lease on this port."""
    port = free_port()
    node.mount(_document(node, port))
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    await eventually(lambda: _is_primary(tools), what="the role is known")
    return port


async def _is_primary(tools: Tools) -> bool:
    return (await role(tools)).role == "primary"


async def _writes(port: int, within: float = 0.3) -> bool:
    """Whether a write is acknowledged. One that waits is taken back with its connection."""
    return await _command(port, "SET key 1", within) == b"+OK\r\n"


async def _command(port: int, text: str, within: float = 5.0) -> bytes:
    """The first line of the answer, nothing where there is none in time. A connection of its own and no retries."""
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return b""
    try:
        async with asyncio.timeout(within):
            writer.write(text.encode() + b"\r\n")
            return await reader.readline()
    except (OSError, TimeoutError):
        return b""
    finally:
        writer.transport.abort()


async def _renew(tools: Tools) -> pb.LeaseStatus:
    return await tools.RenewLease(pb.RenewLeaseRequest(), timeout=20)


@asynccontextmanager
async def _renewing(tools: Tools) -> AsyncIterator[None]:
    async def go_on() -> None:
        while True:
            assert (await _renew(tools)).held
            await asyncio.sleep(0.2)

    task = asyncio.create_task(go_on())
    try:
        yield
        assert not task.done(), "renewed until now"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _fenced(tools: Tools) -> pb.RoleReport | None:
    report = await role(tools)
    return report if report.fenced else None


async def _free(tools: Tools) -> pb.RoleReport | None:
    report = await role(tools)
    return report if not report.fenced and report.ready else None


async def _run(tools: Tools, tool: str, **arguments: str) -> pb.ToolResult:
    result = pb.ToolResult()
    async for output in tools.Run(pb.RunRequest(tool=tool, arguments=arguments), timeout=20):
        result = output.result
    return result


def _kill(agent: subprocess.Popen[bytes]) -> None:
    agent.kill()
    agent.wait(5)


def _fences(node: Node) -> list[str]:
    kept = node.data / "fences"
    return kept.read_text().split() if kept.exists() else []


def _mark(node: Node) -> Path:
    return node.data / ".agent" / "fenced.json"


async def test_renewals_hold_it_and_without_them_writes_end_in_time(node: Node, tools: Tools, port: int) -> None:
    async with _renewing(tools):
        assert (await _renew(tools)).held
        fences, began = _fences(node), time.monotonic()
        while time.monotonic() - began < 2 * SECONDS:
            assert await _writes(port, within=5) or stood_still(began)
            await asyncio.sleep(0.05)
        await eventually(lambda: _free(tools), within=1, what="it was ready all the time")
        assert _fences(node) == fences or stood_still(began), "it was renewed all the time"
        assert (await _renew(tools)).held
        last = time.monotonic()
    acknowledged = last
    while await _writes(port, within=1):
        acknowledged = time.monotonic()
    in_between = SECONDS - 0.6 < acknowledged - last < SECONDS + 1
    assert in_between or stood_still(last), "a failover waits for the lease and 2 s"
    report = await eventually(lambda: _fenced(tools), what="the report says fenced")
    assert not report.ready
    assert f"no contact with the platform nor with a majority of its replicas for {SECONDS:g} s" in report.message


async def test_a_renewal_lets_writes_flow_again_and_those_who_watch_hear_of_all_of_it(
    node: Node, tools: Tools, port: int
) -> None:
    watch = tools.WatchRole(pb.GetRoleRequest())
    seen: list[tuple[bool, bool]] = []

    async def follow() -> None:
        async for report in watch:
            if not seen or seen[-1] != (report.ready, report.fenced):
                seen.append((report.ready, report.fenced))

    following = asyncio.create_task(follow())
    await eventually(lambda: (False, True) in seen, what="fenced")
    assert not await _writes(port)
    assert _mark(node).exists()
    async with _renewing(tools):
        await eventually(lambda: _writes(port), within=5, what="writes flow again")
        await eventually(lambda: seen[-1] == (True, False), what="ready again")
        await eventually(lambda: not _mark(node).exists(), within=1, what="nothing remembers the fence")
    watch.cancel()
    following.cancel()


async def test_a_replica_that_follows_renews_it_without_the_platform(node: Node, tools: Tools, port: int) -> None:
    node.mount(_document(node, port, revision=2, lease={"seconds": 3.0, "followers": 1}))
    program, own = shutil.which("redis-server"), free_port()
    assert program
    command = [program, "--port", str(own), "--bind", "127.0.0.1", "--save", "", "--replicaof", f"127.0.0.1 {port}"]
    replica = await asyncio.create_subprocess_exec(*command, "--dir", str(node.root), stdout=subprocess.DEVNULL)
    await eventually(lambda: _free(tools), what="held by the replica")
    fences, began = _fences(node), time.monotonic()
    while time.monotonic() - began < 5:
        assert await _writes(port, within=5) or stood_still(began)
        await asyncio.sleep(0.05)
    assert _fences(node) == fences or stood_still(began)
    replica.kill()
    await replica.wait()
    await eventually(lambda: _fenced(tools), within=10, what="without its replica it stops")
    assert not await _writes(port)


async def test_no_undo_and_no_unfence_of_others_lifts_what_the_lease_keeps(node: Node, tools: Tools, port: int) -> None:
    async with _renewing(tools):
        assert (await _run(tools, "fence", seconds="3")).success
    began = time.monotonic()
    await eventually(lambda: _fenced(tools), what="fenced")
    result = await _run(tools, "unfence")
    assert (result.success, result.message) == (
        True,
        "tool unfence succeeded; the lease is out, so the fence stays until it is renewed",
    )
    assert not await _writes(port)
    assert (await _run(tools, "fence", seconds="1")).success
    await eventually(lambda: b"unfence is not run" in node.agent_log.read_bytes(), what="the undo came")
    while time.monotonic() - began < 4:
        assert not await _writes(port)
    async with _renewing(tools):
        await eventually(lambda: _writes(port), within=5, what="writes flow again")


async def test_a_renewal_does_not_lift_the_fence_of_a_switchover(node: Node, tools: Tools, port: int) -> None:
    assert (await _run(tools, "fence", seconds="4")).success
    began = time.monotonic()
    await eventually(lambda: _fenced(tools), what="fenced")
    async with _renewing(tools):
        await eventually(lambda: _free(tools), what="no longer by the lease")
        refused = not await _writes(port)
        assert refused or time.monotonic() - began > 3.5, "still as the switchover wants it"
        await eventually(lambda: _writes(port), what="its time is over")
    assert time.monotonic() - began > 3.5
    assert in_time(began, 10), "and not the 60 s of the lease"


async def test_a_new_agent_keeps_it_fenced_until_it_is_renewed(node: Node, tools: Tools, port: int) -> None:
    await eventually(lambda: _fenced(tools), what="fenced")
    _kill(node.processes[-1])
    await _lift_by_hand(port)
    node.start_tools()
    await eventually(lambda: _fenced(tools), what="fenced anew")
    assert not await _writes(port)
    assert len(_fences(node)) == 2
    await eventually(lambda: _renewed(tools), what="renewed")
    async with _renewing(tools):
        await eventually(lambda: _writes(port), what="writes flow again")


async def test_a_new_pod_on_a_fenced_volume_gets_no_grace(node: Node, tools: Tools, port: int) -> None:
    await eventually(lambda: _fenced(tools), what="fenced")
    _kill(node.processes[-1])
    (node.root / "scripts" / ".agent" / "lease.json").unlink()
    await _lift_by_hand(port)
    node.start_tools()
    await eventually(lambda: _fenced(tools), what="fenced anew")
    assert not await _writes(port)


async def test_neither_a_new_agent_nor_a_new_process_lengthens_it(
    node: Node, manager: Manager, tools: Tools, port: int
) -> None:
    async with _renewing(tools):
        engine = (await manager.status()).pid
        _kill(node.processes[-1])
    await asyncio.sleep(SECONDS)  # by the machine's clock: an agent that starts then finds it run out
    assert await _writes(port, within=5), "nobody was there to fence it"
    os.kill(engine, signal.SIGKILL)
    waiting = await manager.reaches(pb.WAITING)
    assert waiting.pid == 0
    assert "waits for the word of the platform or of its replicas" in waiting.message
    node.start_tools()
    assert (await tools.RenewLease(pb.RenewLeaseRequest(), wait_for_ready=True, timeout=20)).held
    async with _renewing(tools):
        await eventually(lambda: _writes(port), what="it serves again")


async def test_an_engine_that_takes_no_more_clients_is_fenced_all_the_same(
    node: Node, manager: Manager, tools: Tools
) -> None:
    """At ``maxclients`` the fence found no connection, and a primary cut off from everybody but its clients took
    writes for ever."""
    port = free_port()
    document = _document(node, port)
    document["process"]["command"] += ["--maxclients", "20"]
    document["toolbox"]["connections"]["me"]["keep"] = True
    node.mount(document)
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    await eventually(lambda: _is_primary(tools), what="the role is known")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    crowd = [(reader, writer)]
    async with _renewing(tools):
        while await _command(port, "PING") == b"+PONG\r\n":
            crowd.append(await asyncio.open_connection("127.0.0.1", port))
        await eventually(lambda: _free(tools), within=1, what="it is well all the same")
    await eventually(lambda: _fenced(tools), what="it is fenced")
    writer.write(b"SET key 1\r\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await reader.readline()
    async with _renewing(tools), asyncio.timeout(20):
        assert await reader.readline() == b"+OK\r\n"
    for _, each in crowd:
        each.close()


async def _lift_by_hand(port: int) -> None:
    assert await _command(port, "CLIENT UNPAUSE") == b"+OK\r\n"


async def _renewed(tools: Tools) -> bool:
    return (await _renew(tools)).held


async def test_a_hung_engine_is_fenced_as_soon_as_it_goes_on_and_holds_up_nobody(
    node: Node, manager: Manager, tools: Tools, port: int
) -> None:
    engine = (await manager.status()).pid
    assert (await _renew(tools)).held
    os.kill(engine, signal.SIGSTOP)
    await eventually(lambda: _hung(tools), within=5, what="the report says that it does not answer")
    await eventually(lambda: b"the lease has run out" in node.agent_log.read_bytes(), what="the lease runs out")
    began = time.monotonic()
    assert (await _renew(tools)).held
    assert in_time(began, 1), "a renewal waits for no engine"
    await eventually(lambda: node.agent_log.read_bytes().count(b"the lease has run out") == 2, what="out again")
    os.kill(engine, signal.SIGCONT)
    await eventually(lambda: _fenced(tools), within=10, what="fenced")
    assert not await _writes(port)


async def _hung(tools: Tools) -> bool:
    async for report in tools.WatchRole(pb.GetRoleRequest(), timeout=20):
        return not report.role and not report.ready and report.process == pb.RUNNING
    return False


async def test_who_is_told_to_follow_has_no_lease_and_a_promotion_grants_a_new_one(
    node: Node, tools: Tools, port: int
) -> None:
    await eventually(lambda: _fenced(tools), what="fenced")
    assert (await _run(tools, "follow", port=str(free_port()))).success
    report = await role(tools)
    assert (report.role, report.fenced) == ("replica", False)
    await eventually(lambda: not _mark(node).exists(), what="the mark is gone")
    answer = await _renew(tools)
    assert (answer.held, answer.message) == (False, "this node is not known to have a writable role")
    assert (await _command(port, "REPLICAOF NO ONE")).startswith(b"+OK")
    began = time.monotonic()
    await eventually(lambda: _is_primary(tools))
    assert await _writes(port, within=5) or stood_still(began), "promoted"
    await eventually(lambda: _fenced(tools), what="and again nobody renews it")


async def test_a_document_without_a_lease_ends_the_fence(node: Node, tools: Tools, port: int) -> None:
    await eventually(lambda: _fenced(tools), what="fenced")
    without = _document(node, port, revision=2)
    del without["lease"]
    result = await tools.ReloadConfig(pb.ReloadConfigRequest(files=pushed(without)), timeout=10)
    assert result.success, result.message
    await eventually(lambda: _writes(port), what="writes flow again")
    await eventually(lambda: not _mark(node).exists(), what="the mark is gone")
    answer = await _renew(tools)
    assert not answer.held
    assert "no lease" in answer.message
    fences, granted = _fences(node), time.monotonic()
    result = await tools.ReloadConfig(
        pb.ReloadConfigRequest(files=pushed(_document(node, port, revision=3))), timeout=10
    )
    assert result.success, result.message
    acknowledged = granted
    while _fences(node) == fences:
        if await _writes(port, within=1):
            acknowledged = time.monotonic()
    assert time.monotonic() - granted >= SECONDS, "a lease that comes with a first replica begins with a grace"
    assert acknowledged - granted > SECONDS / 2 or stood_still(granted)
    await eventually(lambda: _fenced(tools), what="nobody renews it")
