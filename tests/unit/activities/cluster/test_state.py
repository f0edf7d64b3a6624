"""What is recorded lies in several objects: nobody's change is lost, and a crash between two writes does no harm."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.app.observed import observe, update_state
from activities.cluster.state import update_deployed, update_members
from activities.reconcile.delete import Delete
from activities.reconcile.finish import Record
from activities.reconcile.prepare import Prepare
from activities.rollout.expand_and_roll_back import Upgrade
from api.operations import OperationType
from clients.errors import KubernetesError, UnavailableError
from clients.resources import CONTROLLER_REVISION
from render.desired.state_edits import deleting, made_writable, settled
from tests.unit.activities.support.agents import UID
from tests.unit.activities.support.cluster import NAME, NAMESPACE, World
from tests.unit.render.support import store

GROUP, NODE = "books-store-g", "books-store-g-0"


@pytest.fixture
async def world() -> World:
    return await World(runtimeVersion="1", components=store(replicas=2)).deployed()


def revisions(world: World, owner: str = GROUP) -> list[str]:
    return [name for name in world.names(CONTROLLER_REVISION.kind) if name.rpartition("-")[0] == owner]


def between(world: World, kind: str, name: str, **status: Any) -> None:
    """Just before the next patch somebody else writes another field of the status."""

    def fail(verb: str, of: str) -> None:
        if verb == "patch" and of == name:
            world.cluster.fail = lambda *_: None
            live = world.object(kind, name)
            world.cluster.put({**live, "status": {**live["status"], **status}})

    world.cluster.fail = fail


async def test_the_watchers_fields_and_the_activities_fields_do_not_take_each_other_away(world: World) -> None:
    between(world, "Group", GROUP, ready=7)
    await update_members(world.platform, NAMESPACE, GROUP, lambda members: deleting(members, {NODE}))
    assert (world.object("Group", GROUP)["status"]["ready"], world.nodes("deleting")) == (7, [NODE])
    between(world, "App", NAME, ready="7/7")
    target = world.target(OperationType.UPGRADE)
    await update_deployed(world.platform, target, lambda before: made_writable(before, "2"))
    assert (world.object("App", NAME)["status"]["ready"], world.recorded.writable_version) == ("7/7", "2")
    await world.carry_out(OperationType.REPAIR)
    assert world.object("Group", GROUP)["status"]["ready"] == 7


async def test_what_has_landed_is_not_written_again(world: World) -> None:
    world.cluster.calls.clear()
    for _ in range(2):
        await update_members(world.platform, NAMESPACE, GROUP, lambda members: deleting(members, {NODE}))
    assert [verb for verb, name, _ in world.cluster.calls if name == GROUP] == ["get", "patch", "get"]


async def test_a_change_by_another_step_is_not_overwritten_with_what_was_computed_before(world: World) -> None:
    seen = await observe(world.platform, NAMESPACE, NAME, UID)
    await update_members(world.platform, NAMESPACE, GROUP, lambda members: deleting(members, {NODE}))
    await update_state(world.platform, world.target(OperationType.UPGRADE), settled, seen)
    assert world.nodes("deleting") == [NODE]


async def test_an_app_that_was_made_anew_gets_nothing_of_the_former_ones(world: World) -> None:
    target = world.target(OperationType.UPGRADE)
    live = world.object("App", NAME)
    world.cluster.put({**live, "metadata": {**live["metadata"], "uid": "another"}})
    with pytest.raises(ApplicationError, match="is gone"):
        await update_deployed(world.platform, target, lambda before: made_writable(before, "9"))


async def test_a_group_has_the_revisions_that_count_and_no_others(world: World) -> None:
    (first,) = revisions(world)
    world.edit(runtimeVersion="2")
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))
    status = world.object("Group", GROUP)["status"]
    assert {status["currentRevision"], status["updateRevision"]} == set(revisions(world))
    assert (status["currentRevision"], len(revisions(world))) == (first, 2)
    await world.do(Upgrade(world.platform).roll_back, world.target(OperationType.UPGRADE))
    assert revisions(world) == [first]


async def test_a_revision_that_another_version_of_the_platform_has_named_stays(world: World) -> None:
    (name,) = revisions(world)
    live = world.object(CONTROLLER_REVISION.kind, name)
    world.cluster.put({**live, "metadata": {**live["metadata"], "name": f"{GROUP}-0123456789"}})
    world.lose(CONTROLLER_REVISION.kind, name)
    group = world.object("Group", GROUP)
    names = {"currentRevision": f"{GROUP}-0123456789", "updateRevision": f"{GROUP}-0123456789"}
    world.cluster.put({**group, "status": {**group["status"], **names}})
    await world.carry_out(OperationType.REPAIR)
    assert revisions(world) == [f"{GROUP}-0123456789"]
    assert (await world.load()).drift == []


async def test_a_revision_belongs_to_its_group_and_to_the_app(world: World) -> None:
    (name,) = revisions(world)
    owners = world.object(CONTROLLER_REVISION.kind, name)["metadata"]["ownerReferences"]
    assert [(each["kind"], each["controller"]) for each in owners] == [("App", False), ("Group", True)]


async def test_a_revision_of_somebody_else_is_not_taken_for_ours(world: World) -> None:
    world.edit(runtimeVersion="2")
    target = world.target(OperationType.UPGRADE)
    await world.do(Prepare(world.platform).prepare, target)
    name = world.object("Group", GROUP)["status"]["updateRevision"]
    await world.do(Upgrade(world.platform).roll_back, target)
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {}}
    world.cluster.put({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": {}})
    with pytest.raises(ApplicationError, match=f"{name} is there already and is not of this App"):
        await world.do(Prepare(world.platform).prepare, target)


async def test_an_app_that_is_deleted_takes_its_revisions_with_it(world: World) -> None:
    live = world.object("App", NAME)
    world.cluster.put({**live, "metadata": {**live["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    await world.do(Delete(world.platform).delete_leftovers, world.target(OperationType.DELETE))
    assert world.names(CONTROLLER_REVISION.kind) == []


# A worker that dies between two writes

WRITES = ("apply", "patch", "create", "delete")


class Crash:
    """The call at which the worker dies: nothing of it, nor of what comes after, arrives."""

    def __init__(self, world: World, at: int) -> None:
        self.world, self.left, self.happened = world, at, False

    def __call__(self, verb: str, _name: str) -> KubernetesError | None:
        if verb not in WRITES:
            return None
        self.left -= 1
        self.happened = self.happened or self.left < 0
        return UnavailableError("calling", 503, "ServiceUnavailable", "the worker died") if self.left < 0 else None


async def upgrade(world: World) -> None:
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))


async def abort(world: World) -> None:
    await world.do(Upgrade(world.platform).roll_back, world.target(OperationType.UPGRADE))
    await world.do(Record(world.platform).finish, world.target(OperationType.UPGRADE, stage=OperationType.REPAIR))


async def first_deploy(world: World) -> None:
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.DEPLOY))


async def finish(world: World) -> None:
    await world.do(Record(world.platform).finish, world.target(OperationType.UPGRADE))


async def upgrading() -> World:
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    world.edit(runtimeVersion="2")
    return world


async def begun() -> World:
    world = await upgrading()
    await upgrade(world)
    return world


async def rolled() -> World:
    world = await begun()
    for node in world.nodes():
        await world.give(node)
    return world


async def new() -> World:
    return World(runtimeVersion="1", components=store(replicas=2))


@pytest.mark.parametrize(
    ("beginning", "step"), [(new, first_deploy), (upgrading, upgrade), (begun, abort), (rolled, finish)]
)
async def test_a_crash_at_any_write_is_made_good_by_the_repeat(beginning: Any, step: Any) -> None:
    whole = await beginning()
    for _ in range(2):
        await step(whole)
    world, at, crashed = await beginning(), 0, True
    before = copy.deepcopy(world.cluster.objects)
    while crashed:
        world.cluster.objects = copy.deepcopy(before)
        crash = Crash(world, at)
        world.cluster.fail = crash
        if crash.left >= 0:
            with suppress(KubernetesError):
                await step(world)
        world.cluster.fail = lambda *_: None
        snapshot = await world.load()
        assert snapshot.refusal == "", f"after {at} writes: a look finds nothing lost"
        for _ in range(2):
            await step(world)
        assert world.state.groups == whole.state.groups, f"after {at} writes"
        assert world.state.components == whole.state.components
        assert revisions(world) == revisions(whole)
        assert {**world.recorded.model_dump(), "updated": "", "created": ""} == {
            **whole.recorded.model_dump(),
            "updated": "",
            "created": "",
        }
        at, crashed = at + 1, crash.happened
    assert at > 2
