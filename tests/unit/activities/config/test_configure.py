"""Parameters of running engines: who lacks which, one node given them, and the former ones put back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from temporalio.exceptions import ApplicationError

from activities.config import restart
from activities.config.configure import Configure
from activities.config.sync_nodes import SyncNodes
from api.effective import Effective, noted
from api.names import ANNOTATION_EFFECTIVE
from api.operations import OperationType
from api.reconfigure import ConfigPlans, ConfigureStep
from api.steps import ComponentStep, ErrorType, NodeStep
from proto import agent_pb2
from render.plugin.bundle import PluginBundle
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import PARAMETERS, shelf, store, with_tools

NODES = ["books-store-g-0", "books-store-g-1"]
FILE = "middleware__conf__shelf.conf"


def config(**values: object) -> list[dict[str, object]]:
    return [{**store(replicas=2)[0], "config": {name.replace("_", "-"): value for name, value in values.items()}}]


@pytest.fixture
async def world(virtual_time: None) -> World:
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    world.roles(store_0="primary")
    return world


async def planned(world: World) -> ConfigPlans:
    plans: ConfigPlans = await world.do(
        Configure(world.platform).plan_config, world.target(OperationType.RECONFIGURE, reason="asked")
    )
    return plans


async def configure(world: World, node: str, *, revert: bool = False) -> None:
    step = NodeStep(world.target(OperationType.RECONFIGURE), "store", "g", node)
    await world.do(Configure(world.platform).configure_node, ConfigureStep(step, revert))


def note(world: World, node: str) -> Effective:
    found = noted(world.object("ConfigMap", node))
    assert found is not None
    return found


def file(world: World, node: str) -> str:
    return str(world.object("ConfigMap", node)["data"][FILE])


async def test_the_plan_names_what_changed_and_the_writable_node_last(world: World) -> None:
    world.edit(components=config(cache_size="128mb"))
    (plan,) = (await planned(world)).components
    assert (plan.component, plan.changed, plan.restart) == ("store", ["cache-size"], False)
    assert [node.name for node in plan.nodes] == [NODES[1], NODES[0]]


async def test_a_parameter_that_is_read_at_the_start_needs_one(world: World) -> None:
    world.edit(components=config(threads=4))
    (plan,) = (await planned(world)).components
    assert plan.restart


async def test_a_node_that_has_them_is_left_out_when_it_goes_on(world: World) -> None:
    world.edit(components=config(cache_size="128mb"))
    await configure(world, NODES[1])
    (plan,) = (await planned(world)).components
    assert [node.name for node in plan.nodes] == [NODES[0]]


async def test_a_dynamic_parameter_is_given_to_the_running_engine(world: World) -> None:
    before = note(world, NODES[1])
    world.edit(components=config(cache_size="128mb"))
    await configure(world, NODES[1])
    assert world.agents.calls[-1] == (NODES[1], "push", {"cache-size": "128mb"})
    assert world.agents.called("restart") == []
    after = note(world, NODES[1])
    assert (after.dynamic != before.dynamic, after.restart == before.restart) == (True, True)
    assert after.read_back == {"cache-size": "128mb"}
    assert "cache-size 128mb" in file(world, NODES[1])
    assert "cache-size 64mb" in file(world, NODES[0]), "one node at a time"


async def test_another_is_read_by_a_restart_of_the_engine_alone(world: World) -> None:
    pod = world.pod(NODES[1])["metadata"]["uid"]
    world.edit(components=config(threads=4))
    await configure(world, NODES[1])
    assert world.agents.called("restart") == [NODES[1]]
    assert world.pod(NODES[1])["metadata"]["uid"] == pod
    assert (await planned(world)).components[0].nodes[0].name == NODES[0]


RELOAD = "reloadConfig: {BEFORE steps: [{tcp: {send: reload}, as: said, expect: said == 'ok'}]}\n"
AT_THE_START = shelf(tools_yaml=with_tools(RELOAD.replace("BEFORE", "")))
BEFOREHAND = shelf(tools_yaml=with_tools(RELOAD.replace("BEFORE", "beforeRestart: true,")))


async def runs(bundle: PluginBundle) -> World:
    world = await World(bundle, runtimeVersion="1", components=store(replicas=2)).deployed()
    world.roles(store_0="primary")
    return world


async def test_a_dynamic_parameter_beside_one_that_is_read_at_the_start_is_read_there_too(virtual_time: None) -> None:
    """The engine that reads its whole file anew would meet the other one, which it takes at a start only."""
    world = await runs(AT_THE_START)
    world.edit(components=config(cache_size="128mb", threads=4))
    await configure(world, NODES[1])
    assert [call[1:] for call in world.agents.calls if call[1] in ("push", "restart")][-2:] == [
        ("push", {}),
        ("restart", {}),
    ]
    assert [node.name for node in (await planned(world)).components[0].nodes] == [NODES[0]]


async def test_a_tool_that_says_so_is_run_before_the_restart(virtual_time: None) -> None:
    world = await runs(BEFOREHAND)
    world.edit(components=config(cache_size="128mb", threads=4))
    await configure(world, NODES[1])
    assert [call[1:] for call in world.agents.calls if call[1] in ("push", "restart")][-2:] == [
        ("push", {"cache-size": "128mb"}),
        ("restart", {}),
    ]


@pytest.mark.parametrize("threads", ["2", "4"])
async def test_without_a_note_the_engine_is_asked_whether_a_restart_is_to_come(
    virtual_time: None, threads: str
) -> None:
    world = await runs(AT_THE_START)
    world.edit(components=config(cache_size="128mb", threads=4))
    live = world.object("ConfigMap", NODES[1])
    world.cluster.put({**live, "metadata": {**live["metadata"], "annotations": {}}})
    world.agents.tools["readConfig"] = {"cache-size": "64mb", "threads": threads}
    await configure(world, NODES[1])
    last = ("restart", {}) if threads == "2" else ("push", {"cache-size": "128mb"})
    assert [call[1:] for call in world.agents.calls if call[1] in ("push", "restart")][-2:] == [("push", {}), last]


async def test_what_waits_for_a_restart_is_not_reloaded_by_a_repair_either(virtual_time: None) -> None:
    world = await runs(AT_THE_START)
    before = note(world, NODES[1])
    live = world.object("ConfigMap", NODES[1])
    half = replace(before, dynamic="", restart="").annotation()
    world.cluster.put({**live, "metadata": {**live["metadata"], "annotations": {ANNOTATION_EFFECTIVE: half}}})
    world.agents.tools["readConfig"] = {"cache-size": "64mb"}
    await synced(world)
    assert all(given == {} for node, call, given in world.agents.calls if (node, call) == (NODES[1], "push"))
    assert (note(world, NODES[1]).dynamic, note(world, NODES[1]).restart) == ("", "")


async def test_what_an_engine_refuses_ends_the_step_for_good_and_is_put_back(world: World) -> None:
    world.edit(components=config(cache_size="128mb"))
    world.agents.refuses[NODES[1]] = "not enough memory"
    with pytest.raises(ApplicationError, match="books-store-g-1: not enough memory") as error:
        await configure(world, NODES[1])
    assert (error.value.type, error.value.non_retryable) == (ErrorType.ENGINE_REFUSED, True)
    assert note(world, NODES[1]).dynamic == "", "nobody knows what the engine has now"
    world.agents.refuses.clear()
    await configure(world, NODES[1], revert=True)
    assert "cache-size 64mb" in file(world, NODES[1])
    assert world.agents.calls[-1] == (NODES[1], "push", {"cache-size": "64mb"})
    assert note(world, NODES[1]).dynamic == note(world, NODES[0]).dynamic


KEEPS_ENDING = "keeps ending, 5 times in a row: shelf ended by itself after 0.1 s with exit code 1, saying: bad threads"


async def test_an_engine_that_keeps_ending_with_them_is_refused_at_once_in_its_own_words(world: World) -> None:
    world.edit(components=config(threads=4))
    world.agents.stand(NODES[1], agent_pb2.CRASH_LOOP, KEEPS_ENDING)
    began = asyncio.get_running_loop().time()
    with pytest.raises(ApplicationError) as error:
        await configure(world, NODES[1])
    told = f"{NODES[1]} does not serve with the new parameters: the process is CRASH_LOOP: {KEEPS_ENDING}"
    assert (error.value.message, error.value.non_retryable) == (told, True)
    assert asyncio.get_running_loop().time() - began < 10


async def test_an_engine_that_keeps_ending_is_refused_also_while_it_is_tried_once_more(world: World) -> None:
    world.edit(components=config(threads=4))
    world.agents.say(NODES[1], ready=False, message=f"nobody listens; before that: {KEEPS_ENDING}")
    world.agents.reports[NODES[1]].keeps_ending = True
    with pytest.raises(ApplicationError, match="saying: bad threads"):
        await configure(world, NODES[1])


async def test_an_engine_that_ended_once_is_waited_for(world: World) -> None:
    world.edit(components=config(threads=4))
    ended = "shelf ended by itself after 0.1 s with exit code 1; next try in 1 s"
    world.agents.stand(NODES[1], agent_pb2.BACKOFF, ended)
    step = asyncio.create_task(configure(world, NODES[1]))
    done, _ = await asyncio.wait([step], timeout=restart.RESTART_TIMEOUT - 10)
    assert not done
    world.agents.say(NODES[1])
    await step


async def test_what_is_told_of_an_engine_that_never_serves_is_how_it_is_at_the_end(world: World) -> None:
    world.edit(components=config(threads=4))
    world.agents.say(NODES[1], ready=False, message="it ended once")
    step = asyncio.create_task(configure(world, NODES[1]))
    await asyncio.wait([step], timeout=60)
    world.agents.say(NODES[1], ready=False, message="it copies its data")
    with pytest.raises(ApplicationError, match="does not serve with the new parameters: it copies its data"):
        await step


async def test_one_that_restarted_is_given_the_time_to_save_what_it_has_copied(world: World) -> None:
    world.edit(components=config(threads=4))
    world.agents.say(NODES[1], unsaved="it writes its file")
    step = asyncio.create_task(configure(world, NODES[1]))
    done, _ = await asyncio.wait([step], timeout=2 * restart.RESTART_TIMEOUT)
    assert not done, "the next node would follow"
    world.agents.say(NODES[1])
    await step


async def test_until_every_node_has_them_the_former_are_the_record(world: World) -> None:
    world.edit(components=config(cache_size="128mb"))
    for node in NODES:
        await configure(world, node)
    assert world.state.components["store"].config["cache-size"] == "64mb"
    step = ComponentStep(world.target(OperationType.RECONFIGURE), "store")
    await world.do(Configure(world.platform).commit_config, step)
    assert world.state.components["store"].config["cache-size"] == "128mb"
    assert world.object("Component", "books-store")["spec"]["config"]["cache-size"] == "128mb"
    assert (await world.load()).drift == []


# Sync: files and tools, without an operation on parameters


async def synced(world: World) -> int:
    step = ComponentStep(world.target(OperationType.REPAIR), "store")
    return int((await world.do(SyncNodes(world.platform).sync_nodes, step)).changed)


async def test_agents_get_their_files_once(world: World) -> None:
    assert await synced(world) == 2
    assert world.agents.called("push") == NODES
    for node in NODES:
        document = json.loads(world.object("ConfigMap", node)["data"]["node.json"])
        world.agents.revisions[node] = document["revision"]
    assert await synced(world) == 0
    assert len(world.agents.called("push")) == 2


async def test_a_file_that_somebody_edited_is_put_back_in_cluster_and_agent(world: World) -> None:
    await synced(world)
    live = world.object("ConfigMap", NODES[0])
    before = live["data"][FILE]
    world.cluster.put({**live, "data": {**live["data"], FILE: "spoiled"}})
    await synced(world)
    assert file(world, NODES[0]) == before


async def test_an_engine_that_somebody_set_otherwise_gets_its_parameters_back(world: World) -> None:
    for node in NODES:
        world.agents.revisions[node] = 2**40
        live = world.object("ConfigMap", node)
        told = note(world, node)
        annotation = Effective(told.dynamic, told.restart, {"cache-size": "64mb"}).annotation()
        annotations = {**live["metadata"]["annotations"], "middleware.io/effective": annotation}
        world.cluster.put({**live, "metadata": {**live["metadata"], "annotations": annotations}})
    world.agents.tools["readConfig"] = {"cache-size": "1mb"}
    assert await synced(world) == 2
    assert world.agents.calls[-1][2] == {"cache-size": "64mb"}


async def test_an_agent_that_refuses_its_files_is_told_and_tried_again(world: World) -> None:
    world.agents.refuses[NODES[0]] = "no space left"
    with pytest.raises(ApplicationError, match="books-store-g-0 does not take its files: no space left") as error:
        await synced(world)
    assert not error.value.non_retryable
    assert "PushRefused: books-store-g-0: no space left" in world.events()


async def test_an_engine_is_not_said_to_differ_from_what_it_was_not_given(world: World) -> None:
    """A Reconfigure with a restart was ended, and a Repair put the former files back: the engine ran with the new
    threads, and was never restarted with the former ones, but was said to differ from them."""
    world.edit(components=config(threads=4))
    world.agents.unreachable.add(NODES[1])
    live, told = world.object("ConfigMap", NODES[1]), note(world, NODES[1])
    annotations = {**live["metadata"]["annotations"], "middleware.io/effective": replace(told, restart="").annotation()}
    world.cluster.put({**live, "metadata": {**live["metadata"], "annotations": annotations}})
    world.agents.tools["readConfig"] = {"cache-size": "64mb", "threads": "4"}
    world.edit(components=config())
    await synced(world)
    assert (note(world, NODES[1]).restart, note(world, NODES[1]).differs) == ("", {})
    assert (await world.load()).operation == OperationType.RECONFIGURE, "it is restarted by that, and then it counts"


async def test_an_engine_whose_pod_was_made_anew_since_is_asked_again_before_it_is_said_to_differ(world: World) -> None:
    world.edit(components=config(threads=4))
    world.agents.tools["readConfig"] = {"cache-size": "64mb", "threads": "2"}
    for node in NODES:
        await configure(world, node)
    assert note(world, NODES[1]).differs == {"threads": ["4", "2"]}
    world.agents.tools["readConfig"] = {"cache-size": "64mb", "threads": "4"}
    step = ComponentStep(world.target(OperationType.RECONFIGURE), "store")
    assert (await world.do(Configure(world.platform).commit_config, step)).differs == []
    assert note(world, NODES[1]).differs == {}


async def test_one_that_is_said_to_differ_is_asked_at_every_look(world: World) -> None:
    """Not only every five minutes: it may run with what was asked by now."""
    world.edit(components=config(threads=4))
    world.agents.tools["readConfig"] = {"cache-size": "64mb", "threads": "2"}
    for node in NODES:
        await configure(world, node)
    await world.do(
        Configure(world.platform).commit_config, ComponentStep(world.target(OperationType.RECONFIGURE), "store")
    )
    live = world.object("App", "books")
    differs = {"type": "ParametersInEffect", "status": "False", "reason": "ParametersDiffer", "message": "x"}
    differs["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    conditions = [*live["status"].get("conditions", []), differs]
    world.cluster.put({**live, "status": {**live["status"], "conditions": conditions}})
    assert (await world.load()).drift == []
    world.agents.tools["readConfig"] = {"cache-size": "64mb", "threads": "4"}
    assert (await world.load()).drift, (await world.load()).refusal
    await synced(world)
    assert note(world, NODES[0]).differs == {}
    assert (await world.load()).drift == []


async def test_without_a_note_the_engine_itself_says_whether_it_lacks_a_restart(world: World) -> None:
    """Somebody had deleted the ConfigMap in mid-Reconfigure, and its note went with it."""
    world.edit(components=config(threads=4))
    live = world.object("ConfigMap", NODES[1])
    world.cluster.put({**live, "metadata": {**live["metadata"], "annotations": {}}})
    world.agents.tools["readConfig"] = {"cache-size": "64mb", "threads": "2"}
    await configure(world, NODES[1])
    assert world.agents.called("restart") == [NODES[1]]


# Parameters with an order

ORDERED = """
connections: {schema: {type: integer}, default: 100, order: {raise: replicasFirst, lower: primaryFirst}}
workers: {schema: {type: integer}, default: 8, order: {raise: replicasFirst, lower: primaryFirst}}
"""


@pytest.fixture
async def three(virtual_time: None) -> World:
    """Node 1 is the primary."""
    bundle = shelf(parameters_yaml=PARAMETERS + ORDERED)
    world = await World(bundle, runtimeVersion="1", components=store(replicas=3)).deployed()
    world.roles(store_1="primary")
    return world


def three_with(**values: object) -> list[dict[str, object]]:
    return [{**store(replicas=3)[0], "config": values}]


async def names(world: World) -> list[str]:
    (plan,) = (await planned(world)).components
    assert plan.ordered
    return [node.name[-1] for node in plan.nodes]


async def in_turn(world: World, node: str) -> None:
    step = NodeStep(world.target(OperationType.RECONFIGURE), "store", "g", node)
    await world.do(Configure(world.platform).configure_node, ConfigureStep(step, ordered=True))


async def test_what_rises_goes_to_the_replicas_first_and_what_falls_to_the_primary(three: World) -> None:
    """A standby with fewer connections than its primary does not start: "insufficient parameter settings"."""
    three.edit(components=three_with(connections=150))
    assert await names(three) == ["0", "2", "1"]
    three.edit(components=three_with(connections=60))
    assert await names(three) == ["1", "0", "2"]
    three.edit(components=three_with(threads=4))
    assert not (await planned(three)).components[0].ordered


async def test_an_operation_goes_on_by_what_the_engines_run_with(three: World) -> None:
    """A rise was begun and is taken back: who has it already is above its primary, and falls after it."""
    three.agents.tools["readConfig"] = {"connections": "150"}
    three.edit(components=three_with(connections=150))
    await in_turn(three, "books-store-g-0")
    three.edit(components=three_with(connections=60))
    assert await names(three) == ["1", "0", "2"]
    three.edit(components=three_with())
    assert await names(three) == ["0"]


async def test_a_primary_that_moved_meanwhile_ends_the_operation(three: World) -> None:
    three.edit(components=three_with(connections=60))
    await in_turn(three, "books-store-g-1")
    three.roles(store_2="primary")
    with pytest.raises(ApplicationError, match="books-store-g-2 gets its parameters first") as anew:
        await in_turn(three, "books-store-g-0")
    assert anew.value.type == ErrorType.SPEC_CHANGED
    assert await names(three) == ["2", "0"]


async def test_a_rise_and_a_fall_at_once_are_two_operations(three: World) -> None:
    three.edit(components=three_with(connections=150, workers=4))
    for changed, order in ((["connections"], ["0", "2", "1"]), (["workers"], ["1", "0", "2"])):
        assert (await three.load()).operation == OperationType.RECONFIGURE
        assert await names(three) == order
        assert (await planned(three)).components[0].changed == changed
        for node in order:
            await in_turn(three, f"books-store-g-{node}")
        target = three.target(OperationType.RECONFIGURE)
        await three.do(Configure(three.platform).commit_config, ComponentStep(target, "store"))
    snapshot = await three.load()
    assert (snapshot.operation, snapshot.drift) == ("", [])


async def test_what_an_engine_runs_with_otherwise_is_told_and_noted(three: World) -> None:
    """It went on with the former value, and the operation said that every node runs with the new one."""
    three.agents.tools["readConfig"] = {"connections": "100"}
    three.edit(components=three_with(connections=60))
    for node in await names(three):
        await in_turn(three, f"books-store-g-{node}")
    target = three.target(OperationType.RECONFIGURE)
    committed = await three.do(Configure(three.platform).commit_config, ComponentStep(target, "store"))
    assert [str(each) for each in committed.differs] == [
        f"books-store-g-{n} runs with connections 100, 60 was asked for" for n in range(3)
    ]
    assert note(three, "books-store-g-0").differs == {"connections": ["60", "100"]}
    assert any(event.startswith("ParametersDiffer: store: books-store-g-0 runs with") for event in three.events())


# The engine's own check beforehand

VALIDATES = "validateConfig: {steps: [{run: {argv: [shelf, check, \"{{ arg['/middleware/conf/shelf.conf'] }}\"]}}]}\n"
CHECKED = shelf(tools_yaml=with_tools(VALIDATES))


async def test_an_engine_that_refuses_the_new_files_ends_the_operation_before_anything_is_touched(
    virtual_time: None,
) -> None:
    world = await runs(CHECKED)
    files = {node: file(world, node) for node in NODES}
    world.edit(components=config(threads=4))
    world.agents.refuses[NODES[1]] = "tool validateConfig, step 1: shelf: bad threads"
    with pytest.raises(
        ApplicationError, match="books-store-g-1: tool validateConfig, step 1: shelf: bad threads"
    ) as error:
        await planned(world)
    assert (error.value.type, error.value.non_retryable) == (ErrorType.ENGINE_REFUSED, True)
    assert "threads 4" in world.agents.asked[NODES[1]][FILE]
    assert {node: file(world, node) for node in NODES} == files
    assert (world.agents.called("push"), world.agents.called("restart")) == ([], [])


async def test_one_node_that_can_be_asked_is_enough(virtual_time: None) -> None:
    world = await runs(CHECKED)
    world.edit(components=config(threads=4))
    world.agents.unreachable.add(NODES[1])
    assert [node.name for node in (await planned(world)).components[0].nodes] == [NODES[1], NODES[0]]
    assert world.agents.called("validateConfig") == [NODES[0]]


async def test_where_no_node_can_be_asked_the_operation_goes_on_and_says_so(virtual_time: None) -> None:
    world = await runs(CHECKED)
    world.edit(components=config(threads=4))
    world.agents.unreachable |= set(NODES)
    assert (await planned(world)).components
    assert any(event.startswith("ConfigNotValidated: store: no node could be asked") for event in world.events())


async def test_what_is_put_back_is_not_asked_about(virtual_time: None) -> None:
    world = await runs(CHECKED)
    world.edit(components=config(threads=4))
    await configure(world, NODES[1])
    target = replace(world.target(OperationType.RECONFIGURE), stage=OperationType.REPAIR)
    plans = await world.do(Configure(world.platform).plan_config, target)
    assert [node.name for node in plans.components[0].nodes] == [NODES[1]]
    assert world.agents.called("validateConfig") == []
