"""Passwords of engines that run: where the change stands is in the Secret, and every node hears of each stage."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.cluster.state import update_members
from activities.config.rotate import Rotate
from activities.reconcile.apply_group import ApplyGroup
from activities.reconcile.finish import Record
from activities.reconcile.prepare import Prepare
from activities.reconcile.scale import Scale
from api.operations import OperationType
from api.rotation import AdvanceRequest, CredentialsStep, Overlap, RotationRequest, RotationStage
from api.steps import ComponentStep, ErrorType, GroupStep, NodeStep, RollNode, Target
from proto import agent_pb2
from render.desired.state_edits import deleting
from render.plugin.bundle import PluginBundle
from tests.unit.activities.support.cluster import NAME, NAMESPACE, World
from tests.unit.render.support import DEFINITION, shelf, store, with_tools

SECRET = f"{NAME}-credentials"
STORES = [f"{NAME}-store-g-{number}" for number in (0, 1)]
HEARD = ("accept", "use", "retire")
ROTATE = OperationType.ROTATE_CREDENTIALS
SAYS = 'steps: [{tcp: {send: "pass {{ secret.password | quoted }}"}, as: said, expect: said == "ok"}]'
CHANGES = "\n".join(f"{tool}: {{{SAYS}}}" for tool in ("acceptCredentials", "useCredentials", "retireCredentials"))


def rotating() -> PluginBundle:
    return shelf(tools_yaml=with_tools(CHANGES))


@pytest.fixture
async def world(virtual_time: None) -> World:
    made = await World(rotating(), components=store()).deployed()
    for tool in ("acceptCredentials", "useCredentials", "retireCredentials", "ready"):
        made.agents.tools[tool] = {}
    return made


def held(world: World) -> dict[str, str]:
    data = world.object("Secret", SECRET)["data"]
    return {key: base64.b64decode(text).decode() for key, text in data.items()}


def write(world: World, **texts: str | None) -> None:
    """As somebody edits the Secret; ``__`` stands for a dot."""
    live = world.object("Secret", SECRET)
    data = dict(live["data"])
    for name, text in texts.items():
        key = name.replace("__", ".")
        data.pop(key, None)
        if text is not None:
            data[key] = base64.b64encode(text.encode()).decode()
    world.cluster.put({**live, "data": data})


def target(world: World) -> Target:
    return world.target(ROTATE)


async def begin(world: World, *, generate: bool = True, overlap: int = 60) -> RotationStage:
    request = RotationRequest(target(world), generate, overlap)
    found: RotationStage = await world.do(Rotate(world.platform).begin_rotation, request)
    return found


async def advance(world: World, stage: str, *, back: bool = False) -> RotationStage:
    request = AdvanceRequest(target(world), stage, back)
    found: RotationStage = await world.do(Rotate(world.platform).advance_rotation, request)
    return found


async def give(world: World, node: RollNode, stage: str) -> None:
    of = NodeStep(target(world), node.component, node.group, node.name, node.pod)
    await world.do(Rotate(world.platform).give_credentials, CredentialsStep(of, stage))


async def refusal(world: World, **how: Any) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await begin(world, **how)
    return caught.value


async def test_what_the_engines_are_given_is_noted_when_the_passwords_are_made(world: World) -> None:
    assert held(world)["password"] == held(world)["password.used"] != ""


async def test_each_stage_reaches_its_nodes_and_the_last_leaves_the_new_password_alone(world: World) -> None:
    old, stage = held(world)["password"], await begin(world)
    reached = []
    while stage.stage != "done":
        for node in stage.nodes:
            await give(world, node, stage.stage)
        reached.append((stage.stage, len(stage.nodes)))
        stage = await advance(world, stage.stage)
    # Every node hears which one is used from now on: also that of which only the agent logs in.
    assert reached == [("accept", 2), ("use", 5), ("retire", 2)]
    calls = [name for node, name, _ in world.agents.calls if node == STORES[0] and "redentials" in name]
    assert calls == ["acceptCredentials", "useCredentials", "retireCredentials"]
    after = held(world)
    assert after.pop(".rotation") == "done 4"
    assert after == {"password": after["password"], "password.used": after["password"]}
    assert after["password"] != old
    assert "former-valid" not in json.dumps(world.object("Secret", SECRET)["metadata"])


async def test_a_step_that_is_repeated_changes_nothing(world: World) -> None:
    await begin(world)
    before = held(world)
    assert (await begin(world)).stage == "accept"
    assert held(world) == before, "no other password is made"
    await advance(world, "accept")
    before = held(world)
    assert (await advance(world, "accept")).stage == "use", "its answer got lost"
    assert held(world) == before


async def test_both_are_valid_for_as_long_as_was_asked_for(world: World) -> None:
    await begin(world)
    await advance(world, "accept")
    both: Overlap = await world.do(Rotate(world.platform).keep_both, target(world))
    assert 55 < both.seconds <= 60
    assert any("both passwords are valid until" in event for event in world.events())


async def test_the_chosen_overlap_outlives_an_interruption_before_the_switch(world: World) -> None:
    await begin(world, overlap=3600)
    await begin(world, generate=False, overlap=300)  # as the planner begins it again
    await advance(world, "accept")
    both: Overlap = await world.do(Rotate(world.platform).keep_both, target(world))
    assert both.seconds > 3500


async def test_who_asks_for_it_again_before_the_switch_chooses_the_overlap_anew(world: World) -> None:
    await begin(world, overlap=300)
    await begin(world, overlap=3600)
    await advance(world, "accept")
    both: Overlap = await world.do(Rotate(world.platform).keep_both, target(world))
    assert both.seconds > 3500


@pytest.mark.parametrize(("written", "seconds"), [(None, 300), ("soon", 300), ("9" * 5000, 300), ("604801", 604800)])
async def test_an_overlap_that_somebody_has_spoilt_locks_nobody_out(
    world: World, written: str | None, seconds: int
) -> None:
    await begin(world, overlap=0)
    live = world.object("Secret", SECRET)
    live["metadata"]["annotations"].pop("middleware.io/former-valid-for", None)
    if written is not None:
        live["metadata"]["annotations"]["middleware.io/former-valid-for"] = written
    world.cluster.put(live)
    await advance(world, "accept")
    both: Overlap = await world.do(Rotate(world.platform).keep_both, target(world))
    assert seconds - 5 < both.seconds <= seconds


async def test_a_node_is_told_only_once_its_pod_has_the_secret(world: World) -> None:
    stage = await begin(world)
    node = stage.nodes[0]
    assert world.pod(node.name)["metadata"]["annotations"]["middleware.io/credentials"] == "accept 1"
    world.agents.mounted[node.name] = "before"
    patch = world.cluster.patch

    async def patched(resource: Any, name: str, *rest: Any, **how: Any) -> Any:
        if resource.kind == "Pod":  # the kubelet looks at its Secrets, as the Pod has changed
            world.agents.mounted.clear()
        return await patch(resource, name, *rest, **how)

    world.cluster.patch = patched  # type: ignore[method-assign]
    await give(world, node, "accept")
    assert world.agents.called("acceptCredentials") == [node.name]


async def scaling(world: World, replicas: int) -> None:
    """A Scale has begun, and was interrupted before the nodes it is about are normal, or gone."""
    world.edit(components=store(replicas=replicas))
    of = world.target(OperationType.SCALE)
    await world.do(Prepare(world.platform).prepare, of)
    await world.do(Prepare(world.platform).services, of)
    await world.do(Scale(world.platform).plan_scale, of)


async def removing(world: World) -> str:
    """A Scale was interrupted once it had marked a node, which runs still."""
    await scaling(world, 3)
    step = GroupStep(world.target(OperationType.SCALE), "store", "g")
    await world.do(ApplyGroup(world.platform).apply_group, step)
    await world.do(Record(world.platform).record, ComponentStep(step.target, "store"))
    await world.do(Record(world.platform).finish, step.target)
    await scaling(world, 2)
    leaving = f"{NAME}-store-g-2"
    await update_members(world.platform, NAMESPACE, f"{NAME}-store-g", lambda before: deleting(before, {leaving}))
    assert world.nodes("deleting") == [leaving]
    return leaving


async def told(world: World) -> dict[str, list[str]]:
    """By stage, who hears of it."""
    stage, found = await begin(world), {}
    while stage.stage != "done":
        found[stage.stage] = [node.name for node in stage.nodes if node.component == "store"]
        for node in stage.nodes:
            await give(world, node, stage.stage)
        stage = await advance(world, stage.stage)
    return found


async def test_a_node_that_is_being_added_hears_of_each_stage(world: World) -> None:
    await scaling(world, 3)
    assert world.nodes("adding") == [added := f"{NAME}-store-g-2"]
    assert added not in [node.name for node in (await begin(world)).nodes], "a Pod mounts what there is when it starts"
    step = GroupStep(world.target(OperationType.SCALE), "store", "g")
    await world.do(ApplyGroup(world.platform).apply_group, step)
    assert world.nodes("adding") == [added]
    assert await told(world) == {stage: [*STORES, added] for stage in HEARD}


async def test_a_node_that_is_being_removed_hears_of_each_stage(world: World) -> None:
    leaving = await removing(world)
    assert await told(world) == {stage: [*STORES, leaving] for stage in HEARD}


async def test_a_node_that_is_gone_before_its_turn_holds_up_nobody(world: World) -> None:
    leaving = await removing(world)
    stage = await begin(world)
    world.cluster.remove(world.pod(leaving))
    for node in stage.nodes:
        await asyncio.wait_for(give(world, node, "accept"), 60)
    assert world.agents.called("acceptCredentials") == STORES


def unable(world: World, node: str, why: str) -> dict[str, Any]:
    """Its Pod as it never comes up."""
    pod = world.pod(node)
    waiting = {"name": "engine", "image": "shelf:1", "state": {"waiting": {"reason": why, "message": "no"}}}
    pod["status"] = {"phase": "Pending", "containerStatuses": [waiting]}
    if why == "Unschedulable":
        condition = {"type": "PodScheduled", "status": "False", "message": "no machine has room"}
        pod["status"] = {"phase": "Pending", "conditions": [condition]}
    else:
        pod["spec"]["nodeName"] = "m1"
    return pod


@pytest.mark.parametrize("why", ["ImagePullBackOff", "ContainerCreating", "Unschedulable"])
async def test_a_member_of_which_the_pod_never_comes_up_keeps_no_other_from_the_new_password(
    world: World, why: str
) -> None:
    """It reads what there is when it starts: one that may have mounted what there was before is made anew for that."""
    stage, made = await begin(world), []
    while stage.stage != "done":
        made.append(unable(world, STORES[1], why)["metadata"]["uid"])
        for node in stage.nodes:
            await asyncio.wait_for(give(world, node, stage.stage), 400)
        again = world.pod(STORES[1])["metadata"]["uid"]
        assert (again == made[-1]) == (why == "Unschedulable")
        stage = await advance(world, stage.stage)
    assert {STORES[0]} == {node for node, name, _ in world.agents.calls if name == "retireCredentials"}
    assert any(f"{STORES[1]} does not run" in event for event in world.events())
    assert "Waiting" not in str(world.object("App", NAME)["status"]["operation"])


async def test_nor_does_one_whose_deployment_somebody_has_removed(world: World) -> None:
    stage = await begin(world)
    world.lose("Deployment", STORES[1])
    world.cluster.remove(world.pod(STORES[1]))
    for node in stage.nodes:
        await asyncio.wait_for(give(world, node, "accept"), 400)
    assert world.agents.called("acceptCredentials") == [STORES[0]]


async def test_one_that_has_run_and_ends_again_and_again_is_an_operators_to_decide(world: World) -> None:
    """Its engine may know the former password only."""
    stage = await begin(world)
    pod = world.pod(STORES[1])
    ended = {"name": "engine", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3}
    pod["status"] |= {"conditions": [], "containerStatuses": [{**ended, "lastState": {"terminated": {"exitCode": 1}}}]}
    with pytest.raises(ApplicationError, match="keeps ending") as caught:
        await give(world, next(n for n in stage.nodes if n.name == STORES[1]), "accept")
    assert caught.value.type == ErrorType.NODE_STUCK


@pytest.mark.parametrize("at", ["accept", "use", "retire"])
async def test_a_plugin_that_brings_another_credential_in_mid_rotation_loses_nothing(
    virtual_time: None, at: str
) -> None:
    more = DEFINITION.replace("[{name: password}]", "[{name: password}, {name: admin}]").replace("1.0.0", "1.1.0")
    newer = shelf(plugin_yaml=more, tools_yaml=with_tools(CHANGES))
    world = await World(rotating(), newer, components=store()).deployed()
    for tool in ("acceptCredentials", "useCredentials", "retireCredentials", "ready"):
        world.agents.tools[tool] = {}
    old, stage = held(world)["password"], await begin(world)
    while stage.stage != at:
        stage = await advance(world, stage.stage)
    world.edit(plugin={"name": "shelf", "version": "1.1.0"})
    await world.carry_out(OperationType.UPGRADE_PLUGIN)
    admin = held(world)["admin"]
    assert (await world.load()).operation == ROTATE
    stage = await begin(world, generate=False)
    assert stage.stage == at
    while stage.stage != "done":
        for node in stage.nodes:
            await give(world, node, stage.stage)
        stage = await advance(world, stage.stage)
    after = held(world)
    assert after["password"] == after["password.used"] != old
    assert after["admin"] == admin
    assert (await world.load()).operation == ""


async def test_an_engine_that_takes_them_at_a_start_only_is_restarted(world: World) -> None:
    stage = await begin(world)
    stage = await advance(world, stage.stage)
    world.agents.answers[STORES[1], "useCredentials"] = {"restart": "true"}
    for node in STORES:
        world.agents.say(node, "primary" if node == STORES[0] else "replica")
    for each in (node for node in stage.nodes if node.component == "store"):
        await give(world, each, "use")
    assert world.agents.called("restart") == [STORES[1]]


async def test_an_engine_that_refuses_is_told_of_with_its_words(world: World) -> None:
    stage = await begin(world)
    world.agents.answers[STORES[0], "acceptCredentials"] = "tool acceptCredentials: answered -ERR no"
    with pytest.raises(ApplicationError, match="answered -ERR no") as caught:
        await give(world, next(n for n in stage.nodes if n.name == STORES[0]), "accept")
    assert caught.value.type == ErrorType.TOOL_REFUSED


async def test_at_a_stage_that_is_not_the_secrets_any_more_the_operation_ends(world: World) -> None:
    stage = await begin(world)
    write(world, __rotation="use 9")
    with pytest.raises(ApplicationError) as caught:
        await give(world, stage.nodes[0], "accept")
    assert caught.value.type == ErrorType.SPEC_CHANGED


async def test_the_way_back_leaves_the_secret_as_it_was(world: World) -> None:
    before = held(world)
    await begin(world)
    await advance(world, "accept")
    assert (await advance(world, "", back=True)).stage == "return"
    assert (await advance(world, "return")).stage == "withdraw"
    assert (await advance(world, "withdraw")).stage == "done"
    assert {key: text for key, text in held(world).items() if key != ".rotation"} == before


async def test_an_edit_is_what_the_planner_is_told_of(world: World) -> None:
    assert (await world.load()).operation == ""
    write(world, password="somebodys-own")
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.credentials) == (ROTATE, "")
    assert "somebodys-own" not in json.dumps([snapshot.change, *snapshot.drift])
    await begin(world, generate=False)
    assert held(world)["password.next"] == "somebodys-own"
    write(world, password=held(world)["password.used"])
    assert (await world.load()).operation == ROTATE, "half changed, whatever the Secret says by now"


async def test_a_password_that_nobody_could_write_is_refused_and_nothing_is_touched(world: World) -> None:
    write(world, password="two\nlines")
    snapshot = await world.load()
    assert (snapshot.operation, snapshot.refusal) == ("", "")
    assert "has a line break" in snapshot.credentials
    assert "password.used" in snapshot.credentials
    before = held(world)
    failed = await refusal(world)
    assert (failed.type, held(world)) == (ErrorType.CREDENTIALS_KEPT, before)


async def test_a_password_that_is_no_text_is_refused_and_told(world: World) -> None:
    live = world.object("Secret", SECRET)
    world.cluster.put({**live, "data": {**live["data"], "password": base64.b64encode(b"\xff\xfe").decode()}})
    snapshot = await world.load()
    assert snapshot.operation == ""
    assert "password in Secret books-credentials is not brought about" in snapshot.credentials
    assert "is not UTF-8 text" in snapshot.credentials
    assert "is not UTF-8 text" in (await refusal(world)).message


async def test_a_plugin_that_cannot_change_them_says_so(virtual_time: None) -> None:
    world = await World().deployed()
    assert "has no tool useCredentials" in (await refusal(world)).message
    write(world, password="another")
    assert "has no tool useCredentials" in (await world.load()).credentials


async def test_a_plugin_without_credentials_says_so(virtual_time: None) -> None:
    definition = DEFINITION.replace("  credentials: [{name: password}]\n", "")
    world = await World(shelf(plugin_yaml=definition)).deployed()
    assert (await refusal(world)).message == "plugin shelf 1.0.0 has no credentials"


async def test_a_secret_made_anew_that_opens_nothing_is_not_taken_for_what_is_in_use(world: World) -> None:
    write(world, password="another", password__used=None)
    assert (await world.load()).operation == "", "what the engines run with is not known"
    for node in STORES:
        world.agents.reports[node] = agent_pb2.RoleReport(node=node, credentials_refused=True)
    assert "does not accept what the App's Secret holds" in (await refusal(world)).message
    world.agents.reports.clear()
    assert (await begin(world)).stage == "accept", "and else it is"
    assert held(world)["password.used"] == "another"


async def test_an_overlap_without_sense_names_what_would_be_right(world: World) -> None:
    assert "write 0 to 604800" in (await refusal(world, overlap=-1)).message


@pytest.mark.parametrize("stage", ["accept", "use", "retire", "return", "withdraw"])
async def test_half_changed_passwords_of_which_nobody_knows_the_one_in_use_are_told_and_left_alone(
    world: World, stage: str
) -> None:
    nodes = (await begin(world)).nodes
    write(world, password__used=None, __rotation=f"{stage} 7")
    before = held(world)
    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: begin(world),
        lambda: advance(world, stage),
        lambda: advance(world, "", back=True),
        lambda: give(world, nodes[0], stage),
    ]
    for step in steps:
        with pytest.raises(ApplicationError, match=r"has no password\.used") as caught:
            await step()
        assert caught.value.type == ErrorType.CREDENTIALS_LOST
        assert f"stage {stage}" in caught.value.message
    assert held(world) == before
    assert "acceptCredentials" not in [call for _, call, _ in world.agents.calls]
    write(world, password__used=before["password"])
    assert (await begin(world)).stage == stage, "it goes on once it is put back"


async def test_a_lost_password_comes_back_from_what_is_in_use(world: World) -> None:
    before = held(world)
    write(world, password=None)
    await world.carry_out(OperationType.REPAIR)
    assert held(world) == before
    assert (await world.load()).operation == ""


async def test_a_secret_that_is_gone_is_not_made_anew(world: World) -> None:
    world.cluster.remove(world.object("Secret", SECRET))
    failed = await refusal(world)
    assert failed.type == ErrorType.CREDENTIALS_LOST
    assert NAMESPACE in failed.message
