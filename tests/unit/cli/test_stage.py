"""`mw render` shows what the platform would do next: one part of a changed spec, by the record of what runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from activities.reconcile.prepare import Prepare
from api.app import DeletionPolicy
from api.effective import noted
from api.group import AgentBundle
from api.names import ANNOTATION_EFFECTIVE
from api.operations import OperationType
from cli import rendering
from cli.session import CommandError
from cli.stage import NextStage, said
from clients.kubernetes import Kubernetes
from render.manifests.deployments import POD_HASH, TEMPLATE_HASH
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import DEFINITION, manifest, shelf, store

NEWER = shelf(plugin_yaml=DEFINITION.replace("name: shelf, version: 1.0.0", "name: shelf, version: 1.1.0"))
RUNS: dict[str, Any] = {"runtimeVersion": "1", "components": store(replicas=3)}


@pytest.fixture
async def world() -> World:
    return await World(shelf(), NEWER, **RUNS).deployed()


async def rendered(world: World, **spec: Any) -> tuple[NextStage, dict[str, rendering.Change]]:
    """What comes next for such an App, and which objects it would add, change or remove."""
    kubernetes = cast(Kubernetes, world.cluster)
    before = dict(world.cluster.objects)
    stage, live = await rendering.next_objects(kubernetes, manifest(**{**RUNS, **spec}), AgentBundle(image="agent:2"))
    objects = rendering.wanted_objects(stage, live)
    keeps = stage.desired.deletion_policy == DeletionPolicy.RETAIN
    changes = await rendering.compare(kubernetes, objects, live, keeps_volumes=keeps)
    assert world.cluster.objects == before
    return stage, {f"{each.object_kind} {each.name}": each for each in changes if each.what != "none"}


async def test_where_the_spec_is_carried_out_nothing_would_change(world: World) -> None:
    stage, changes = await rendered(world)
    assert (stage.operation, changes) == ("Repair", {})
    assert said(stage, differs=bool(changes)) == "the spec is carried out: nothing to change"


async def test_an_edit_by_hand_is_what_would_be_put_back(world: World) -> None:
    live = world.object("Group", "books-store-g")
    world.cluster.put({**live, "spec": {**live["spec"], "image": "evil:1"}})
    stage, changes = await rendered(world)
    assert said(stage, differs=bool(changes)).endswith("what is shown was changed by somebody else")
    assert stage.operation == "Repair"
    assert list(changes) == ["Group books-store-g"]
    assert {"-  image: evil:1", "+  image: shelf:1"} <= set(changes["Group books-store-g"].diff)


async def told(world: World, **spec: Any) -> str:
    """As the command says it."""
    kubernetes = cast(Kubernetes, world.cluster)
    stage, live = await rendering.next_objects(kubernetes, manifest(**{**RUNS, **spec}), AgentBundle(image="agent:2"))
    return said(stage, differs=True, drift=await rendering.drift_of(kubernetes, stage, live))


async def test_what_somebody_has_changed_is_put_back_before_the_spec_goes_on_and_it_says_so(world: World) -> None:
    assert (await told(world, runtimeVersion="2")).startswith("Upgrade: ")
    live = world.object("Service", "books-store")
    world.cluster.put({**live, "spec": {**live["spec"], "selector": {}}})
    sentence = await told(world, runtimeVersion="2")
    assert sentence.startswith("Repair: Service books-store was changed; then Upgrade: ")
    loaded = await world.load()
    assert loaded.drift == ["Service books-store was changed: spec.selector"], "as the platform sees it"


async def test_of_a_paused_app_it_says_that_nothing_is_carried_out(world: World) -> None:
    sentence = await told(world, runtimeVersion="2", paused=True)
    assert sentence.startswith("paused: nothing is changed until spec.paused is false; then Upgrade: ")


async def test_an_edited_annotation_of_a_deployment_shows_no_other_pod(world: World) -> None:
    """By the annotation it looked as if the Pod was of another record, and its template as if it were to stay."""
    live = world.object("Deployment", "books-store-g-0")
    notes = {**live["metadata"]["annotations"], POD_HASH: "edited", TEMPLATE_HASH: "edited"}
    grace = {"terminationGracePeriodSeconds": 1}
    template = {**live["spec"]["template"], "spec": {**live["spec"]["template"]["spec"], **grace}}
    changed = {**live, "metadata": {**live["metadata"], "annotations": notes}}
    world.cluster.put({**changed, "spec": {**live["spec"], "template": template}})
    stage, changes = await rendered(world)
    assert stage.operation == "Repair"
    assert "-      terminationGracePeriodSeconds: 1" in changes["Deployment books-store-g-0"].diff


async def test_of_several_changes_the_next_part_and_what_comes_after(world: World) -> None:
    config = [{**store(replicas=3)[0], "config": {"threads": 9}}]
    stage, changes = await rendered(world, runtimeVersion="2", components=config)
    assert str(stage) == "Upgrade: 1 → 2; then Reconfigure (store: threads)"
    said = [line for change in changes.values() for line in change.diff if line[:1] in "+-"]
    assert any("shelf:2" in line for line in said)
    assert any("agent:2" in line for line in said), "a planned restart brings the newest agents"
    assert not any("threads" in line for line in said)


async def test_another_plugin_version_touches_no_pod(world: World) -> None:
    stage, changes = await rendered(world, plugin={"name": "shelf", "version": "1.1.0"}, runtimeVersion="2")
    assert str(stage) == "UpgradePlugin: plugin 1.0.0 → 1.1.0; then Upgrade (1 → 2)"
    assert not [name for name in changes if name.startswith(("Deployment", "Group"))]


@pytest.mark.parametrize(
    ("operation", "spec"),
    [
        (OperationType.UPGRADE, {"runtimeVersion": "2"}),
        (OperationType.RESIZE, {"components": store(replicas=3, resources={"limits": {"memory": "1Gi"}})}),
    ],
)
async def test_what_was_interrupted_goes_on_as_what_the_platform_says(
    world: World, operation: OperationType, spec: dict[str, Any]
) -> None:
    world.edit(**spec)
    await world.do(Prepare(world.platform).prepare, world.target(operation))
    stage, changes = await rendered(world, **spec)
    planned = await world.load()
    assert (stage.operation, stage.sentence) == (operation, planned.change)
    assert planned.operation == operation
    assert "Deployment books-store-g-0" in changes


# What an interrupted operation has left


async def rolled_and_not_seen_to_serve(world: World) -> None:
    world.note("books-store-g-1", unverified=True)


async def volumes_that_have_not_grown(world: World) -> None:
    world.claim("books-store-g-1", "512Mi")


async def volumes_that_nobody_has_asked_for(world: World) -> None:
    world.claim("books-store-g-1", "512Mi", request="512Mi")
    grows = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "grows"}}
    world.cluster.put({**grows, "allowVolumeExpansion": True})


async def engines_that_were_not_restarted(world: World) -> None:
    live = world.object("ConfigMap", "books-store-g-1")
    note = noted(live)
    assert note is not None
    annotations = {**live["metadata"]["annotations"], ANNOTATION_EFFECTIVE: replace(note, restart="").annotation()}
    world.cluster.put({**live, "metadata": {**live["metadata"], "annotations": annotations}})


@pytest.mark.parametrize(
    ("left", "operation"),
    [
        (rolled_and_not_seen_to_serve, OperationType.RESIZE),
        (volumes_that_have_not_grown, OperationType.RESIZE),
        (volumes_that_nobody_has_asked_for, OperationType.RESIZE),
        (engines_that_were_not_restarted, OperationType.RECONFIGURE),
    ],
)
async def test_what_is_shown_is_what_the_platform_does_next(
    world: World, left: Callable[[World], Awaitable[None]], operation: OperationType
) -> None:
    """It said that the spec was carried out."""
    await left(world)
    planned = await world.load()
    assert (planned.operation, planned.drift) == (operation, [])
    stage, _ = await rendered(world)
    assert (stage.operation, stage.sentence) == (planned.operation, planned.change)


@pytest.mark.parametrize(("policy", "volume"), [("Retain", False), ("Delete", True)])
async def test_nodes_that_go_are_named_and_their_volumes_by_the_policy(world: World, policy: str, volume: bool) -> None:
    stage, changes = await rendered(world, components=store(replicas=2), deletionPolicy=policy)
    assert stage.operation == "Scale"
    gone = {name for name, change in changes.items() if change.what == "remove"}
    node = "books-store-g-2"
    claim = {f"PersistentVolumeClaim {node}"} if volume else set()
    assert gone == {f"Deployment {node}", f"Service {node}", f"ConfigMap {node}"} | claim


async def test_nodes_that_come_are_added(world: World) -> None:
    _, changes = await rendered(world, components=store(replicas=4))
    added = {name for name, change in changes.items() if change.what == "add"}
    assert {f"{kind} books-store-g-3" for kind in ("Deployment", "Service", "ConfigMap")} <= added


async def test_what_would_be_refused_says_why(world: World) -> None:
    with pytest.raises(CommandError, match=r"would be refused:\n  spec.runtimeVersion: .*does not support '9'"):
        await rendered(world, runtimeVersion="9")


async def test_where_the_record_was_lost_nothing_is_said_of_what_comes_next(world: World) -> None:
    world.lose_status("Group")
    with pytest.raises(CommandError, match="record of books is incomplete: what the Pods of books-store-g are made of"):
        await rendered(world)


async def test_the_metadata_config_map_is_no_word_on_what_runs(world: World) -> None:
    world.cluster.remove(world.object("ConfigMap", "books-metadata"))
    stage, changes = await rendered(world)
    assert (stage.operation, changes) == ("Repair", {})


async def test_a_first_deploy_shows_all_of_it() -> None:
    stage, changes = await rendered(World(shelf(), NEWER, **RUNS))
    assert (stage.operation, {change.what for change in changes.values()}) == ("Deploy", {"add"})
