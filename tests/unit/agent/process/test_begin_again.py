"""A primary whose Pod was replaced: its own record does not make it writable again, a word from elsewhere does.

Real agents over a process that stands for an engine; ``role`` is what it says of itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

from agent.record import Record, write_record
from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.unit.agent.support import Manager, Node, eventually, written

if TYPE_CHECKING:
    Tools = agent_pb2_grpc.ToolsAsyncStub

SAY = "import pathlib, time; pathlib.Path('started').write_text('x'); time.sleep(1000)"
PRIMARY = Record(app_uid="uid-1", role="primary", last_writable=1, last_seen=2, position="10", epoch=3)


def _document(node: Node, **changes: Any) -> dict[str, Any]:
    role = {"steps": [{"run": {"argv": ["/bin/cat", "role"]}, "as": "said"}], "result": {"role": "{{ said }}"}}
    (node.data / "role").write_text("primary")
    fence = {"steps": [{"write": {"path": "/middleware/fence", "content": "{{ arg.seconds }}"}}]}
    (node.data / "following").write_text("")
    followers = {
        "steps": [{"run": {"argv": ["/bin/cat", "following"]}, "as": "who"}],
        "result": {"followers": "{{ who }}"},
    }
    tools = {"getRole": role, "fence": fence, "unfence": {"steps": [{"set": {"x": "y"}}]}, "followers": followers}
    return node.document(
        **{
            "process": {"command": ["/usr/bin/env", "python3", "-c", SAY]},
            "tools": tools,
            "roles": ["primary", "replica"],
            "writableRoles": ["primary"],
            "lease": {"seconds": 1.5, "followers": 1},
            "members": [{"name": "shop-engine-main-1", "address": "10.0.0.1"}],
        }
        | changes
    )


def _was(node: Node, record: Record = PRIMARY) -> None:
    write_record(node.data / ".agent", record)


async def _waits(manager: Manager) -> pb.ProcessStatus:
    status = await manager.reaches(pb.WAITING)
    assert (status.pid, status.starts) == (0, 0)
    return status


def _new_pod(node: Node) -> None:
    """The volume stays, what belongs to the Pod does not."""
    shutil.rmtree(node.root / "scripts")
    (node.root / "scripts").mkdir()


async def test_it_waits_until_the_platform_renews_its_lease(node: Node, manager: Manager, tools: Tools) -> None:
    _was(node)
    node.mount(_document(node))
    node.start_manager()
    node.start_tools()
    await _waits(manager)
    await asyncio.sleep(2)  # longer than a lease: that no time gives it one has no condition to wait for
    await _waits(manager)
    assert not (node.data / "started").exists()
    assert (await tools.RenewLease(pb.RenewLeaseRequest(), wait_for_ready=True, timeout=20)).held
    assert (await manager.reaches(pb.RUNNING)).starts == 1


async def test_a_process_that_ends_by_itself_is_back_without_a_question(
    node: Node, manager: Manager, tools: Tools
) -> None:
    node.mount(_document(node))
    node.start_manager()
    node.start_tools()
    engine = (await manager.reaches(pb.RUNNING)).pid
    await eventually(lambda: (node.root / "scripts" / ".agent" / "lease.json").exists(), what="its lease is noted")
    await eventually(lambda: (node.data / ".agent" / "record.json").exists(), what="its role is on the volume")
    assert (await tools.RenewLease(pb.RenewLeaseRequest(), timeout=20)).held
    os.kill(engine, signal.SIGKILL)
    back = await eventually(lambda: _other(manager, engine), what="it is back")
    assert back.starts == 2


async def _other(manager: Manager, pid: int) -> pb.ProcessStatus | None:
    status = await manager.status()
    return status if status.state == pb.RUNNING and status.pid != pid else None


async def test_a_new_pod_of_a_primary_does_not_begin_with_the_lease_of_the_old_one(
    node: Node, manager: Manager, tools: Tools
) -> None:
    node.mount(_document(node))
    processes = [node.start_manager(), node.start_tools()]
    await manager.reaches(pb.RUNNING)
    await eventually(lambda: (node.data / ".agent" / "record.json").exists(), what="its role is on the volume")
    assert (await tools.RenewLease(pb.RenewLeaseRequest(), timeout=20)).held
    for process in processes:
        process.terminate()
    for process in processes:
        await asyncio.to_thread(process.wait, 15)
    _new_pod(node)
    (node.data / "started").unlink()
    node.start_manager("pod-1")
    await _waits(manager)
    assert not (node.data / "started").exists()


async def test_whoever_begins_with_another_role_asks_nobody(node: Node, manager: Manager) -> None:
    _was(node)
    document = _document(node)
    found = {"preStart": {"steps": [{"set": {"r": "replica"}}], "result": {"role": "{{ r }}"}}}
    document["toolbox"]["tools"] |= written({"tools": found})["tools"]
    node.mount(document)
    node.start_manager()
    await manager.reaches(pb.RUNNING)


@pytest.mark.parametrize(
    "record",
    [
        Record(app_uid="uid-1", role="replica", position="10"),
        Record(app_uid="an-earlier-app", role="primary", position="10"),
        None,
    ],
)
async def test_whoever_was_not_writable_in_this_app_asks_nobody(
    node: Node, manager: Manager, record: Record | None
) -> None:
    if record is not None:
        _was(node, record)
    node.mount(_document(node))
    node.start_manager()
    await manager.reaches(pb.RUNNING)


async def test_a_node_without_replicas_asks_nobody(node: Node, manager: Manager) -> None:
    _was(node)
    document = _document(node)
    del document["lease"]
    node.mount(document)
    node.start_manager()
    await manager.reaches(pb.RUNNING)


@pytest.mark.parametrize("word", [{"permit": True}, {"lead": True}])
async def test_a_start_with_the_platforms_word_is_enough(node: Node, manager: Manager, word: dict[str, bool]) -> None:
    _was(node)
    node.mount(_document(node))
    node.start_manager()
    await _waits(manager)
    status = await manager.stub.Start(pb.StartRequest(request_id="1", **word), timeout=10)
    assert status.state == pb.RUNNING


async def test_a_start_without_a_word_is_not(node: Node, manager: Manager) -> None:
    _was(node)
    node.mount(_document(node))
    node.start_manager()
    await _waits(manager)
    starting = asyncio.ensure_future(manager.stub.Start(pb.StartRequest(request_id="1"), timeout=3))
    await asyncio.wait([starting])
    assert starting.exception() is not None
    await _waits(manager)


async def test_one_that_waits_is_stopped_by_a_failover(node: Node, manager: Manager, tools: Tools) -> None:
    _was(node)
    node.mount(_document(node))
    node.start_manager()
    node.start_tools()
    await _waits(manager)
    assert (await manager.stub.Stop(pb.StopRequest(request_id="1"), timeout=20)).state == pb.STOPPED
    assert (await tools.RenewLease(pb.RenewLeaseRequest(), wait_for_ready=True, timeout=20)).held
    await asyncio.sleep(1)  # as above
    assert (await manager.status()).starts == 0


PEERS_AT_ONCE = (
    "import sys, agent.lease.peers as peers; peers.PeersAsked.__init__.__defaults__ = (0.5,); "
    "from agent.tools.main import run; sys.exit(run())"
)
"""Agent 2 as it is, with less patience for the platform."""


async def test_without_the_platform_a_majority_that_follows_it_still_is_enough(node: Node, manager: Manager) -> None:
    _was(node)
    node.mount(_document(node))
    node.start_manager()
    node.start("-c", PEERS_AT_ONCE)
    await _waits(manager)
    (node.data / "following").write_text("10.0.0.9 10.9.9.9")
    await asyncio.sleep(2)  # strangers are asked in vain, again and again
    await _waits(manager)
    (node.data / "following").write_text("10.0.0.9 10.0.0.1")
    await manager.reaches(pb.RUNNING)
    assert json.loads((node.data / ".agent" / "record.json").read_text())["role"] == "primary"
