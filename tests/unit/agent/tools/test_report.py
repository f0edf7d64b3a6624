"""What a report says beside role and readiness, and how soon: when a node was last ready, a full volume, a death."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.support.stalls import in_time
from tests.unit.agent.support import PYTHON, Manager, Node, eventually, fetch, role

if TYPE_CHECKING:
    Tools = agent_pb2_grpc.ToolsAsyncStub

READY = {"steps": [{"run": {"argv": ["/bin/test", "-e", "well"]}, "timeout": 1}]}
ROLE = {"steps": [{"set": {"r": "replica"}}], "result": {"role": "{{ r }}"}}


async def _start(node: Node, manager: Manager, **changes: Any) -> None:
    node.mount(node.document(**{"tools": {"ready": READY, "getRole": ROLE}, "roles": ["replica"], **changes}))
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)


async def test_the_time_when_it_was_last_ready_is_told_and_kept_on_the_volume(
    node: Node, manager: Manager, tools: Tools
) -> None:
    (node.data / "well").touch()
    before = time.time_ns() // 1_000_000
    await _start(node, manager)
    await eventually(lambda: _ready(tools, True), what="ready")
    (node.data / "well").unlink()
    await eventually(lambda: _ready(tools, False), what="no longer ready")
    last = (await role(tools)).last_ready
    assert before <= last <= time.time_ns() // 1_000_000
    await asyncio.sleep(0.3)  # three polls
    assert (await role(tools)).last_ready == last, "it does not grow while the node is not ready"

    async def kept() -> bool:
        return (await manager.status()).volume.last_ready == last

    await eventually(kept, what="it is on the volume")
    node.processes[-1].kill()
    node.processes[-1].wait(5)
    node.start_tools()
    report = await role(tools)
    assert (report.ready, report.last_ready) == (False, last)
    await manager.stub.Stop(pb.StopRequest(), timeout=10)
    async for stopped in tools.WatchRole(pb.GetRoleRequest(), timeout=20):
        if stopped.process == pb.STOPPED:
            assert stopped.last_ready == last, "also of an engine that has ended"
            break


async def _ready(tools: Tools, wanted: bool) -> bool:
    return (await role(tools)).ready is wanted


async def test_that_it_may_not_be_stopped_is_told_and_that_it_may_again(
    node: Node, manager: Manager, tools: Tools
) -> None:
    """A drain asked nobody: it asks a disruption budget, and that goes by this word."""
    (node.data / "well").touch()
    safe = {"steps": [{"run": {"argv": ["/bin/test", "-e", "copied"]}, "timeout": 1}]}
    await _start(node, manager, tools={"ready": READY, "getRole": ROLE, "safeToStop": safe})

    async def refuses(wanted: bool) -> bool:
        return (await role(tools)).stop_refused is wanted

    await eventually(lambda: refuses(True), what="it refuses")
    (node.data / "copied").touch()
    await eventually(lambda: refuses(False), what="it may be stopped")


async def test_a_full_volume_is_told_at_once_and_again_when_there_is_room(
    node: Node, manager: Manager, tools: Tools
) -> None:
    with _volume(node.data, "4m"):
        (node.data / "well").touch()
        await _start(node, manager)
        await eventually(lambda: _ready(tools, True), what="ready")
        first = await role(tools)
        assert not first.volume_full
        ballast = node.data / "ballast"
        ballast.write_bytes(bytes(_free(node.data) - 512 * 1024))
        full = await _seen(tools, volume_full=True)
        assert full.sequence > first.sequence
        await eventually(lambda: _ready(tools, True), what="ready: a full volume is no reason not to be")
        ballast.unlink()
        again = await _seen(tools, volume_full=False)
        assert again.sequence > full.sequence
        node.end()


def _free(path: Path) -> int:
    seen = os.statvfs(path)
    return seen.f_bavail * seen.f_frsize


async def _seen(tools: Tools, volume_full: bool) -> pb.RoleReport:
    async for report in tools.WatchRole(pb.GetRoleRequest(), timeout=30):
        if report.volume_full is volume_full:
            return report
    raise AssertionError("the stream ended")


@contextmanager
def _volume(path: Path, size: str) -> Iterator[None]:
    """A small file system of its own; needs root, as the agents' containers have in these tests."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


async def test_the_death_of_an_engine_is_told_at_once(node: Node, manager: Manager, tools: Tools) -> None:
    (node.data / "well").touch()
    await _start(node, manager, monitorInterval=30, process={"command": [PYTHON, "-c", "import time; time.sleep(999)"]})
    await eventually(lambda: _ready(tools, True), what="ready")
    watch = tools.WatchRole(pb.GetRoleRequest(), timeout=20)
    reports = aiter(watch)
    assert (await anext(reports)).role == "replica"
    engine = (await manager.status()).pid
    began = time.monotonic()
    os.kill(engine, signal.SIGKILL)
    while (report := await anext(reports)).role:
        pass
    assert in_time(began, 2), "and not at the next poll"
    assert report.process in (pb.EXITED, pb.BACKOFF)
    watch.cancel()


async def test_the_volume_remembers_no_more_of_an_engine_than_it_has_saved(
    node: Node, manager: Manager, tools: Tools
) -> None:
    """Else, after the deaths of all, the one that copied last would be told to begin with what it had before."""
    (node.data / "well").touch()
    (node.data / "position").write_text("41")
    (node.data / "unsaved").touch()
    ready = {"steps": [_reads("unsaved"), *READY["steps"]], "result": {"unsaved": "{{ unsaved }}"}}
    at = {"steps": [_reads("position"), *ROLE["steps"]], "result": {"role": "{{ r }}", "position": "{{ position }}"}}
    await _start(node, manager, tools={"ready": ready, "getRole": at})

    async def kept(position: int) -> bool:
        return (await manager.status()).volume.position == str(position)

    await eventually(lambda: kept(41), what="saved, and remembered")
    (node.data / "unsaved").write_text("it writes what it has copied")
    await eventually(lambda: _unsaved(tools), what="told")
    await _written_again(node)
    before = (await manager.status()).volume
    (node.data / "position").write_text("99")
    await eventually(lambda: _at(tools, 99), what="how far it is")
    await eventually(lambda: _ready(tools, True), what="it serves, and may take over")
    assert (await role(tools)).unsaved == "it writes what it has copied"
    assert await fetch(node.tools_health_port, "/readyz") == (503, "not ready\n")
    (node.data / "well").unlink()
    await eventually(lambda: _ready(tools, False), what="no longer in sync, and it has not saved either")
    await _written_again(node)
    volume = (await manager.status()).volume
    assert (volume.role, volume.position) == ("replica", "41")
    assert volume.last_seen == volume.last_ready == before.last_ready
    (node.data / "well").touch()
    (node.data / "unsaved").write_text("")
    await eventually(lambda: kept(99), what="saved, and remembered")
    assert (await fetch(node.tools_health_port, "/readyz"))[0] == 200


@pytest.mark.parametrize(
    ("given", "reported", "last"),
    [("{{ [3, 7] }}", "3 7", "[3, 7]"), ("B:1,\nA:1-2:3", "a:1-3,b:1", "a:1-3,b:1"), ("{{ 42 }}", "42", "42")],
)
async def test_how_far_it_is_may_have_parts_and_is_remembered_so(
    node: Node, manager: Manager, tools: Tools, given: str, reported: str, last: str
) -> None:
    (node.data / "well").touch()
    remembers = {"steps": [{"set": {"a": "b"}}], "result": {"last": "{{ last.position | json }}"}}
    at = {"steps": ROLE["steps"], "result": {"role": "{{ r }}", "position": given}}
    await _start(node, manager, tools={"ready": READY, "getRole": at, "remembers": remembers})

    async def kept() -> bool:
        return (await manager.status()).volume.position == reported

    await eventually(kept, what="remembered")
    assert (await role(tools)).position == reported
    async for output in tools.Run(pb.RunRequest(tool="remembers"), timeout=20):
        assert output.result.values["last"].strip('"') == last


async def test_a_position_that_is_none_is_told(node: Node, manager: Manager, tools: Tools) -> None:
    (node.data / "well").touch()
    at = {"steps": ROLE["steps"], "result": {"role": "{{ r }}", "position": "0/16B3748"}}
    await _start(node, manager, tools={"ready": READY, "getRole": at})
    said = await role(tools)
    assert (said.role, said.ready) == ("", False)
    assert said.message.startswith("tool getRole, its result: position: '0/16B3748' is no position; it has to be")


async def _written_again(node: Node) -> None:
    """The record, which is every 5 s, changed or not."""
    record, since = node.data / ".agent" / "record.json", time.time()
    await eventually(lambda: record.stat().st_mtime > since, what="the record is written again")


def _reads(name: str) -> dict[str, Any]:
    return {"run": {"argv": ["/bin/cat", name]}, "as": name}


async def _unsaved(tools: Tools) -> bool:
    return bool((await role(tools)).unsaved)


async def _at(tools: Tools, position: int) -> bool:
    return (await role(tools)).position == str(position)
