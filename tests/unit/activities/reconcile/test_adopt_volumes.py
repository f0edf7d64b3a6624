"""Volumes that an earlier App of the name left: which nodes are held, and whose data is believed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.app.retained_volumes import of_this_app
from activities.reconcile.adopt_volumes import AdoptVolumes, newest
from activities.reconcile.apply_group import ApplyGroup
from activities.reconcile.delete import Delete
from activities.reconcile.prepare import Prepare
from api.names import ANNOTATION_RUNTIME_VERSION, FINALIZER, LABEL_NODE, UNDECIDED
from api.operations import OperationType
from api.steps import ComponentStep, ErrorType, GroupStep
from proto.agent_pb2 import ReloadConfigResult, VolumeRecord
from tests.unit.activities.support.cluster import NAME, World
from tests.unit.render.support import manifest, store

STORED = store(replicas=2, storage={"size": "1Gi"})
WRITABLE = {"primary"}
CLAIMS = ["books-store-g-0", "books-store-g-1"]


def claim(uid: str | None) -> dict[str, Any]:
    return {"metadata": {"annotations": {"middleware.io/app-uid": uid} if uid else {}}}


def test_a_claim_belongs_to_the_app_whose_uid_it_carries() -> None:
    assert of_this_app(claim("u"), "u")
    assert not of_this_app(claim("earlier"), "u")
    assert not of_this_app(claim(UNDECIDED), "u")
    assert not of_this_app(claim(None), "u")


def test_who_was_writable_last_wins_over_who_was_seen_last() -> None:
    records = {
        "a": VolumeRecord(present=True, role="primary", last_writable=10, last_seen=10, position="1"),
        "b": VolumeRecord(present=True, role="replica", last_writable=0, last_seen=99, position="9"),
    }
    assert newest(records, WRITABLE) == "a"


def test_who_was_writable_and_has_become_a_replica_is_one_of_them() -> None:
    """It was replaced, and its data set aside; its successor's record is lost, or says no more than it had saved."""
    records = {
        "a": VolumeRecord(present=True, role="replica", last_writable=10),
        "b": VolumeRecord(present=True, role="replica", last_seen=99, position="9"),
    }
    assert newest(records, WRITABLE) == "b"


def test_without_a_writable_one_the_last_seen_then_the_position_decides() -> None:
    records = {
        "a": VolumeRecord(present=True, last_seen=5, position="1"),
        "b": VolumeRecord(present=True, last_seen=5, position="2"),
        "c": VolumeRecord(present=True, last_seen=4, position="9"),
    }
    assert newest(records, WRITABLE) == "b"


def test_of_two_that_have_diverged_none_begins_unless_a_person_names_it() -> None:
    records = {
        "a": VolumeRecord(present=True, last_seen=5, position="p:1-9"),
        "b": VolumeRecord(present=True, last_seen=5, position="p:1-8,q:1"),
        "c": VolumeRecord(present=True, last_seen=4, position="p:1-20"),
    }
    with pytest.raises(
        ApplicationError, match=r"volumes of a \(at p:1-9\) and b \(at p:1-8,q:1\) have diverged"
    ) as error:
        newest(records, WRITABLE)
    assert (error.value.type, error.value.non_retryable) == (ErrorType.DIVERGED, True)


def test_an_empty_volume_is_never_chosen() -> None:
    assert newest({"a": VolumeRecord(), "b": VolumeRecord(present=True)}, WRITABLE) == "b"
    assert newest({"a": VolumeRecord()}, WRITABLE) == ""


async def kept_from(version: str) -> World:
    """An App of that version has run, and was deleted; its volumes stay."""
    return await deleted(await World(runtimeVersion=version, components=STORED).deployed())


async def deleted(world: World) -> World:
    for name in CLAIMS:
        bound = world.object("PersistentVolumeClaim", name)
        world.cluster.put({**bound, "status": {"phase": "Bound"}})
    app = world.object("App", NAME)
    world.cluster.put(
        {**app, "metadata": {**app["metadata"], "finalizers": [FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    )
    target = world.target("Delete")
    await world.do(Delete(world.platform).plan_deletion, target)
    await world.do(Delete(world.platform).delete_component, ComponentStep(target, "store"))
    await world.do(Delete(world.platform).delete_leftovers, target)
    return world


def noted(world: World) -> list[str]:
    """Which version's data each kept claim says it holds."""
    claims = [world.object("PersistentVolumeClaim", name) for name in CLAIMS]
    return [each["metadata"]["annotations"].get(ANNOTATION_RUNTIME_VERSION, "") for each in claims]


def applied_again(world: World, version: str) -> None:
    again = manifest(runtimeVersion=version, components=STORED)
    world.cluster.put({**again, "metadata": {**again["metadata"], "uid": "uid-of-the-next"}, "status": {}})


async def test_kept_volumes_are_not_given_to_an_engine_that_may_not_read_them() -> None:
    world = await kept_from("2")
    applied_again(world, "1")
    snapshot = await world.load()
    assert snapshot.refusal_reason == "InvalidSpec"
    assert snapshot.refusal.startswith("spec.runtimeVersion: cannot go back from 2 to 1: ")
    assert snapshot.refusal.endswith(f"keep 2, or delete the kept volume claims {', '.join(CLAIMS)} with their data")
    for version in ("2", "3"):
        applied_again(world, version)
        assert (await world.load()).refusal == ""


async def test_whose_record_was_lost_before_the_deletion_too() -> None:
    """Deleting the App and applying it again is what a lost record is answered with."""
    world = await World(runtimeVersion="2", components=STORED).deployed()
    world.lose_status()
    await deleted(world)
    assert noted(world) == ["2", "2"]
    applied_again(world, "1")
    assert "cannot go back from 2 to 1" in (await world.load()).refusal


async def test_whose_deployments_are_gone_as_well() -> None:
    world = await World(runtimeVersion="2", components=STORED).deployed()
    world.lose_status()
    world.lose("Deployment")
    assert noted(await deleted(world)) == ["2", "2"]


async def test_whose_groups_are_gone_too_and_only_revisions_are_left() -> None:
    world = await World(runtimeVersion="2", components=STORED).deployed()
    world.lose_status()
    world.lose("Deployment")
    world.lose("Group")
    assert noted(await deleted(world)) == ["2", "2"]


async def test_each_volume_is_known_by_its_own_node_in_mid_upgrade() -> None:
    world = await World(runtimeVersion="1", components=STORED).deployed()
    world.edit(runtimeVersion="2")
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))
    await world.give(CLAIMS[1])
    assert noted(await deleted(world)) == ["1", "2"]


async def test_a_node_that_may_have_started_with_the_higher_version_counts_as_started() -> None:
    world = await World(runtimeVersion="1", components=STORED).deployed()
    world.note(CLAIMS[1], version="2", unverified=True)
    assert noted(await deleted(world)) == ["1", "2"]


async def test_what_is_noted_on_a_volume_is_never_lowered() -> None:
    world = await World(runtimeVersion="1", components=STORED).deployed()
    claim = world.object("PersistentVolumeClaim", CLAIMS[0])
    claim["metadata"]["annotations"][ANNOTATION_RUNTIME_VERSION] = "3"
    world.cluster.put(claim)
    assert noted(await deleted(world)) == ["3", "1"]


async def kept_without_a_note() -> World:
    """Volumes that version 2 has had, which their claims do not say; an App that asks for version 1."""
    world = await kept_from("2")
    for name in CLAIMS:
        claim = world.object("PersistentVolumeClaim", name)
        claim["metadata"]["annotations"].pop(ANNOTATION_RUNTIME_VERSION)
        world.cluster.put(claim)
    applied_again(world, "1")
    return world


async def test_of_volumes_that_say_nothing_nothing_is_refused() -> None:
    world = await kept_without_a_note()
    assert (await world.load()).refusal == ""


async def test_a_volume_from_a_snapshot_says_itself_which_version_has_had_it() -> None:
    """Its claim was made by hand, so nothing is noted on it, and nothing is known of its App either."""
    world = await kept_without_a_note()
    assert (await world.load()).refusal == "", "nobody can know before an agent has looked"
    target = replace(world.target("Deploy"), uid="uid-of-the-next")
    for step in (Prepare(world.platform).prepare, Prepare(world.platform).services):
        await world.do(step, target)
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(target, "store", "g"))
    world.agents.volumes[CLAIMS[1]] = "2"
    with pytest.raises(ApplicationError, match=r"spec.runtimeVersion: cannot go back from 2 to 1: ") as error:
        await world.do(AdoptVolumes(world.platform).survey_volumes, ComponentStep(target, "store"))
    assert (error.value.type, error.value.non_retryable) == (ErrorType.UNREADABLE_VOLUME, True)
    assert noted(world) == ["", "2"]
    assert world.agents.called("start") == []
    snapshot = await world.load()
    assert f"keep 2, or delete the kept volume claims {CLAIMS[1]} with their data" in snapshot.refusal
    applied_again(world, "2")
    assert (await world.load()).refusal == ""


async def test_a_refusal_that_the_agent_remembers_is_not_the_answer_to_the_next_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await kept_from("2")
    applied_again(world, "2")
    target = replace(world.target("Deploy"), uid="uid-of-the-next")
    for step in (Prepare(world.platform).prepare, Prepare(world.platform).services):
        await world.do(step, target)
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(target, "store", "g"))
    remembered: dict[str, ReloadConfigResult] = {}
    pushed = world.agents.reload_config

    async def remembering(agent: Any, request: Any, **more: Any) -> ReloadConfigResult:
        return remembered.setdefault(request.request_id, await pushed(agent, request, **more))

    monkeypatch.setattr(world.agents, "reload_config", remembering)
    world.agents.refuses = dict.fromkeys(CLAIMS, "no space left on device")
    attempt, start = ActivityEnvironment(), ComponentStep(target, "store", CLAIMS[0])
    with pytest.raises(ApplicationError, match="no space left"):
        await attempt.run(AdoptVolumes(world.platform).start_held, start)
    world.agents.refuses.clear()
    attempt.info = replace(attempt.info, attempt=2)
    await attempt.run(AdoptVolumes(world.platform).start_held, start)
    assert world.agents.called("start") == CLAIMS


async def begun(*ready: str) -> World:
    """A first Deploy of version 2 that has not completed; those nodes' Pods are ready."""
    world = World(runtimeVersion="2", components=STORED)
    target = world.target("Deploy")
    for step in (Prepare(world.platform).prepare, Prepare(world.platform).services):
        await world.do(step, target)
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(target, "store", "g"))
    for pod in [world.object("Pod", name) for name in world.names("Pod")]:
        if pod["metadata"]["labels"][LABEL_NODE] not in ready:
            pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
            world.cluster.put(pod)
    return world


async def test_the_version_of_a_first_deploy_does_not_go_back_below_a_node_that_has_served() -> None:
    world = await begun(CLAIMS[1])
    world.edit(runtimeVersion="1")
    assert (await world.load()).refusal.endswith(
        f"keep 2, since {CLAIMS[1]} ran it and may hold data; or delete the App"
    )
    world.edit(runtimeVersion="3")
    assert (await world.load()).refusal == ""


async def test_a_version_that_never_got_ready_is_corrected() -> None:
    world = await begun()
    world.edit(runtimeVersion="1")
    assert (await world.load()).refusal == ""
