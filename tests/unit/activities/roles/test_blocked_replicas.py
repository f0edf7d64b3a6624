"""Replacing a lost primary where no replica runs: they wait for a primary before they start, and what their volumes
remember says who may begin as one."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from activities.roles import fencing
from activities.roles.candidates import IN_SYNC_WITHIN, LOST_FOR, able_to_lead, best_of, judged
from activities.roles.failover import Failover
from activities.roles.promote import Promote
from api.failover import Chosen, Fenced, FenceRequest, PromoteRequest, Takeover
from api.names import LABEL_ROLE
from api.steps import ErrorType, Target
from proto import agent_pb2
from tests.unit.activities.support.agents import UID
from tests.unit.activities.support.cluster import World
from tests.unit.activities.support.failing import NODES, PLATFORM, SEEN, planned, takeover
from tests.unit.render.support import store

LOST, FIRST, SECOND = NODES


@pytest.fixture
async def world(virtual_time: None) -> World:
    """The primary's machine is lost, its Pod with it; the replicas have started anew, and wait. They were in sync to
    the end, and saw it come."""
    found = await World(PLATFORM, runtimeVersion="1", components=store(replicas=3)).deployed()
    found.agents.tools["follow"] = {}
    found.agents.reports.clear()
    found.cluster.remove(found.pod(LOST))
    found.agents.wait(FIRST, 10, last_ready=SEEN, last_seen=SEEN + 900)
    found.agents.wait(SECOND, 30, last_ready=SEEN, last_seen=SEEN + 900)
    return found


async def choose(world: World, **more: Any) -> Chosen:
    request = PromoteRequest(takeover(world, **{"seen": SEEN, "well": SEEN, **more}), Fenced("stopped"))
    found: Chosen = await world.do(Failover(world.platform).choose, request)
    return found


async def test_one_that_lacks_nothing_takes_over_by_itself(world: World) -> None:
    move = await planned(world, seen=SEEN)
    assert (move.source, move.primary, move.well) == (LOST, "", SEEN)
    fenced = await world.do(Failover(world.platform).fence, FenceRequest(move))
    assert fenced.by_lease
    assert {FIRST, SECOND} <= set(world.agents.called("stop")), "neither can find the old one, and renew its lease"
    chosen = await world.do(Failover(world.platform).choose, PromoteRequest(move, fenced))
    assert (chosen.candidate, chosen.position) == (SECOND, "30")
    world.pod(SECOND)["metadata"]["labels"][LABEL_ROLE] = "primary"
    await world.do(Promote(world.platform).promote, PromoteRequest(move, fenced, chosen))
    assert world.agents.called("lead") == [SECOND]
    assert world.agents.called("start") == [FIRST], "there is a primary again for it to find"
    assert fencing.successor_of(world.object("App", "books"), LOST) == SECOND


@pytest.mark.parametrize(
    "volume",
    [
        {"last_ready": SEEN - IN_SYNC_WITHIN - 1, "last_seen": SEEN},
        {"last_ready": SEEN - 1, "last_seen": SEEN - 1},  # it ended in sync: who knows what was written after its end
    ],
)
async def test_one_that_may_lack_writes_needs_a_person_or_permission(world: World, volume: dict[str, int]) -> None:
    for node in (FIRST, SECOND):
        world.agents.wait(node, 10, **volume)
    with pytest.raises(ApplicationError, match=rf"in sync .* s before.*--node {LOST} --force --to {FIRST}") as refused:
        await planned(world, seen=SEEN)
    assert refused.value.type == ErrorType.NO_CANDIDATE
    assert not world.agents.called("stop"), "nothing was touched"
    with pytest.raises(ApplicationError, match="nobody can take over"):
        await choose(world)
    assert (await planned(world, seen=SEEN, force=True, candidate=FIRST)).candidate == FIRST
    assert (await choose(world, force=True, candidate=FIRST)).candidate == FIRST


async def test_permission_to_lose_data_is_used_when_the_primary_stays_away(world: World) -> None:
    world.edit(failover={"dataLoss": "Allow"})
    now = int(time.time() * 1000)
    for node, position in ((FIRST, 10), (SECOND, 30)):
        world.agents.wait(node, position, last_ready=now - 3_600_000, last_seen=now - 3_600_000)
    with pytest.raises(ApplicationError, match="nobody can take over"):
        await planned(world, seen=now - 5_000)
    lost_at = now - LOST_FOR
    assert (await planned(world, seen=lost_at)).source == LOST
    assert (await choose(world, seen=lost_at, well=lost_at)).candidate == SECOND


async def test_by_hand_and_forced_whenever_the_old_one_was_lost(world: World) -> None:
    move = await planned(world, force=True, candidate=SECOND)
    assert (move.source, move.well) == (LOST, 0)
    fenced = await world.do(Failover(world.platform).fence, FenceRequest(move))
    chosen = await world.do(Failover(world.platform).choose, PromoteRequest(move, fenced))
    assert chosen.candidate == SECOND
    with pytest.raises(ApplicationError, match="nobody knows when the primary was lost"):
        await planned(world)


async def test_one_that_never_had_the_data_leads_in_no_case(world: World) -> None:
    never: dict[str, dict[str, Any]] = {
        "no record": {"present": False},
        "another App's": {"app_uid": "of-an-earlier-app"},
        "never in sync": {"last_ready": 0},
        "set aside": {"position": ""},
        "replaced itself": {"role": "primary"},
    }
    for what, volume in never.items():
        for node in (FIRST, SECOND):
            world.agents.wait(node, 10, last_ready=SEEN, last_seen=SEEN)
            for name, value in volume.items():
                setattr(world.agents.waiting[node].volume, name, value)
        with pytest.raises(ApplicationError, match="nobody can take over"):
            await planned(world, seen=SEEN, force=True, candidate=FIRST)
        with pytest.raises(ApplicationError, match=f"{FIRST} cannot take over from"):
            await choose(world, force=True, candidate=FIRST)
        assert world.agents.called("lead") == [], what


async def test_an_agent_or_plugin_that_cannot_is_not_asked(world: World) -> None:
    for node in (FIRST, SECOND):
        world.agents.waiting[node].may_lead = False
    with pytest.raises(ApplicationError, match="of a version that cannot begin as one"):
        await planned(world, seen=SEEN, force=True)


async def test_one_that_runs_goes_before_one_that_may_remember_another_history(world: World) -> None:
    world.edit(failover={"dataLoss": "Allow"})
    del world.agents.waiting[FIRST]
    world.agents.say(FIRST, "replica", 10)
    world.agents.answers[FIRST, "detach"] = {"position": "10"}
    world.agents.wait(SECOND, 5000, last_ready=SEEN - 86_400_000, last_seen=SEEN - 86_400_000)
    assert (await choose(world)).candidate == FIRST
    world.agents.wait(SECOND, 5000, last_ready=SEEN, last_seen=SEEN)
    assert (await choose(world)).candidate == SECOND, "it followed the lost one to the end, and came further"


async def test_one_that_finds_the_old_one_lets_its_lease_run_out_again(world: World) -> None:
    """It is told to lead, and reaches a primary that nobody else reaches: it follows, and so renews its lease."""
    world.agents.leads[SECOND] = "replica"
    world.agents.tools["detach"] = {"position": "31"}
    world.pod(SECOND)["metadata"]["labels"][LABEL_ROLE] = "primary"
    by_lease = Fenced("its lease has run out", by_lease=True)
    loop = asyncio.get_running_loop()
    began = loop.time()
    request = PromoteRequest(takeover(world), by_lease, Chosen(SECOND, "30"))
    await world.do(Promote(world.platform).promote, request)
    order = [name for node, name, _ in world.agents.calls if node == SECOND]
    assert order.index("lead") < order.index("detach") < order.index("failover")
    assert loop.time() - began >= fencing.LEASE_OUT_AFTER


async def test_one_that_was_chosen_and_has_ended_since_may_lead_too(world: World) -> None:
    """The old one's machine does not come back, so giving the role back to it would wait for ever."""
    world.pod(FIRST)["metadata"]["labels"][LABEL_ROLE] = "primary"
    request = PromoteRequest(takeover(world), Fenced("stopped"), Chosen(FIRST, "10"))
    await world.do(Promote(world.platform).promote, request)
    assert world.agents.called("lead") == [FIRST]


async def test_who_was_stopped_for_nothing_waits_on(world: World) -> None:
    larger = await World(PLATFORM, runtimeVersion="1", components=store(replicas=5)).deployed()
    larger.agents.wait(SECOND, 30, last_ready=SEEN, last_seen=SEEN)
    for node in (LOST, FIRST, *(f"books-store-g-{n}" for n in (3, 4))):
        larger.cluster.remove(larger.pod(node))
    with pytest.raises(ApplicationError, match="only 1 of 2 replicas have stopped following"):
        await larger.do(Failover(larger.platform).fence, FenceRequest(takeover(larger, seen=SEEN)))
    assert larger.agents.called("start") == [SECOND]


volumes = st.builds(
    agent_pb2.VolumeRecord,
    present=st.booleans(),
    app_uid=st.sampled_from([UID, "another"]),
    role=st.sampled_from(["", "replica", "primary"]),
    position=st.integers(0, 1000).map(lambda number: str(number or "")),
    last_ready=st.integers(0, 200_000),
    last_seen=st.integers(0, 200_000),
)


NOW = 300_000


@pytest.mark.parametrize(
    ("skew", "taken"), [(0, True), (4_000, True), (-4_000, True), (60_000, False), (-60_000, False)]
)
def test_a_volume_is_not_believed_where_its_machines_clock_is_wrong(skew: int, taken: bool) -> None:
    """One that is ahead says of a replica which lost its primary long ago that it was in sync to the end."""
    move = Takeover(Target("library", "books", UID, "", "Failover", ""), "store", LOST, well=200_000)
    record = agent_pb2.VolumeRecord(
        present=True, app_uid=UID, role="replica", position="10", last_ready=205_000, last_seen=205_000
    )
    status = agent_pb2.ProcessStatus(state=agent_pb2.BACKOFF, volume=record, may_lead=True, now=NOW + skew)
    waits = judged({NODES[1]: status}, move, {"primary"}, (), NOW)
    assert able_to_lead(waits, lossy=False) == ([NODES[1]] if taken else [])
    assert taken or "the clock of its machine is 60 s" in waits[NODES[1]].behind
    assert able_to_lead(waits, lossy=True) == [NODES[1]]


@given(st.dictionaries(st.sampled_from(NODES[1:]), volumes), st.integers(0, 200_000), st.booleans())
def test_whoever_leads_had_the_data_and_unless_allowed_all_of_them(
    known: dict[str, agent_pb2.VolumeRecord], well: int, lossy: bool
) -> None:
    move = Takeover(Target("library", "books", UID, "", "Failover", ""), "store", LOST, well=well)
    statuses = {
        name: agent_pb2.ProcessStatus(state=agent_pb2.BACKOFF, volume=volume, may_lead=True)
        for name, volume in known.items()
    }
    waits = judged(statuses, move, {"primary"}, (), NOW)
    for name in able_to_lead(waits, lossy=lossy):
        volume = known[name]
        assert volume.present and volume.app_uid == UID and volume.position and volume.last_ready  # noqa: PT018
        assert lossy or (well and volume.last_ready >= well - IN_SYNC_WITHIN)
    try:
        chosen = best_of(move, {}, waits, [], lossy=lossy)
    except ApplicationError:
        assert not able_to_lead(waits, lossy=lossy)
    else:
        lacking_nothing = able_to_lead(waits, lossy=False)
        assert not lacking_nothing or chosen.candidate in lacking_nothing
        able = able_to_lead(waits, lossy=lossy)
        latest = max(known[n].last_ready for n in able)
        lately = [n for n in able if known[n].last_ready >= latest - IN_SYNC_WITHIN]
        assert int(chosen.position) == max(int(known[n].position) for n in lacking_nothing or lately)
