"""Nodes that come and nodes that go, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.config.sync_nodes import SyncNodes
from activities.reconcile.apply_group import ApplyGroup
from activities.reconcile.finish import Record
from activities.reconcile.prepare import Prepare
from activities.reconcile.remove_node import RemoveNode
from activities.reconcile.scale import Scale
from api.operations import OperationType
from api.steps import ComponentPlan, ComponentStep, GroupPlan, GroupStep, NodeStep, RollNode, ScalePlan
from proto.agent_pb2 import ReloadConfigResult
from render.plugin.bundle import PluginBundle
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import DEFINITION, PARAMETERS, WATCH, shelf, store, with_tools

NODES = [f"books-store-g-{n}" for n in range(4)]
SCALES = """
join: {steps: [{set: {a: b}}]}
leave: {timeout: 7200, steps: [{set: {a: b}}]}
forget: {timeout: 90, steps: [{set: {a: b}}]}
"""


def scales(**files: str) -> PluginBundle:
    """The plugin with tools for nodes that come and go, in both components."""
    return shelf(tools_yaml=with_tools(SCALES), watch_yaml=with_tools(SCALES, WATCH), **files)


async def running(replicas: int = 3, **files: str) -> World:
    world = await World(scales(**files), runtimeVersion="1", components=store(replicas=replicas)).deployed()
    world.agents.tools |= {"join": {}, "leave": {}, "forget": {}}
    return world


@pytest.fixture
async def world() -> World:
    return await running()


async def gone(world: World, node: str) -> None:
    """All steps of a removal, in their order."""
    steps = RemoveNode(world.platform)
    for each in (steps.leave_node, steps.remove_node, steps.forget_node, steps.discard_node):
        await world.do(each, step(world, node))


async def planned(world: World, replicas: int, **group: object) -> ScalePlan:
    world.edit(components=store(replicas=replicas, **group))
    assert (await world.load()).operation == OperationType.SCALE
    return await again(world)


async def again(world: World) -> ScalePlan:
    """As the operation, begun once more, would plan it."""
    target = world.target(OperationType.SCALE)
    await world.do(Prepare(world.platform).prepare, target)
    await world.do(Prepare(world.platform).services, target)
    plan: ScalePlan = await world.do(Scale(world.platform).plan_scale, target)
    return plan


def step(world: World, node: str) -> NodeStep:
    return NodeStep(world.target(OperationType.SCALE), "store", "g", node)


async def test_new_nodes_are_planned_noted_and_then_normal(world: World) -> None:
    plan = await planned(world, 4)
    assert plan == ScalePlan([ComponentPlan("store", [GroupPlan("g", [NODES[3]])])], [], ["store", "watch"])
    assert world.nodes("adding") == [NODES[3]]
    assert (await again(world)).adding == plan.adding, "an interrupted one goes on"
    target = world.target(OperationType.SCALE)
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(target, "store", "g"))
    await world.do(Scale(world.platform).join_nodes, ComponentStep(target, "store"))
    assert world.agents.called("join") == NODES
    await world.do(Record(world.platform).record, ComponentStep(target, "store"))
    assert (world.nodes("adding"), NODES[3] in world.nodes()) == ([], True)
    assert (await again(world)).adding == []


async def test_nodes_to_go_are_the_highest_first(world: World) -> None:
    plan = await planned(world, 2)
    assert plan.removing == [RollNode(NODES[2], "store", "g")]
    plan = await again(world)
    assert [node.name for node in plan.removing] == [NODES[2]]


async def test_a_chosen_node_goes_whatever_its_place(world: World) -> None:
    plan = await planned(world, 2, reserveOrdinals=[1])
    assert [node.name for node in plan.removing] == [NODES[1]]


async def test_a_removal_that_was_interrupted_is_found_again(world: World) -> None:
    await planned(world, 2)
    await world.do(RemoveNode(world.platform).remove_node, step(world, NODES[2]))
    assert world.nodes("deleting") == [NODES[2]]
    plan = await again(world)
    assert [node.name for node in plan.removing] == [NODES[2]]


async def test_a_node_is_forgotten_by_the_id_that_its_engine_had() -> None:
    world = await running(
        plugin_yaml=DEFINITION.replace("- name: store\n    image", "- name: store\n    idBase: 40\n    image")
    )
    await planned(world, 2)
    steps = RemoveNode(world.platform)
    for each in (steps.leave_node, steps.remove_node, steps.forget_node):
        await world.do(each, step(world, NODES[2]))
    assert {arguments["id"] for _, call, arguments in world.agents.calls if call == "forget"} == {"43"}


async def test_a_node_leaves_stops_and_is_forgotten_by_everybody(world: World) -> None:
    await planned(world, 2)
    address = world.object("Service", NODES[2])["spec"]["clusterIP"]
    steps = RemoveNode(world.platform)
    await world.do(steps.leave_node, step(world, NODES[2]))
    assert world.agents.called("leave") == [NODES[2]]
    assert (NODES[2] in world.nodes(), world.nodes("deleting")) == (True, []), "it serves while it leaves"
    await world.do(steps.remove_node, step(world, NODES[2]))
    assert NODES[2] not in world.names("Deployment")
    assert NODES[2] in world.names("Service"), "the others know it by its address"
    await world.do(steps.forget_node, step(world, NODES[2]))
    told = [(node, arguments) for node, call, arguments in world.agents.calls if call == "forget"]
    stayers = [*(f"books-watch-default-{n}" for n in range(3)), *NODES[:2]]
    of_it = {"node": NODES[2], "address": address, "id": "3"}
    assert sorted(told, key=str) == sorted([(node, of_it) for node in stayers], key=str)
    await world.do(steps.discard_node, step(world, NODES[2]))
    for kind in ("Service", "ConfigMap", "Deployment"):
        assert NODES[2] not in world.names(kind)
    assert NODES[2] not in [*world.nodes(), *world.nodes("deleting")]
    assert "NodeRemoved: books-store-g-2 is gone" in world.events()


@pytest.mark.parametrize(("policy", "kept"), [("Retain", True), ("Delete", False)])
async def test_its_volume_goes_by_the_policy(world: World, policy: str, kept: bool) -> None:
    world.edit(deletionPolicy=policy)
    await planned(world, 2)
    await gone(world, NODES[2])
    assert (NODES[2] in world.names("PersistentVolumeClaim")) == kept


async def test_a_node_that_may_not_leave_stays_with_its_volume_and_its_own_sentence_is_told(world: World) -> None:
    """Seen with Kafka: the only copy of a partition went with its broker, and the App was as wanted."""
    world.edit(deletionPolicy="Delete")
    world.agents.tools["leave"] = "no other broker for partition one-0"
    await planned(world, 2)
    with pytest.raises(ApplicationError, match="books-store-g-2: no other broker for partition one-0") as refused:
        await world.do(RemoveNode(world.platform).leave_node, step(world, NODES[2]))
    assert refused.value.non_retryable, "an operator decides"
    for kind in ("Deployment", "PersistentVolumeClaim", "Service"):
        assert NODES[2] in world.names(kind)
    assert NODES[2] in world.nodes()


async def test_a_node_may_leave_for_as_long_as_its_plugin_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """95 seconds were the platform's own, and a reassignment of hours was cut off by it."""
    waited: dict[str, float] = {}
    run = world.agents.run

    async def noting(agent: Any, tool: str, *, timeout: float, **more: Any) -> Any:
        waited[tool] = timeout
        return await run(agent, tool, timeout=timeout, **more)

    monkeypatch.setattr(world.agents, "run", noting)
    await planned(world, 2)
    await gone(world, NODES[2])
    assert (waited["leave"], waited["forget"]) == (7205, 95)


async def test_a_node_that_does_not_run_cannot_leave_and_is_not_thrown_away(world: World) -> None:
    await planned(world, 2)
    pod = world.pod(NODES[2])
    pod["status"]["containerStatuses"][0] |= {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    pod["status"]["containerStatuses"][0] |= {"lastState": {"terminated": {"exitCode": 1}}}
    with pytest.raises(ApplicationError, match="does not run, so it cannot give away what only it has") as failed:
        await world.do(RemoveNode(world.platform).leave_node, step(world, NODES[2]))
    assert not failed.value.non_retryable, "it may come back in a moment"


@pytest.mark.parametrize("bound", [False, True])
async def test_a_new_node_that_never_had_a_volume_goes_without_leaving(world: World, bound: bool) -> None:
    """No machine takes it, so the number of nodes is lowered again."""
    await planned(world, 4)
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(world.target(OperationType.SCALE), "store", "g"))
    world.pod(NODES[3])["status"]["containerStatuses"] = []
    if bound:
        claim = world.object("PersistentVolumeClaim", NODES[3])
        world.cluster.put({**claim, "spec": {**claim["spec"], "volumeName": "pv-1"}})
    plan = await planned(world, 3)
    assert [node.name for node in plan.removing] == [NODES[3]]
    if bound:
        with pytest.raises(ApplicationError, match="does not run, so it cannot give away what only it has"):
            await world.do(RemoveNode(world.platform).leave_node, step(world, NODES[3]))
        return
    await gone(world, NODES[3])
    assert world.agents.called("leave") == []
    assert NODES[3] not in world.names("Deployment")


async def test_a_pod_that_ends_is_its_deployments_until_it_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget's controller warned that it found no controller of the Pod."""
    await planned(world, 2)
    pods_then: list[str] = []
    delete = world.cluster.delete

    async def noting(resource: Any, name: str, *rest: Any, **more: Any) -> bool:
        if resource.kind == "Deployment":
            pods_then.extend(each for each in world.names("Pod") if each.startswith(NODES[2]))
        return await delete(resource, name, *rest, **more)

    monkeypatch.setattr(world.cluster, "delete", noting)
    await world.do(RemoveNode(world.platform).remove_node, step(world, NODES[2]))
    assert (pods_then, NODES[2] in world.names("Deployment")) == ([], False)


async def test_a_removal_that_goes_on_asks_nobody_to_leave_twice(world: World) -> None:
    await planned(world, 2)
    steps = RemoveNode(world.platform)
    await world.do(steps.leave_node, step(world, NODES[2]))
    await world.do(steps.remove_node, step(world, NODES[2]))
    await again(world)
    await gone(world, NODES[2])
    assert world.agents.called("leave") == [NODES[2]]


async def test_a_node_whose_removal_is_taken_back_in_the_middle_runs_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await planned(world, 2)

    async def killed(*_: Any, **__: Any) -> bool:
        raise ConnectionError("the worker died here")

    with monkeypatch.context() as patch:
        patch.setattr(world.cluster, "delete", killed)
        with pytest.raises(ConnectionError):
            await world.do(RemoveNode(world.platform).remove_node, step(world, NODES[2]))
    assert world.object("Deployment", NODES[2])["spec"]["replicas"] == 0
    plan = await planned(world, 3)
    assert [group.nodes for component in plan.adding for group in component.groups] == [[NODES[2]]]
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(world.target(OperationType.SCALE), "store", "g"))
    assert world.object("Deployment", NODES[2])["spec"]["replicas"] == 1
    assert (plan.removing, world.nodes("deleting")) == ([], [])


async def test_nothing_of_a_node_is_discarded_that_has_not_left(world: World) -> None:
    world.edit(deletionPolicy="Delete")
    await planned(world, 2)
    await world.do(RemoveNode(world.platform).discard_node, step(world, NODES[2]))
    assert NODES[2] in world.names("PersistentVolumeClaim")


async def test_of_a_tool_for_the_whole_component_one_node_is_enough() -> None:
    once = "join: {once: component, steps: [{set: {a: b}}]}\nforget: {once: component, steps: [{set: {a: b}}]}\n"
    world = await World(shelf(tools_yaml=with_tools(once)), runtimeVersion="1", components=store(replicas=3)).deployed()
    world.agents.tools |= {"join": {}, "forget": {}}
    world.agents.answers[NODES[0], "join"] = "it is not the controller"
    target = world.target(OperationType.SCALE)
    await world.do(Scale(world.platform).join_nodes, ComponentStep(target, "store"))
    assert world.agents.called("join") == NODES[:2]
    await planned(world, 2)
    await world.do(RemoveNode(world.platform).remove_node, step(world, NODES[2]))
    await world.do(RemoveNode(world.platform).forget_node, step(world, NODES[2]))
    assert world.agents.called("forget") == NODES[:1]


async def test_who_cannot_forget_keeps_the_node_known_until_it_can(world: World) -> None:
    await planned(world, 2)
    await world.do(RemoveNode(world.platform).remove_node, step(world, NODES[2]))
    world.agents.answers[NODES[0], "forget"] = "not everybody is there"
    world.pod("books-watch-default-1")["status"]["containerStatuses"] = []
    with pytest.raises(ApplicationError, match="not forgotten by all yet: ") as failed:
        await world.do(RemoveNode(world.platform).forget_node, step(world, NODES[2]))
    assert f"{NODES[0]}: not everybody is there" in failed.value.message
    assert "books-watch-default-1 does not run" in failed.value.message
    assert set(world.agents.called("forget")) == {*NODES[:2], "books-watch-default-0", "books-watch-default-2"}, "all"
    assert world.nodes("deleting") == [NODES[2]]
    assert NODES[2] in world.names("Service")


async def test_a_new_node_that_does_not_run_has_not_joined(world: World) -> None:
    await planned(world, 4)
    target = world.target(OperationType.SCALE)
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(target, "store", "g"))
    world.pod(NODES[3])["status"]["containerStatuses"] = []
    with pytest.raises(ApplicationError, match=f"{NODES[3]} does not run, so it cannot join yet"):
        await world.do(Scale(world.platform).join_nodes, ComponentStep(target, "store"))


@pytest.mark.parametrize("step_of", ["join", "forget", "read back"])
async def test_nodes_that_somebody_scales_to_none_are_put_back_while_they_are_asked(world: World, step_of: str) -> None:
    """Else the step is tried again without end: no Repair goes before it for what only differs."""
    await planned(world, 4 if step_of == "join" else 2)
    scales = world.target(OperationType.SCALE)
    if step_of == "join":
        await world.do(ApplyGroup(world.platform).apply_group, GroupStep(scales, "store", "g"))
    elif step_of == "forget":
        await world.do(RemoveNode(world.platform).remove_node, step(world, NODES[2]))
    down = {"join": NODES[3:4], "forget": NODES[:1], "read back": NODES[:3]}[step_of]
    for name in down:
        live = world.object("Deployment", name)
        world.cluster.put({**live, "spec": {**live["spec"], "replicas": 0}})
    reconfigures = ComponentStep(world.target(OperationType.RECONFIGURE), "store")
    asks: dict[str, tuple[Callable[[Any], Any], Any]] = {
        "join": (Scale(world.platform).join_nodes, ComponentStep(scales, "store")),
        "forget": (RemoveNode(world.platform).forget_node, step(world, NODES[2])),
        "read back": (Record(world.platform).record, reconfigures),
    }
    with pytest.raises(ApplicationError, match=r"does not run|no node runs"):
        await world.do(*asks[step_of])
    assert [world.object("Deployment", name)["spec"]["replicas"] for name in down] == [1] * len(down)


async def test_a_failing_join_is_tried_again(world: World) -> None:
    world.agents.tools["join"] = "nobody answers"
    with pytest.raises(ApplicationError, match="nobody answers") as error:
        await world.do(Scale(world.platform).join_nodes, ComponentStep(world.target(OperationType.SCALE), "store"))
    assert not error.value.non_retryable


async def test_a_join_that_failed_ten_times_is_an_operators_however_often_a_worker_was_restarted(world: World) -> None:
    world.agents.tools["join"] = "nobody answers"
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=10)
    step = ComponentStep(world.target(OperationType.SCALE), "store")
    with pytest.raises(ApplicationError, match="nobody answers") as error:
        await environment.run(Scale(world.platform).join_nodes, step)
    assert error.value.non_retryable


async def test_nodes_of_an_aborted_scale_stay_until_asked_for_and_go_when_the_number_is_lowered(world: World) -> None:
    """What an abort leaves: the spec still wants them, so they are not taken away behind its author's back."""
    await planned(world, 4)
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(world.target(OperationType.SCALE), "store", "g"))
    await world.carry_out(OperationType.REPAIR)  # of the others' files, which named them
    snapshot = await world.load()
    assert (snapshot.drift, snapshot.operation) == ([], OperationType.SCALE)
    assert NODES[3] in world.names("Deployment")
    plan = await planned(world, 3)
    assert (plan.adding, [node.name for node in plan.removing]) == ([], [NODES[3]])
    await gone(world, NODES[3])
    assert NODES[3] not in world.names("Deployment")
    assert world.nodes("adding") == world.nodes("deleting") == []


async def test_each_node_that_goes_is_told_and_not_only_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """All by one operation, and an agent answers a request that it has answered before from its memory."""
    world = await running(4)
    remembered: dict[tuple[str, str], ReloadConfigResult] = {}
    push = world.agents.reload_config

    async def remembering(agent: Any, request: Any, **more: Any) -> ReloadConfigResult:
        key = (agent.node, request.request_id)
        if key not in remembered:
            remembered[key] = await push(agent, request, **more)
        return remembered[key]

    monkeypatch.setattr(world.agents, "reload_config", remembering)
    await planned(world, 2)
    environment = ActivityEnvironment()
    for number, node in enumerate((NODES[3], NODES[2])):
        await world.do(RemoveNode(world.platform).remove_node, step(world, node))
        environment.info = replace(environment.info, activity_id=str(number))
        sync = ComponentStep(world.target(OperationType.SCALE), "store")
        await environment.run(SyncNodes(world.platform).sync_nodes, sync)
        await world.do(RemoveNode(world.platform).forget_node, step(world, node))
        await world.do(RemoveNode(world.platform).discard_node, step(world, node))
    assert world.agents.pushed[NODES[0]] == world.object("ConfigMap", NODES[0])["data"]


# Parameters that follow from the number of nodes

COPIES = """
copies: {schema: {type: integer}, apply: dynamic, defaultExpression: "1 if component.nodes | length >= 3 else 0"}
"""
"""Below which a primary takes no writes."""


async def synced(world: World, operation: OperationType) -> None:
    await world.do(SyncNodes(world.platform).sync_nodes, ComponentStep(world.target(operation), "store"))


def given(world: World) -> list[tuple[str, str]]:
    """Which nodes' engines were given which number, since it was last asked."""
    found = [(node, says["copies"]) for node, call, says in world.agents.calls if call == "push" and "copies" in says]
    world.agents.calls.clear()
    return found


def files(world: World) -> list[tuple[str, str]]:
    """Of each node, the number and how many nodes its file knows."""
    found = []
    for node in sorted(set(world.names("ConfigMap")) & set(NODES)):
        words = world.object("ConfigMap", node)["data"]["middleware__conf__shelf.conf"].split()
        found.append((words[words.index("copies") + 1], words[words.index("of") + 1]))
    return found


async def test_no_engine_insists_on_a_node_that_is_still_to_come() -> None:
    """The only replica is lost, so another is added: until it is there the primary must not wait for it, whatever
    happens meanwhile, and if it never comes up."""
    world = await running(2, parameters_yaml=PARAMETERS + COPIES)
    await planned(world, 3)
    await synced(world, OperationType.SCALE)
    assert given(world) == []
    assert files(world) == [("0", "3")] * 3, "an engine that starts anew reads its file"
    target = world.target(OperationType.SCALE)
    await world.do(ApplyGroup(world.platform).apply_group, GroupStep(target, "store", "g"))
    await synced(world, OperationType.SCALE)  # another attempt, after the worker had died
    await synced(world, OperationType.REPAIR)
    await again(world)
    await synced(world, OperationType.SCALE)
    assert given(world) == []
    assert files(world) == [("0", "3")] * 3
    await world.do(Scale(world.platform).join_nodes, ComponentStep(target, "store"))
    await world.do(Record(world.platform).record, ComponentStep(target, "store"))
    await synced(world, OperationType.SCALE)
    assert given(world) == [(node, "1") for node in NODES[:3]]
    assert files(world) == [("1", "3")] * 3
    # As a Scale ends: the nodes of every component are told who there is.
    others = ComponentStep(world.target(OperationType.SCALE), "watch")
    await world.do(SyncNodes(world.platform).sync_nodes, others)
    assert (await world.load()).drift == []


async def test_one_that_goes_is_not_counted_any_more() -> None:
    world = await running(parameters_yaml=PARAMETERS + COPIES)
    await planned(world, 2)
    await world.do(RemoveNode(world.platform).remove_node, step(world, NODES[2]))
    await synced(world, OperationType.SCALE)
    assert given(world) == [(node, "0") for node in NODES[:2]]
