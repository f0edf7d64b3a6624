"""An App that has lost the statuses that say what runs: it is found out again, or the App says what a person must do
and nothing is touched."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError

from activities.look.load import NOT_OWNED
from activities.look.rebuild_state import STATE_LOST
from activities.reconcile.apply_group import ApplyGroup
from activities.reconcile.prepare import Prepare
from activities.reconcile.remove_node import RemoveNode
from activities.reconcile.scale import Scale
from activities.rollout.expand_and_roll_back import Upgrade
from api.group import MemberState
from api.names import LABEL_PLUGIN_VERSION
from api.operations import OperationType
from api.steps import GroupStep, NodeStep
from clients.errors import KubernetesError
from clients.resources import CONTROLLER_REVISION
from proto import agent_pb2
from render.check.rebuilt_state import REBUILT
from tests.unit.activities.support.agents import UID
from tests.unit.activities.support.cluster import NAME, World
from tests.unit.render.support import DEFINITION, shelf, store, with_tools

GROUP, NODES = "books-store-g", ["books-store-g-0", "books-store-g-1"]
NEWER = shelf(plugin_yaml=DEFINITION.replace("name: shelf, version: 1.0.0", "name: shelf, version: 1.1.0"))


@pytest.fixture
async def world() -> World:
    spec = [{**store(replicas=2)[0], "config": {"threads": 4}}]
    found = World(shelf(), NEWER, runtimeVersion="1", components=spec)
    found.agents.tools["readConfig"] = {"threads": "4"}
    return await found.deployed()


def parameters(world: World) -> dict[str, str]:
    """Those in effect, as the status tells."""
    found: dict[str, str] = world.object("Component", "books-store")["status"]["parameters"]
    return found


def members(world: World, state: MemberState = MemberState.NORMAL) -> list[str]:
    return [member.name for member in world.state.groups[GROUP].members if member.state == state]


async def upgraded_to(world: World, *nodes: str) -> None:
    """An Upgrade has come so far."""
    world.edit(runtimeVersion="2")
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))
    for name in nodes:
        await world.give(name)


async def test_what_runs_is_found_out_again(world: World) -> None:
    before = world.state
    world.lose_status()
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.operation, snapshot.deployed_hash) == ("", OperationType.DEPLOY, REBUILT)
    assert snapshot.change == "what runs was found out again, and is compared with the spec"
    assert snapshot.drift == []
    assert (world.state.groups, world.state.components) == (before.groups, before.components)
    assert (world.recorded.plugin_version, world.recorded.topology) == ("1.0.0", "cluster")
    assert any("StateRebuilt" in said for said in world.events())
    await world.carry_out(OperationType.DEPLOY)
    assert (await world.load()).deployed_hash == snapshot.spec_hash


async def test_also_where_the_revisions_are_not_in_the_backup(world: World) -> None:
    before = world.state
    world.lose_status()
    world.lose(CONTROLLER_REVISION.kind)
    assert (await world.load()).refusal == ""
    assert world.state.groups == before.groups
    assert world.state.components["store"].config == before.components["store"].config


async def test_a_newer_spec_is_no_word_on_what_runs(world: World) -> None:
    """Such as one that Git applies before anybody has looked."""
    world.edit(runtimeVersion="2", plugin={"name": "shelf", "version": "1.1.0"})
    world.lose_status()
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.change) == ("UpgradePlugin", "plugin 1.0.0 → 1.1.0")
    assert world.state.runtime_version == "1"


async def test_an_upgrade_under_way_goes_on_and_can_still_go_back(world: World) -> None:
    await upgraded_to(world, NODES[1])
    before = world.state
    world.lose_status()
    assert (await world.load()).operation == OperationType.UPGRADE
    found = world.state.groups[GROUP]
    assert (found.current, found.update) == (before.groups[GROUP].current, before.groups[GROUP].update)
    assert {name: member.version for name, member in world.state.members.items() if name in NODES} == {
        NODES[0]: "1",
        NODES[1]: "2",
    }


async def test_which_version_has_had_a_volume_the_volume_says(world: World) -> None:
    """An aborted Upgrade had given node 1 to version 2, and the lost status alone had noted that."""
    world.agents.volumes = {NODES[0]: "1", NODES[1]: "2"}
    world.lose_status()
    assert (await world.load()).refusal == ""
    assert [world.member(node).data for node in NODES] == ["1", "2"]
    assert [world.member(node).version for node in NODES] == ["1", "1"]


async def test_an_agent_that_does_not_answer_keeps_nothing_from_being_found_out(world: World) -> None:
    world.agents.unreachable = {*NODES}
    world.lose_status()
    assert (await world.load()).refusal == ""
    assert [world.member(node).data for node in NODES] == ["", ""]


async def test_an_upgrade_whose_version_has_been_writable_does_not_go_back_after_the_loss(world: World) -> None:
    """It may have acknowledged writes that the lower version cannot read."""
    await upgraded_to(world, NODES[1])
    volume = agent_pb2.VolumeRecord(present=True, app_uid=UID, role="primary", engine_version="2")
    world.agents.waiting[NODES[1]] = agent_pb2.ProcessStatus(state=agent_pb2.RUNNING, volume=volume)
    world.lose_status()
    assert (await world.load()).operation == OperationType.UPGRADE
    assert world.state.final


@pytest.mark.parametrize("statuses", [False, True])
async def test_also_where_somebody_has_removed_the_revision_that_it_brings(world: World, statuses: bool) -> None:
    """It is not turned round: the Group's own spec was written last."""
    await upgraded_to(world, NODES[1])
    before = world.state.groups[GROUP]
    world.lose(CONTROLLER_REVISION.kind, world.object("Group", GROUP)["status"]["updateRevision"])
    if statuses:
        world.lose_status()
    assert (await world.load()).operation == OperationType.UPGRADE
    found = world.state.groups[GROUP]
    assert (found.current, found.update) == (before.current, before.update)


@pytest.mark.parametrize("kinds", [("Group",), ()])
@pytest.mark.parametrize("made", [True, False])
async def test_a_node_that_a_scale_was_adding_is_not_taken_for_one_that_has_joined(
    world: World, kinds: tuple[str, ...], made: bool
) -> None:
    """It was made by a Repair, and joined nobody."""
    world.edit(components=[{**store(replicas=3)[0], "config": {"threads": 4}}])
    target, new = world.target(OperationType.SCALE), f"{GROUP}-2"
    await world.do(Prepare(world.platform).prepare, target)
    await world.do(Prepare(world.platform).services, target)
    if made:
        await world.do(ApplyGroup(world.platform).apply_group, GroupStep(target, "store", "g"))
        assert new in world.names("Deployment")
    world.lose_status(*kinds)
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.operation) == ("", OperationType.SCALE)
    assert (members(world), members(world, MemberState.ADDING)) == (NODES, [new])
    plan = await world.do(Scale(world.platform).plan_scale, target)
    assert [group.nodes for component in plan.adding for group in component.groups] == [[new]]


@pytest.mark.parametrize("pending", [True, False])
async def test_a_node_that_a_scale_had_removed_is_still_to_be_forgotten_by_its_peers(pending: bool) -> None:
    """Of such a one no volume has anything."""
    world = await World(runtimeVersion="1", components=store(replicas=3)).deployed()
    world.edit(components=store(replicas=2))
    target, left = world.target(OperationType.SCALE), f"{GROUP}-2"
    await world.do(Prepare(world.platform).prepare, target)
    world.lose("Deployment", left)
    if pending:
        world.cluster.put({**world.object("PersistentVolumeClaim", left), "status": {"phase": "Pending"}})
    else:
        world.lose("PersistentVolumeClaim", left)
    world.lose_status("Group")
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.operation) == ("", OperationType.SCALE)
    assert (members(world), members(world, MemberState.DELETING)) == (NODES, [left])
    plan = await world.do(Scale(world.platform).plan_scale, target)
    assert [node.name for node in plan.removing] == [left]


@pytest.mark.parametrize("lost", [(), ("Group",)])
async def test_a_node_whose_volume_may_hold_what_only_it_has_is_asked_to_leave_though_all_else_of_it_was_lost(
    lost: tuple[str, ...],
) -> None:
    """A tenant had deleted its Deployment: it was taken for one that had left, and its volume went with it."""
    scales = shelf(tools_yaml=with_tools("leave: {steps: [{set: {a: b}}]}\n"))
    spec = {"runtimeVersion": "1", "deletionPolicy": "Delete"}
    world = await World(scales, components=store(replicas=3), **spec).deployed()
    world.agents.tools["leave"] = "no other broker for this partition"
    left = f"{GROUP}-2"
    world.edit(components=store(replicas=2))
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.SCALE))
    world.lose("Deployment", left)
    world.lose_status(*lost)
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.operation) == ("", OperationType.SCALE)
    assert any(left in each for each in snapshot.drift), "a Repair goes first, and makes it again"
    assert members(world) == [*NODES, left]
    steps, step = RemoveNode(world.platform), NodeStep(world.target(OperationType.SCALE), "store", "g", left)
    with pytest.raises(ApplicationError, match=f"{left} does not run, so it cannot give away what only it has"):
        await world.do(steps.leave_node, step)
    await world.carry_out(OperationType.REPAIR)
    with pytest.raises(ApplicationError, match="no other broker for this partition"):
        await world.do(steps.leave_node, step)
    await world.do(steps.discard_node, step)
    assert left in world.names("PersistentVolumeClaim")
    world.agents.tools["leave"] = {}
    for each in (steps.leave_node, steps.remove_node, steps.forget_node, steps.discard_node):
        await world.do(each, step)
    assert left not in world.names("PersistentVolumeClaim"), "it has given all away"


@pytest.mark.parametrize("given", [0, 1])
async def test_a_move_of_the_plugin_can_still_go_back(world: World, given: int) -> None:
    """What the nodes have not been given yet says from which version it came."""
    world.edit(plugin={"name": "shelf", "version": "1.1.0"})
    target = world.target(OperationType.UPGRADE_PLUGIN)
    await world.do(Prepare(world.platform).prepare, target)
    for name in NODES[:given]:
        live = world.object("ConfigMap", name)
        labels = {**live["metadata"]["labels"], LABEL_PLUGIN_VERSION: "1.1.0"}
        world.cluster.put({**live, "metadata": {**live["metadata"], "labels": labels}})
    world.lose_status("App")
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.change) == (OperationType.UPGRADE_PLUGIN, "plugin 1.0.0 → 1.1.0")
    assert (world.recorded.plugin_version, world.recorded.previous_plugin) == ("1.1.0", "1.0.0")
    await world.do(Upgrade(world.platform).roll_back, target)
    assert world.recorded.plugin_version == "1.0.0"


async def test_also_where_the_components_are_of_two_versions(world: World) -> None:
    """They are written one after another."""
    world.edit(plugin={"name": "shelf", "version": "1.1.0"})
    live = world.object("Component", "books-store")
    labels = {**live["metadata"]["labels"], LABEL_PLUGIN_VERSION: "1.1.0"}
    world.cluster.put({**live, "metadata": {**live["metadata"], "labels": labels}})
    world.lose_status("App")
    assert (await world.load()).operation == OperationType.UPGRADE_PLUGIN
    assert (world.recorded.plugin_version, world.recorded.previous_plugin) == ("1.1.0", "1.0.0")


async def test_a_groups_own_word_is_not_believed_where_no_node_shows_it(world: World) -> None:
    """Whoever may write the Group may have written it."""
    world.lose_status("Group")
    live = world.object("Group", GROUP)
    world.cluster.put({**live, "spec": {**live["spec"], "image": "evil:1"}})
    world.lose("Deployment", NODES[1])
    snapshot = await world.load()
    assert snapshot.refusal_reason == STATE_LOST
    said = f"nothing shows whether {NODES[1]} was made of what Group {GROUP} says or of its revision"
    assert said in snapshot.refusal


async def test_how_many_nodes_a_person_asks_of_a_group_makes_no_nodes(world: World) -> None:
    """``kubectl scale`` came before the record was lost: a Scale is yet to come."""
    live = world.object("Group", GROUP)
    world.cluster.put({**live, "spec": {**live["spec"], "replicas": 4}})
    world.lose_status("Group")
    await world.load()
    assert members(world) == NODES


@pytest.mark.parametrize("kind", ["Group", "Component"])
async def test_one_that_somebody_removed_is_made_again_as_it_was(world: World, kind: str) -> None:
    before = world.state
    world.lose(kind)
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.operation, snapshot.drift) == ("", "", [])
    assert snapshot.deployed_hash == snapshot.spec_hash, "the App itself has lost nothing"
    assert (world.state.groups, world.state.components) == (before.groups, before.components)
    assert parameters(world) == {"threads": "4"}


async def test_an_operation_does_not_go_on_by_half_of_it(world: World) -> None:
    await upgraded_to(world, NODES[1])
    world.lose("Group", GROUP)
    with pytest.raises(Exception, match="what runs is found out first"):
        await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))
    assert (await world.load()).operation == OperationType.UPGRADE


async def test_a_group_that_says_something_else_than_its_nodes_is_not_believed(world: World) -> None:
    world.lose_status()
    world.lose(CONTROLLER_REVISION.kind)
    live = world.object("Group", GROUP)
    world.cluster.put({**live, "spec": {**live["spec"], "image": "evil:1"}})
    before = dict(world.cluster.objects)
    snapshot = await world.load()
    assert snapshot.refusal_reason == STATE_LOST
    assert f"{NODES[0]}, {NODES[1]} are made of nothing that Group {GROUP} or its revisions say" in snapshot.refusal
    assert snapshot.refusal.endswith("Nothing is touched until then")
    assert world.cluster.objects == before


async def test_nor_is_a_component_with_other_parameters_than_its_nodes(world: World) -> None:
    world.lose_status()
    world.lose(CONTROLLER_REVISION.kind)
    live = world.object("Component", "books-store")
    world.cluster.put({**live, "spec": {**live["spec"], "config": {**live["spec"]["config"], "threads": 9}}})
    snapshot = await world.load()
    assert "run with other parameters than their Components say" in snapshot.refusal


async def test_without_any_word_on_the_plugin_nothing_is_guessed(world: World) -> None:
    world.lose_status()
    world.lose("Component")
    assert "do not say with which version of plugin shelf it runs" in (await world.load()).refusal


async def test_a_first_deploy_that_was_at_work_lets_nobody_begin_beside_those_who_serve() -> None:
    world = World(runtimeVersion="1", components=store(replicas=2, storage={"size": "1Gi"}))
    await world.deployed()
    world.lose("Deployment", NODES[1], *(name for name in world.names("Deployment") if "watch" in name))
    world.lose_status()
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.deployed_hash) == ("", "")
    assert world.recorded.begun == ["store"]
    assert [node.name for node in world.state.nodes(MemberState.NORMAL)] == [NODES[0]]


@pytest.mark.parametrize("gone", ["", "revisions", "labels"])
async def test_nor_beside_volumes_whose_nodes_are_all_gone(gone: str) -> None:
    """The first primary has acknowledged writes; node 0, whose copy may be older, must not begin in its place."""
    world = World(runtimeVersion="1", components=store(replicas=2, storage={"size": "1Gi"}))
    await world.deployed()
    world.lose("Deployment", *NODES)
    if gone == "revisions":
        world.lose(CONTROLLER_REVISION.kind)
    if gone == "labels":
        for name in NODES:
            claim = world.object("PersistentVolumeClaim", name)
            world.cluster.put({**claim, "metadata": {**claim["metadata"], "labels": {}}})
    world.lose_status()
    assert (await world.load()).deployed_hash == ""
    assert "store" in world.recorded.begun


async def test_volumes_of_an_earlier_app_keep_nobody_from_beginning() -> None:
    world = World(runtimeVersion="1", components=store(replicas=2, storage={"size": "1Gi"}))
    await world.deployed()
    for name in NODES:
        claim = world.object("PersistentVolumeClaim", name)
        claim["metadata"]["annotations"]["middleware.io/app-uid"] = "uid-of-an-earlier-app"
        world.cluster.put(claim)
    world.lose("Deployment")
    world.lose(CONTROLLER_REVISION.kind)
    world.lose_status()
    assert (await world.load()).refusal == ""
    assert world.recorded.begun == []


async def test_nodes_that_were_only_noted_down_are_no_deploy_that_has_completed() -> None:
    world = World(runtimeVersion="1", components=store(replicas=2, storage={"size": "1Gi"}))
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.DEPLOY))
    world.lose_status("App")
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.deployed_hash) == ("", "")
    assert set(members(world, MemberState.ADDING)) == {*NODES}
    assert world.recorded.begun == [], "nobody can have data yet"


async def test_labels_that_a_tenant_wrote_make_no_node(world: World) -> None:
    strange = world.object("Deployment", NODES[0])
    metadata = {**strange["metadata"], "name": "payroll"}
    world.cluster.put({**strange, "metadata": metadata})
    world.lose_status()
    await world.load()
    assert "payroll" not in world.state.members


async def test_a_config_map_that_a_tenant_wrote_is_no_word_on_the_plugin_or_on_a_node(world: World) -> None:
    node = world.object("ConfigMap", NODES[0])
    labels = {**node["metadata"]["labels"], LABEL_PLUGIN_VERSION: "9.9.9"}
    for name in ("mine", f"{GROUP}-x", f"{GROUP}-07"):
        world.cluster.put({**node, "metadata": {**node["metadata"], "name": name, "uid": name, "labels": labels}})
    world.lose_status()
    assert (await world.load()).refusal == ""
    assert world.state.deployed is not None
    assert world.state.deployed.previous_plugin == ""
    assert (members(world), members(world, MemberState.DELETING)) == (NODES, [])


async def test_a_paused_app_is_not_touched(world: World) -> None:
    world.edit(paused=True)
    world.lose_status()
    before = dict(world.cluster.objects)
    assert (await world.load()).paused
    assert world.cluster.objects == before


async def test_an_app_that_was_never_deployed_has_lost_nothing() -> None:
    world = World(runtimeVersion="1", components=store(replicas=2))
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.deployed_hash) == ("", "")
    assert "deployed" not in world.object("App", NAME)["status"]


async def test_nodes_whose_deployments_are_gone_too_are_made_again_on_their_volumes() -> None:
    world = World(runtimeVersion="1", components=store(replicas=2, storage={"size": "1Gi"}))
    await world.deployed()
    world.lose_status("Group")
    world.lose("Deployment", *NODES)
    snapshot = await world.load()
    assert (snapshot.refusal, members(world)) == ("", NODES)
    assert [world.member(name).version for name in NODES] == ["1", "1"]
    assert [f"Deployment {name} is missing" for name in NODES] == snapshot.drift
    await world.carry_out(OperationType.REPAIR)
    assert (await world.load()).drift == []
    assert set(NODES) <= set(world.names("Deployment"))


async def test_nor_is_a_single_node_forgotten_whose_deployment_is_gone(world: World) -> None:
    world.lose("Group", GROUP)
    world.lose("Deployment", NODES[1])
    assert (await world.load()).refusal == ""
    assert members(world) == NODES


async def test_a_node_that_may_have_had_the_higher_version_is_not_made_with_the_lower(world: World) -> None:
    await upgraded_to(world, NODES[1])
    world.lose_status("Group")
    world.lose("Deployment", NODES[1])
    await world.load()
    found = world.member(NODES[1])
    assert (found.version, found.data) == ("2", "2")


async def test_where_nothing_of_a_group_is_left_a_person_has_to_act(world: World) -> None:
    world.lose("Group", GROUP)
    revisions = world.names(CONTROLLER_REVISION.kind)
    world.lose(CONTROLLER_REVISION.kind, *(name for name in revisions if name.startswith(GROUP)))
    world.lose("Deployment", *NODES)
    before = dict(world.cluster.objects)
    snapshot = await world.load()
    assert (snapshot.refusal_reason, snapshot.operation) == (STATE_LOST, "")
    assert f"what the Pods of {GROUP} are made of" in snapshot.refusal
    assert "delete the App and apply it again" in snapshot.refusal
    assert world.cluster.objects == before


async def test_what_an_operation_has_recorded_meanwhile_stays(world: World) -> None:
    """Between what was read and what is written a step of an operation may have come."""
    watch = "books-watch-default"
    world.lose_status("Group")
    after = [{"name": f"{watch}-{n}", "state": "normal", "version": "1", "data": "1"} for n in range(3)]
    came: list[str] = []

    def meanwhile(verb: str, name: str) -> KubernetesError | None:
        if verb == "patch" and not came:
            came.append(name)
            live = world.object("Component", "books-store")
            revised = {**live["spec"], "config": {**live["spec"]["config"], "threads": 8}}
            owner = world.object(CONTROLLER_REVISION.kind, live["status"]["revision"])
            metadata = {**owner["metadata"], "name": "books-store-0123456789"}
            world.cluster.put({**owner, "metadata": metadata, "data": revised, "revision": 9})
            world.cluster.put({**live, "status": {**live["status"], "revision": metadata["name"]}})
            group = world.object("Group", watch)
            world.cluster.put({**group, "status": {**group["status"], "members": after}})
        return None

    world.cluster.fail = meanwhile
    assert (await world.load()).refusal == ""
    assert came
    assert [member.data for member in world.state.groups[watch].members] == ["1", "1", "1"]
    assert world.state.groups[watch].update is not None, "what was lost of the same Group is there again"
    assert world.state.components["store"].config["threads"] == 8
    assert members(world) == NODES


async def test_what_is_still_lost_after_it_was_found_out_is_not_gone_on_with(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> str:
        return ""

    monkeypatch.setattr("activities.look.load.rebuild_state", nothing)
    world.lose_status("Group")
    snapshot = await world.load()
    assert (snapshot.refusal_reason, snapshot.operation) == (STATE_LOST, "")
    assert f"the nodes of {GROUP}" in snapshot.refusal


async def made_anew(world: World, *, owned: bool) -> World:
    """By a restore through the API: the App has another uid. ``owned``: others still name the uid of before."""
    for name in world.names("Deployment"):
        live = world.object("Deployment", name)
        owners = live["metadata"]["ownerReferences"] if owned else []
        world.cluster.put({**live, "metadata": {**live["metadata"], "ownerReferences": owners}})
    world.lose("Component")
    world.lose("Group")
    world.lose(CONTROLLER_REVISION.kind)
    app = world.object("App", NAME)
    world.cluster.put({**app, "metadata": {**app["metadata"], "uid": "uid-of-the-restore"}, "status": {}})
    return world


async def test_no_first_deploy_begins_over_nodes_that_nobody_owns(world: World) -> None:
    """Their engines run on the volumes between which that Deploy has to choose."""
    await made_anew(world, owned=False)
    snapshot = await world.load()
    assert snapshot.refusal_reason == NOT_OWNED
    assert snapshot.refusal.startswith(f"no App owns Deployment {', '.join(world.names('Deployment'))}, so an engine")
    world.lose("Deployment")
    assert (await world.load()).refusal == ""


async def test_nodes_of_an_earlier_app_of_the_name_are_waited_for_as_they_go(world: World) -> None:
    await made_anew(world, owned=True)
    assert (await world.load()).refusal == ""
