"""Each day-2 operation runs its steps in the order that keeps the App serving."""

from __future__ import annotations

import pytest
from temporalio.client import Client

from api.reconfigure import ConfigPlan, ConfigPlans, ParameterDiffers
from api.steps import ComponentPlan, GroupPlan, RollNode, ScalePlan
from tests.workflows.cluster import FakeApp, FakeCluster
from tests.workflows.running import notify, operation, say, start_by_hand
from tests.workflows.test_by_hand import failure

NODES = [RollNode(name, "server", "data") for name in ("a", "b", "c")]


def changed(cluster: FakeCluster, name: str, kind: str) -> FakeApp:
    return cluster.add(name, deployed_hash="zero", operation=kind, change="what differs")


async def test_the_writable_node_gives_its_role_away_before_it_is_rolled(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "up", "Upgrade")
    app.rolls, app.writable = ["a", "b"], "b"
    await notify(client, "up")
    await cluster.until(lambda: "up/finish" in cluster.log)
    steps = [s for s in cluster.steps("up") if s.split(":")[0] in ("rolled", "switchover")]
    assert steps == ["rolled:a", "switchover:b", "rolled:b"]


async def test_what_the_plugin_does_after_the_last_node_is_done_once(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "rolled", "Upgrade")
    app.rolls, app.after = ["a", "b"], ["server"]
    await notify(client, "rolled")
    await cluster.until(lambda: "rolled/finish" in cluster.log)
    steps = [step for step in cluster.steps("rolled") if step.startswith(("rolled", "afterRoll"))]
    assert steps == ["rolled:a", "rolled:b", "afterRoll:server"]


async def test_what_fails_after_the_last_node_can_be_skipped(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "leaders", "Reconfigure")
    app.config = ConfigPlans([ConfigPlan("server", NODES[:2], restart=True, changed=["threads"], after=True)])
    app.failing = {"afterRoll:server": "a: no leader could be moved"}
    await notify(client, "leaders")
    await cluster.until(lambda: any("no leader could be moved" in state.message for state in app.states))
    await say(client, "leaders", "skip")
    await cluster.until(lambda: "leaders/finish" in cluster.log)
    steps = [step for step in cluster.steps("leaders") if step.startswith(("configureNode", "afterRoll", "commit"))]
    assert steps == ["configureNode:a", "configureNode:b", "afterRoll:server", "commitConfig:server"]


async def test_nodes_come_before_others_go_and_everybody_hears_of_it(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "scale", "Scale")
    app.writable = "b"
    app.scale = ScalePlan(
        [ComponentPlan("server", [GroupPlan("data", ["d"])])], [RollNode("b", "server", "data")], ["server", "sentinel"]
    )
    await notify(client, "scale")
    await cluster.until(lambda: "scale/finish" in cluster.log)
    steps = cluster.steps("scale")
    order = [
        "joinNodes:server",
        "switchover:b",
        "leaveNode:b",
        "removeNode:b",
        "forgetNode:b",
        "discardNode:b",
        "finish",
    ]
    assert [step for step in steps if step in order] == order
    between = steps[steps.index("removeNode:b") : steps.index("forgetNode:b")]
    assert {"syncNodes:server", "syncNodes:sentinel"} <= set(between)


async def test_nodes_that_have_joined_are_counted_by_everybody(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "more", "Scale")
    app.scale = ScalePlan([ComponentPlan("server", [GroupPlan("data", ["d"])])], [], ["server", "sentinel"])
    await notify(client, "more")
    await cluster.until(lambda: "more/finish" in cluster.log)
    steps = cluster.steps("more")
    after = steps[steps.index("record:server") :]
    assert {"syncNodes:server", "syncNodes:sentinel"} <= set(after)


async def test_a_node_that_only_follows_goes_without_a_move(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "fewer", "Scale")
    app.scale, app.writable = ScalePlan([], [RollNode("b", "server", "data")], ["server"]), "a"
    await notify(client, "fewer")
    await cluster.until(lambda: "fewer/finish" in cluster.log)
    steps = cluster.steps("fewer")
    assert "removeNode:b" in steps
    assert not [step for step in steps if step.startswith("switchover")]


async def test_one_node_is_configured_first_then_the_rest(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "config", "Reconfigure")
    app.config = ConfigPlans([ConfigPlan("server", NODES, changed=["maxmemory"])])
    await notify(client, "config")
    await cluster.until(lambda: "config/finish" in cluster.log)
    steps = [s for s in cluster.steps("config") if s.startswith(("configureNode", "commitConfig"))]
    assert steps[0] == "configureNode:a"
    assert set(steps[1:3]) == {"configureNode:b", "configureNode:c"}
    assert steps[3:] == ["commitConfig:server"]


async def test_a_refused_parameter_is_put_back_and_not_tried_again(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "unset", "Reconfigure")
    app.config = ConfigPlans([ConfigPlan("server", NODES, changed=["save"])])
    app.failing = {"configureNode:b": "b: the engine answered -ERR"}
    await notify(client, "unset")
    await cluster.until(lambda: app.reports)
    steps = cluster.steps("unset")
    assert {"configureNode:a:back", "configureNode:b:back"} <= set(steps)
    assert "commitConfig:server" not in steps
    assert "-ERR" in app.reports[-1].message
    assert "put back on" in app.reports[-1].message
    assert steps.count("planConfig") == 1


async def test_what_an_engine_refuses_beforehand_touches_no_node(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "unfit", "Reconfigure")
    app.config = ConfigPlans([ConfigPlan("server", NODES, changed=["save"])])
    app.unfit = "a: tool validateConfig: unknown variable 'sav'"
    await notify(client, "unfit")
    await cluster.until(lambda: app.reports)
    assert [step for step in cluster.steps("unfit") if "onfig" in step] == ["planConfig"]
    assert "unknown variable 'sav'; no engine was touched" in app.reports[-1].message


@pytest.mark.parametrize("restart", [False, True])
async def test_a_node_that_cannot_be_put_back_keeps_no_other_from_it(
    client: Client, cluster: FakeCluster, restart: bool
) -> None:
    name = f"dead-{restart}".lower()
    app = changed(cluster, name, "Reconfigure")
    app.config = ConfigPlans([ConfigPlan("server", NODES[:2], restart=restart, changed=["save"])])
    app.failing = {"configureNode:b": "b: -ERR", "configureNode:b:back": "b: its disk is full"}
    await notify(client, name)
    await cluster.until(lambda: app.reports)
    assert "b: -ERR; the former parameters were put back on a; not on b: its disk is full" in app.reports[-1].message


async def test_the_way_back_of_a_node_has_an_end(client: Client, cluster: FakeCluster) -> None:
    """An agent that cannot be reached is asked again and again otherwise."""
    app = changed(cluster, "bound", "Reconfigure")
    app.config = ConfigPlans([ConfigPlan("server", NODES, changed=["save"])])
    app.failing = {"configureNode:b": "b: -ERR"}
    await notify(client, "bound")
    await cluster.until(lambda: app.reports)
    history = await operation(client, "bound", "Reconfigure", 1).fetch_history()
    asked = [
        event.activity_task_scheduled_event_attributes.schedule_to_close_timeout.ToSeconds()
        for event in history.events
        if b": back" in event.user_metadata.summary.data
    ]
    assert asked == [300, 300, 300]


TWO = ConfigPlans(
    [
        ConfigPlan("server", NODES[:1], changed=["maxmemory"]),
        ConfigPlan("sentinel", [RollNode("s", "sentinel", "watch")], changed=["quorum"]),
    ]
)


async def test_a_refusal_says_which_component_has_changed_and_stays(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "two", "Reconfigure")
    app.config, app.failing = TWO, {"configureNode:s": "s: -ERR"}
    await notify(client, "two")
    await cluster.until(lambda: app.reports)
    assert "put back on s; server keeps its new maxmemory" in app.reports[-1].message
    assert "configureNode:a:back" not in cluster.steps("two")


async def test_an_abort_between_two_components_does_not_say_that_nothing_was_touched(
    client: Client, cluster: FakeCluster
) -> None:
    app = changed(cluster, "between", "Reconfigure")
    app.config, app.blocked = TWO, {"a"}
    await notify(client, "between")
    await cluster.until(lambda: "between/configureNode:a" in cluster.log)
    await say(client, "between", "pause")
    await cluster.change("between", blocked=set())
    await cluster.until(lambda: app.states)
    await say(client, "between", "abort")
    await cluster.until(lambda: app.reports)
    assert "aborted by an operator; server keeps its new maxmemory" in app.reports[-1].message


async def test_a_parameter_that_needs_a_restart_never_takes_two_nodes_down(
    client: Client, cluster: FakeCluster
) -> None:
    app = changed(cluster, "restarting", "Reconfigure")
    app.writable = "c"
    app.config = ConfigPlans([ConfigPlan("server", NODES, restart=True, changed=["databases"])])
    await notify(client, "restarting")
    await cluster.until(lambda: "restarting/finish" in cluster.log)
    steps = [s for s in cluster.steps("restarting") if s.startswith(("configureNode", "switchover"))]
    assert steps == ["configureNode:a", "configureNode:b", "switchover:c", "configureNode:c"]


async def test_parameters_with_an_order_restart_the_primary_in_its_place(client: Client, cluster: FakeCluster) -> None:
    """On a node with other values its role would leave it one that cannot follow."""
    app = changed(cluster, "turns", "Reconfigure")
    app.writable = "a"
    app.config = ConfigPlans([ConfigPlan("server", NODES, restart=True, changed=["connections"], ordered=True)])
    app.failing = {"configureNode:c": "c: -ERR"}
    await notify(client, "turns")
    await cluster.until(lambda: app.reports)
    steps = [s for s in cluster.steps("turns") if s.startswith(("configureNode", "switchover"))]
    there, back = ["a", "b", "c"], ["c:back", "b:back", "a:back"]
    assert steps == [f"configureNode:{node}" for node in [*there, *back]]


@pytest.mark.parametrize(
    ("changed_names", "differs", "message"),
    [
        (["save"], [], "every node runs with the new parameters (server: save)"),
        ([], [], "every node runs with the new parameters (server: the recorded ones, on a, b, c)"),
        (
            ["save"],
            [ParameterDiffers("b", "save", "1", "2")],
            "the parameters were given to every node (server: save), but b runs with save 2, 1 was asked for",
        ),
    ],
)
async def test_the_result_of_a_reconfigure_is_what_the_engines_say(
    client: Client, cluster: FakeCluster, changed_names: list[str], differs: list[ParameterDiffers], message: str
) -> None:
    name = f"says-{len(changed_names)}-{len(differs)}"
    app = changed(cluster, name, "Reconfigure")
    app.config = ConfigPlans([ConfigPlan("server", NODES, changed=changed_names)])
    app.differs = differs
    await notify(client, name)
    await cluster.until(lambda: f"{name}/finish" in cluster.log)
    result = await operation(client, name, "Reconfigure", 1).result()
    assert result["message"] == message  # type: ignore[index]


async def test_a_plugin_is_moved_without_rolling_anything(client: Client, cluster: FakeCluster) -> None:
    changed(cluster, "plugin", "UpgradePlugin")
    await notify(client, "plugin")
    await cluster.until(lambda: "plugin/finish" in cluster.log)
    steps = cluster.steps("plugin")
    assert {"syncNodes:server", "syncNodes:sentinel"} <= set(steps)
    assert not [step for step in steps if step.startswith(("rollNode", "applyGroup"))]


async def test_a_restart_by_hand_waits_for_what_the_spec_asks_for(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "busy", "Scale")
    app.rolls = ["a"]
    result = await (await start_by_hand(client, "busy", "Restart")).result()
    assert result.outcome == "completed"
    steps = cluster.steps("busy")
    assert steps.index("planScale") < steps.index("rolled:a")


async def test_a_restart_by_hand_moves_the_role_first_too(client: Client, cluster: FakeCluster) -> None:
    app = cluster.add("fresh", deployed_hash="one")
    app.rolls, app.writable = ["a", "b"], "b"
    await (await start_by_hand(client, "fresh", "Restart")).result()
    steps = [s for s in cluster.steps("fresh") if s.split(":")[0] in ("rolled", "switchover")]
    assert steps == ["rolled:a", "switchover:b", "rolled:b"]


async def test_a_restart_before_the_first_deploy_is_refused(client: Client, cluster: FakeCluster) -> None:
    cluster.add("young").blocked = {"server"}
    await notify(client, "young")
    await cluster.until(lambda: "young/waitReady:server" in cluster.log)
    handle = await start_by_hand(client, "young", "Switchover")
    await cluster.change("young", refusal="spec.topology: none", refusal_reason="InvalidSpec", spec_hash="two")
    await notify(client, "young")
    assert "spec.topology" in (await failure(handle)).message


async def test_a_switchover_where_nothing_is_writable_does_nothing(client: Client, cluster: FakeCluster) -> None:
    cluster.add("still", deployed_hash="one")
    result = await (await start_by_hand(client, "still", "Switchover")).result()
    assert result.outcome == "nothing to do"


async def test_a_newer_spec_is_planned_at_once_and_the_old_one_says_so(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "newer", "Upgrade")
    app.rolls, app.blocked = ["a", "b"], {"a"}
    await notify(client, "newer")
    await cluster.until(lambda: "newer/rollNode:a" in cluster.log)
    await cluster.change("newer", spec_hash="two", generation=2)
    await notify(client, "newer")
    await cluster.until(lambda: cluster.steps("newer").count("rollNode:a") == 2)
    await cluster.change("newer", blocked=set())
    await cluster.until(lambda: "newer/finish" in cluster.log)
    described = await operation(client, "newer", "Upgrade", 1).describe()
    assert described.status is not None
    assert described.status.name == "CANCELED"
    assert "newer spec" in (await described.memo())["ended"]
    assert (await operation(client, "newer", "Upgrade", 2).describe()).workflow_type == "Upgrade"


def leaving(cluster: FakeCluster, name: str) -> FakeApp:
    app = changed(cluster, name, "Scale")
    app.scale = ScalePlan([], [RollNode("b", "server", "data")], ["server"])
    app.failing = {"leaveNode:b": "b: no other broker for partition one-0"}
    return app


async def test_a_node_that_may_not_leave_stops_the_operation_and_nothing_of_it_is_touched(
    client: Client, cluster: FakeCluster
) -> None:
    """Its only copies were thrown away with its volume, and the Scale was called completed."""
    app = leaving(cluster, "only")
    await notify(client, "only")
    await cluster.until(lambda: app.states)
    said = "b: no other broker for partition one-0; skip removes b all the same, and what only b has is lost"
    assert (app.states[0].state, app.states[0].message) == ("stopped", said)
    assert not [step for step in cluster.steps("only") if step.startswith(("removeNode", "forgetNode", "discardNode"))]
    app.failing = {}
    await say(client, "only", "retry")
    await cluster.until(lambda: "only/finish" in cluster.log)
    order = ["leaveNode:b", "leaveNode:b", "removeNode:b", "forgetNode:b", "discardNode:b"]
    assert [step for step in cluster.steps("only") if step in order] == order


async def test_a_node_is_removed_without_having_left_only_on_an_operators_word(
    client: Client, cluster: FakeCluster
) -> None:
    app = leaving(cluster, "lossy")
    await notify(client, "lossy")
    await cluster.until(lambda: app.states)
    await say(client, "lossy", "skip")
    result = await operation(client, "lossy", "Scale", 1).result()
    assert result["message"] == "0 nodes added, 1 removed; b had not left"  # type: ignore[index]
    assert result["skipped"] == [], "nothing was left as it is"  # type: ignore[index]
    assert "lossy/discardNode:b" in cluster.log


async def test_an_abort_while_a_node_leaves_keeps_the_node(client: Client, cluster: FakeCluster) -> None:
    app = leaving(cluster, "staying")
    app.failing, app.blocked = {}, {"leave:b"}
    await notify(client, "staying")
    await cluster.until(lambda: "staying/leaveNode:b" in cluster.log)
    await say(client, "staying", "abort")
    await cluster.until(lambda: app.reports)
    assert "was aborted" in app.reports[-1].message
    assert "removeNode:b" not in cluster.steps("staying")


async def test_a_join_that_fails_waits_for_an_operator(client: Client, cluster: FakeCluster) -> None:
    app = changed(cluster, "joining", "Scale")
    app.scale = ScalePlan([ComponentPlan("server", [GroupPlan("data", ["d"])])], [], ["server"])
    app.failing = {"joinNodes:server": "d: nobody answers"}
    await notify(client, "joining")
    await cluster.until(lambda: app.states)
    assert (app.states[0].state, app.states[0].message) == ("stopped", "d: nobody answers")
    assert "record:server" not in cluster.steps("joining"), "it is not counted"
    app.failing = {}
    await say(client, "joining", "retry")
    await cluster.until(lambda: "joining/finish" in cluster.log)
