"""A first Deploy that waits: what of it is missing, who may begin as primary, and how a lost one is replaced."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.app.bootstrap import over
from activities.app.desired import stage
from activities.app.observed import observe
from activities.reconcile.apply_group import ApplyGroup
from activities.reconcile.prepare import Prepare
from api.node import DOCUMENT_KEY
from api.operations import OperationType
from api.steps import Applied, GroupStep, Replacement
from tests.unit.activities.support.agents import UID
from tests.unit.activities.support.cluster import NAME, NAMESPACE, World
from tests.unit.activities.support.failing import NODES, PLATFORM, SEEN, planned
from tests.unit.render.support import store

STORED = store(replicas=3, storage={"size": "1Gi"})


async def begin(world: World, *components: str) -> None:
    """As far as that it waits for the nodes of ``components``, which are all that it has made."""
    target = world.target(OperationType.DEPLOY)
    plan = await world.do(Prepare(world.platform).prepare, target)
    await world.do(Prepare(world.platform).services, target)
    for component in plan.components:
        for group in component.groups if component.name in components else ():
            await world.do(ApplyGroup(world.platform).apply_group, GroupStep(target, component.name, group.name))


@pytest.fixture
async def world() -> World:
    """Node 0 was the primary and does not answer; the others are replicas in sync."""
    found = World(PLATFORM, runtimeVersion="1", components=STORED)
    await begin(found, "store")
    found.note_roles("store", holders=[{"role": "primary", "node": NODES[0]}])
    for node in NODES[1:]:
        found.agents.say(node, "replica", 10)
    return found


def files(world: World) -> list[str]:
    """Those with what the engine is given, of each node."""
    found = [world.object("ConfigMap", node)["data"] for node in NODES]
    return [text for data in found for name, text in data.items() if name != DOCUMENT_KEY and "first " in text]


def first_primaries(world: World) -> set[str]:
    """Whom the nodes' files name as the one who may begin."""
    return set(re.findall(r"first ([a-z0-9-]+)", "".join(files(world))))


def held(world: World) -> set[str]:
    documents = {node: json.loads(world.object("ConfigMap", node)["data"][DOCUMENT_KEY]) for node in NODES}
    return {node for node, document in documents.items() if document.get("hold")}


async def test_what_it_has_not_made_yet_is_not_missing(world: World) -> None:
    assert (await world.load()).drift == []
    assert not [name for name in world.names("Deployment") if "watch" in name]


@pytest.mark.parametrize("kind", ["Deployment", "Service", "ConfigMap", "PersistentVolumeClaim"])
async def test_what_was_deleted_is_missing_and_begun_again_it_puts_it_back(world: World, kind: str) -> None:
    world.cluster.remove(world.object(kind, NODES[1]))
    assert (await world.load()).drift == [f"{kind} {NODES[1]} is missing"]
    assert (await world.load(drift=False)).drift == []
    await begin(world, "store")
    assert (await world.load()).drift == []


async def test_what_was_edited_is_told_too(world: World) -> None:
    service = world.object("Service", NODES[1])
    world.cluster.put({**service, "spec": {**service["spec"], "selector": {"app": "other"}}})
    (told,) = (await world.load()).drift
    assert told.startswith(f"Service {NODES[1]} was changed: spec.selector")


async def test_a_claim_that_is_going_is_in_use_and_not_waited_for(world: World) -> None:
    claim = world.object("PersistentVolumeClaim", NODES[1])
    world.cluster.put({**claim, "metadata": {**claim["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert (await world.load()).drift == []


async def test_a_lost_primary_is_to_be_replaced_and_nobody_begins_empty_any_more(world: World) -> None:
    assert first_primaries(world) == {NODES[0]}
    assert (await planned(world, seen=SEEN)).source == NODES[0]
    assert first_primaries(world) == {"-"}
    await begin(world, "store")
    assert first_primaries(world) == {"-"}


@pytest.mark.parametrize(
    "spec",
    [
        {"components": store(replicas=5, storage={"size": "1Gi"})},
        {"components": [{"name": "store", "groups": [{"name": "other", "replicas": 2}]}]},
        {"topology": "none-such"},
        {"runtimeVersion": "99"},
        {"plugin": {"name": "shelf", "version": "9.9.9"}},
    ],
)
async def test_what_the_spec_says_by_now_holds_no_failover_up(world: World, spec: dict[str, Any]) -> None:
    """It goes by what the Deploy has begun to make."""
    before = files(world)
    world.edit(**spec)
    assert (await planned(world, seen=SEEN)).source == NODES[0]
    assert files(world) == [text.replace(f"first {NODES[0]}", "first -") for text in before]


async def test_by_force_nobody_becomes_primary_of_what_never_had_one(world: World) -> None:
    """No node could begin afterwards."""
    world.note_roles("store")
    with pytest.raises(ApplicationError, match="has had no primary yet"):
        await planned(world, NODES[1], candidate=NODES[1], force=True)
    assert first_primaries(world) == {NODES[0]}


async def test_before_it_has_made_anything_there_is_nothing_to_replace() -> None:
    with pytest.raises(ApplicationError, match="has made no node"):
        await planned(World(PLATFORM, runtimeVersion="1", components=STORED), seen=SEEN)


async def test_who_is_held_over_a_kept_volume_stays_so(world: World) -> None:
    claim = world.object("PersistentVolumeClaim", NODES[2])
    claim["metadata"]["annotations"]["middleware.io/app-uid"] = "an earlier one"
    world.cluster.put(claim)
    await begin(world, "store")
    assert held(world) == {NODES[2]}
    await planned(world, seen=SEEN)
    assert held(world) == {NODES[2]}


async def test_another_component_may_still_begin(world: World) -> None:
    await planned(world, seen=SEEN)
    live = await observe(world.platform, NAMESPACE, NAME, UID)
    want = await stage(world.platform, world.app, live, OperationType.DEPLOY)
    assert [over(live, component) for component in want.components] == [c.name == "store" for c in want.components]


async def test_what_is_recorded_of_it_is_not_taken_for_that_of_an_app_that_has_run(world: World) -> None:
    await planned(world, seen=SEEN)
    live = await observe(world.platform, NAMESPACE, NAME, UID)
    assert (live.deployed, live.lost) == (None, [])


async def test_completed_it_is_deployed_as_any_other(world: World) -> None:
    await planned(world, seen=SEEN)
    await world.deployed()
    assert world.recorded.begun == []


@pytest.mark.parametrize("part", ["holders", "roles"])
@pytest.mark.parametrize(
    ("node", "gone"),
    [
        (NODES[0], ["Deployment", "PersistentVolumeClaim"]),
        (NODES[0], ["Deployment", "PersistentVolumeClaim", "ConfigMap"]),
        (NODES[1], ["Deployment", "PersistentVolumeClaim"]),
    ],
)
async def test_after_the_loss_of_a_volume_nobody_begins_empty(
    world: World, part: str, node: str, gone: list[str]
) -> None:
    """The others would follow it; in topologies without ``holders`` as well, and also when the claim is there again."""
    if part == "roles":
        world.note_roles("store", roles=[{"node": NODES[1], "role": "replica", "epoch": 1}])
    for kind in gone:
        world.cluster.remove(world.object(kind, node))
    for _ in range(2):
        await begin(world, "store")
        assert first_primaries(world) == {"-"}


@pytest.mark.parametrize("lost", [NODES[:1], NODES])
async def test_where_nobody_has_served_or_no_volume_is_left_the_first_begins(world: World, lost: list[str]) -> None:
    if lost != NODES:
        world.note_roles("store")
    for node in lost:
        for kind in ("Deployment", "PersistentVolumeClaim"):
            world.cluster.remove(world.object(kind, node))
    await begin(world, "store")
    assert first_primaries(world) == {NODES[0]}


@pytest.mark.parametrize("known", ["holders", "roles", "successor"])
async def test_the_primarys_node_may_not_be_taken_away(world: World, known: str) -> None:
    world.note_roles("store")
    if known == "successor":
        app = world.object("App", NAME)
        fence = {"node": NODES[0], "component": "store", "since": "2026-01-01T00:00:00Z", "successor": NODES[2]}
        world.cluster.put({**app, "status": {**app["status"], "fenced": [fence]}})
    else:
        entry = {"role": "primary", "node": NODES[2]}
        world.note_roles("store", **{known: [entry | ({"epoch": 1} if known == "roles" else {})]})
    world.edit(components=store(replicas=2, storage={"size": "1Gi"}))
    assert f"{NODES[2]} is ready and may hold data" in (await world.load()).refusal


# An edit in mid-deploy


def made_of(world: World) -> list[str]:
    """The memory limit of each node's Deployment."""
    found = [world.object("Deployment", node)["spec"]["template"]["spec"]["containers"] for node in NODES]
    return [containers[0]["resources"]["limits"]["memory"] for containers in found]


async def applied(world: World, *nodes: str) -> Applied:
    step = GroupStep(world.target(OperationType.DEPLOY), "store", "g", list(nodes))
    answer: Applied = await world.do(ApplyGroup(world.platform).apply_group, step)
    return answer


async def test_an_edit_in_mid_deploy_does_not_touch_two_nodes_that_serve(world: World) -> None:
    """``memory: 512m`` was half a byte, and both data nodes went down for it."""
    world.roles(store_1="primary")
    world.pod(NODES[0])["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    before = made_of(world)
    world.edit(components=store(replicas=3, storage={"size": "1Gi"}, resources={"limits": {"memory": "512Mi"}}))
    target = world.target(OperationType.DEPLOY)
    await world.do(Prepare(world.platform).prepare, target)
    await world.do(Prepare(world.platform).services, target)
    answer = await applied(world)
    assert made_of(world) == ["512Mi", *before[1:]], "one that does not serve has nothing to lose"
    assert answer.left == [Replacement("g", NODES[2]), Replacement("g", NODES[1], last=True)]
    assert (await world.load()).drift == [], "what waits for its turn is not drift"
    await applied(world, NODES[2])
    assert made_of(world) == ["512Mi", before[1], "512Mi"]
    await applied(world, NODES[1])
    assert made_of(world) == ["512Mi"] * 3
    assert (await applied(world)).left == []
