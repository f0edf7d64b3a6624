"""When a lease is held and when it is out, by a clock that the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agent.decoding import decode
from agent.document import Lease, NodeDocument
from agent.documents import DocumentStore
from agent.lease.keeper import LeaseKeeper
from agent.process.reaper import Reaper
from agent.process.state import State, StatusBoard
from agent.record import Record, write_record
from agent.settings import Settings
from agent.tooling.interpreter import Interpreter
from agent.tooling.secrets import Secrets
from tests.unit.agent.support import Node, eventually


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Primary:
    """A node's lease of 4 s, with 2 followers wanted, and what a poll would tell it."""

    def __init__(self, node: Node) -> None:
        fence = {"steps": [{"write": {"path": "/middleware/fence", "content": "{{ arg.seconds }}"}}]}
        members = [{"name": f"node-{number}", "address": f"10.0.0.{number}"} for number in (1, 2, 3)]
        lease = {"seconds": 4.0, "followers": 2}
        data = node.document(writableRoles=["primary"], lease=lease, members=members, tools={"fence": fence})
        node.mount(data)
        self.clock = Clock()
        settings = Settings.from_environment(node.environment())
        self.board = StatusBoard()
        self.board.update(state=State.RUNNING, pid=7, starts=1)
        interpreter = Interpreter(settings, Secrets(settings.secrets_dir), Reaper())
        self.keeper = LeaseKeeper(DocumentStore(settings), interpreter, self.board, self.clock)
        self.document = decode(NodeDocument, data, "node.json")

    def polled(self, role: str = "primary", followers: str = "", *, asked: float | None = None) -> None:
        self.keeper.observe(self.document, {}, role, followers, self.clock.time if asked is None else asked)

    def out_at(self, time: float) -> bool:
        self.clock.time = time
        return self.keeper.out


@pytest.fixture
async def primary(node: Node) -> AsyncIterator[Primary]:
    others = asyncio.all_tasks()
    yield Primary(node)
    writing = asyncio.all_tasks() - others - {asyncio.current_task()}
    await asyncio.gather(*writing)  # what it remembers, into a directory that is removed next


async def test_who_becomes_writable_has_a_grace_of_the_whole_time(primary: Primary) -> None:
    assert not primary.keeper.out
    primary.polled()
    assert not primary.out_at(1003.9)
    primary.polled()
    assert primary.out_at(1004), "that it still is writable renews nothing"


async def test_a_call_counts_from_its_arrival(primary: Primary) -> None:
    primary.polled()
    primary.clock.time = 1002
    assert primary.keeper.renew(1002) == ""
    assert not primary.out_at(1005.9)
    assert primary.out_at(1006)
    assert primary.keeper.renew(1001) == ""
    assert primary.keeper.out, "an older one than the last"
    assert primary.keeper.renew(1006) == ""
    assert not primary.keeper.out


async def test_enough_followers_count_from_two_seconds_before_they_were_asked_for(primary: Primary) -> None:
    primary.polled()
    primary.clock.time = 1005
    primary.polled(followers="10.0.0.1")
    assert primary.keeper.out, "one of two is no majority"
    primary.polled(followers="10.0.0.1 node-3", asked=1003.5)
    assert not primary.keeper.out
    assert not primary.out_at(1005.4)
    assert primary.out_at(1005.5)
    primary.polled(followers="10.0.0.1 node-3", asked=1001)
    assert primary.keeper.out, "an answer that took too long"


@pytest.mark.parametrize(
    "followers", ["10.0.0.7 10.0.0.8", "10.0.0.1 10.0.0.1", "10.0.0.1 node-1", "2", "10.0.0.1,node-3"]
)
async def test_strangers_that_copy_the_data_renew_nothing(primary: Primary, followers: str) -> None:
    """A migration tool, another site's replica, a node that was removed; nor does one replica count twice."""
    primary.polled()
    for time in range(1000, 1010):
        primary.clock.time = time
        primary.polled(followers=followers)
    assert primary.keeper.out


async def test_who_was_writable_before_its_pod_begins_with_an_empty_lease(node: Node, primary: Primary) -> None:
    write_record(node.data / ".agent", Record(app_uid="uid-1", role="primary"))
    await primary.keeper.resume()
    primary.polled()
    assert primary.keeper.out, "however it came to run"
    assert primary.keeper.renew(1000) == ""
    assert not primary.out_at(1003.9)


async def test_it_is_renewed_before_its_engine_runs(node: Node, primary: Primary) -> None:
    write_record(node.data / ".agent", Record(app_uid="uid-1", role="primary"))
    await primary.keeper.resume()
    primary.keeper.followed(primary.document, "10.0.0.1 10.9.9.9", 1000)
    primary.polled()
    assert primary.keeper.out, "one of its replicas is no majority"
    primary.keeper.followed(primary.document, "10.0.0.1 node-2", 1000)
    assert not primary.out_at(1003.9)
    assert primary.out_at(1004)


async def test_who_was_a_replica_has_a_grace_when_it_is_promoted(node: Node, primary: Primary) -> None:
    write_record(node.data / ".agent", Record(app_uid="uid-1", role="replica"))
    await primary.keeper.resume()
    assert "not known to have a writable role" in primary.keeper.renew(1000)
    primary.polled()
    assert not primary.out_at(1003.9)


async def test_a_role_that_is_not_known_changes_nothing(primary: Primary) -> None:
    primary.polled()
    primary.clock.time = 1002
    primary.polled(role="")
    assert primary.keeper.renew(1002) == "", "the platform knows it as primary"
    primary.polled(role="")
    assert not primary.out_at(1005.9)
    assert primary.out_at(1006)


async def test_a_new_process_of_a_primary_has_no_new_grace_and_a_promoted_replica_has(primary: Primary) -> None:
    primary.polled()
    primary.board.update(state=State.BACKOFF, pid=0)
    primary.clock.time = 1003
    primary.board.update(state=State.RUNNING, pid=8, starts=2)
    primary.polled()
    assert primary.out_at(1004)
    primary.polled(role="replica")
    assert not primary.keeper.out
    assert "not known to have a writable role" in primary.keeper.renew(1004)
    primary.polled()
    assert not primary.out_at(1007.9)
    assert primary.out_at(1008)


async def test_a_changed_lease_is_in_effect_at_once(node: Node, primary: Primary) -> None:
    primary.polled()
    assert primary.out_at(1004)
    primary.document = replace(primary.document, lease=Lease(seconds=10, followers=2))
    primary.polled()
    assert not primary.keeper.out
    primary.document = replace(primary.document, lease=None)
    primary.polled()
    assert not primary.out_at(2000)


async def test_an_unfence_that_ends_while_it_is_out_is_followed_by_a_fence(node: Node, primary: Primary) -> None:
    """It began while the lease was held, and hung in the engine."""
    primary.polled()
    running = asyncio.ensure_future(primary.keeper.run())
    try:
        primary.clock.time = 1004
        await eventually(lambda: primary.keeper.fenced, what="fenced")
        (node.data / "fence").unlink()
        primary.keeper.ran("unfence", {})
        await eventually(lambda: (node.data / "fence").exists(), within=10, what="fenced again, and not after 20 s")
        await eventually(lambda: primary.keeper.fenced, what="known to be fenced")
        assert primary.keeper.keeps_fenced("unfence")
        assert (node.data / "fence").read_text() == "60"
        primary.clock.time = 1030
        (node.data / "fence").unlink()
        await eventually(lambda: (node.data / "fence").exists(), what="the fence is made to last")
    finally:
        running.cancel()
