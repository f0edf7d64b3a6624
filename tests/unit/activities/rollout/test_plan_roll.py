"""Which nodes are given other Pods, and in which order: the App goes on serving meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from activities.agents.node_state import NodeState
from activities.app.observed import ObservedApp
from activities.dependencies import Platform
from activities.rollout.plan_roll import _roll_node, in_scope, ordered, outdated_nodes
from activities.rollout.reset_volume import cannot_read
from api.operations import Scope
from render.check.next_operation import Stale
from render.desired.app import DesiredApp, DesiredComponent, RecordedState
from render.desired.recorded_state import State
from render.desired.state_edits import adding, normal
from render.manifests.deployments import deployment_manifest
from render.plugin.bundle import PluginBundle
from tests.unit.render.support import DEFINITION, app, shelf, store, wanted

A, B = "books-store-a-", "books-store-b-"


def component(most: int = 1, other: int = 1) -> DesiredComponent:
    """Two groups of the component ``store``: ``a`` of three nodes, ``b`` of two."""
    groups = [
        {"name": "a", "replicas": 3, "rollingUpdate": {"maxUnavailable": most}},
        {"name": "b", "replicas": 2, "rollingUpdate": {"maxUnavailable": other}},
    ]
    return wanted(app(components=[{"name": "store", "groups": groups}])).component("store")


def state(node: str, role: str = "", *, ready: bool = True, pod: bool = True) -> NodeState:
    metadata = {"uid": f"pod-of-{node}", "labels": {"middleware.io/role": role} if role else {}}
    return NodeState(node, ready, "", {"metadata": metadata} if pod else None)


def order(of: DesiredComponent, roles: Mapping[str, str], *, down: frozenset[str] = frozenset()) -> list[list[str]]:
    states = {n.name: state(n.name, roles.get(n.name, "replica"), ready=n.name not in down) for n in of.nodes}
    return [[node.name for node in batch] for batch in ordered(of, of.nodes, states)]


def test_the_writable_node_comes_last_and_alone() -> None:
    batches = order(component(3, 3), {f"{A}0": "primary"})
    assert batches[-1] == [f"{A}0"]
    assert batches == [[f"{A}1"], [f"{A}2"], [f"{B}0", f"{B}1"], [f"{A}0"]]


def test_what_does_not_start_is_found_on_one_node_whatever_the_app_allows() -> None:
    of = wanted(app(components=store(replicas=5, rollingUpdate={"maxUnavailable": 3}))).component("store")
    assert [len(batch) for batch in order(of, {"books-store-g-0": "primary"})] == [1, 3, 1]


def test_one_at_a_time_where_nothing_else_is_said() -> None:
    batches = order(component(), {f"{B}0": "primary"})
    assert batches == [[f"{A}0"], [f"{A}1"], [f"{A}2"], [f"{B}1"], [f"{B}0"]]


@pytest.mark.parametrize(("nodes", "most", "together"), [(3, 2, 1), (5, 2, 2), (5, 9, 2), (3, 1, 1)])
def test_of_voters_a_majority_stays_whatever_the_app_says(nodes: int, most: int, together: int) -> None:
    group = {"name": "g", "replicas": nodes, "rollingUpdate": {"maxUnavailable": most}}
    voters = wanted(app(components=[{"name": "watch", "groups": [group]}])).component("watch")
    assert max(len(batch) for batch in order(voters, {})) == together


@pytest.mark.parametrize(("nodes", "most", "together"), [(2, 2, 1), (3, 2, 1), (4, 2, 2), (4, 9, 2), (5, 2, 2)])
def test_beside_the_writable_node_another_stays_whatever_the_app_says(nodes: int, most: int, together: int) -> None:
    """Engines that insist on a copy take no writes without one, and nobody could take over."""
    of = wanted(app(components=store(replicas=nodes, rollingUpdate={"maxUnavailable": most}))).component("store")
    batches = order(of, {"books-store-g-0": "primary"})
    assert max(map(len, batches)) == together
    assert batches[-1] == ["books-store-g-0"]


def test_a_node_that_is_not_ready_comes_first() -> None:
    batches = order(component(), {f"{A}0": "primary"}, down=frozenset({f"{B}1"}))
    assert batches[0] == [f"{B}1"]
    assert batches[-1] == [f"{A}0"]


def test_a_writable_node_that_is_not_ready_is_still_the_last() -> None:
    """Its role may be moved away by then."""
    assert order(component(), {f"{A}0": "primary"}, down=frozenset({f"{A}0"}))[-1] == [f"{A}0"]


def test_a_node_without_a_pod_or_a_role_is_no_reason_to_fail() -> None:
    of = component()
    states = {node.name: state(node.name, pod=False, ready=False) for node in of.nodes}
    assert sum(map(len, ordered(of, of.nodes, states))) == 5
    assert ordered(of, [], {}) == []


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(st.sampled_from(["primary", "replica", ""]), min_size=5, max_size=5),
    st.sets(st.integers(0, 4)),
    st.sets(st.integers(0, 4)),
)
def test_whatever_the_roles(most: int, other: int, roles: list[str], down: set[int], chosen: set[int]) -> None:
    of = component(most, other)
    states = {
        node.name: state(node.name, role, ready=index not in down)
        for index, (node, role) in enumerate(zip(of.nodes, roles, strict=True))
    }
    role_of = {node.name: role for node, role in zip(of.nodes, roles, strict=True)}
    nodes = [node for index, node in enumerate(of.nodes) if index in chosen]
    batches = ordered(of, nodes, states)
    assert sorted(node.name for batch in batches for node in batch) == sorted(node.name for node in nodes)
    limits = {"a": most, "b": other}
    for batch in batches:
        assert 0 < len(batch) <= limits[batch[0].group]
        assert len({node.group for node in batch}) == 1
        assert len(batch) == 1 or all(role_of[node.name] != "primary" for node in batch)
    places = [(role_of[node.name] == "primary", states[node.name].ready) for batch in batches for node in batch]
    assert all(one <= two for one, two in pairwise(places)), "writable last, among its like not ready first"


@pytest.mark.parametrize(
    ("scope", "chosen"),
    [
        (Scope(), {f"{A}0", f"{A}1", f"{A}2", f"{B}0", f"{B}1"}),
        (Scope(component="store"), {f"{A}0", f"{A}1", f"{A}2", f"{B}0", f"{B}1"}),
        (Scope(group="b"), {f"{B}0", f"{B}1"}),
        (Scope(component="store", group="b"), {f"{B}0", f"{B}1"}),
        (Scope(node=f"{A}1"), {f"{A}1"}),
    ],
)
def test_a_restart_is_of_what_was_named(scope: Scope, chosen: set[str]) -> None:
    assert {node.name for node in in_scope(component().nodes, scope, None)} == chosen


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope(component="stor"), "component: there is no stor; there are store"),
        (Scope(component="stor", group="b"), "component: there is no stor; there are store"),
        (Scope(component="store", group="c"), "group: there is no c in component store; there are a, b"),
        (Scope(group="b", node=f"{A}1"), f"node: there is no {A}1 in group b; there are {B}0, {B}1"),
        (Scope(group="b", node="store-b-0"), f"node: there is no store-b-0 in group b; there are {B}0, {B}1"),
    ],
)
def test_a_restart_of_nothing_is_refused_with_the_names_there_are(scope: Scope, said: str) -> None:
    with pytest.raises(ApplicationError) as refused:
        in_scope(component().nodes, scope, None)
    assert refused.value.message == said
    assert refused.value.non_retryable


def test_a_node_is_rolled_by_the_pod_that_it_had() -> None:
    node = component().nodes[0]
    assert _roll_node(node, {node.name: state(node.name)}).pod == f"pod-of-{A}0"


def test_a_node_without_a_pod_can_be_rolled() -> None:
    node = component().nodes[0]
    assert _roll_node(node, {node.name: state(node.name, pod=False)}).pod == ""


class FakeKubernetes:
    """``list`` answers the Deployments of a cluster."""

    def __init__(self, deployments: list[dict[str, Any]]) -> None:
        self.deployments = deployments

    async def list(self, *_: Any, **__: Any) -> tuple[list[dict[str, Any]], str]:
        return self.deployments, ""


class FakePlatform:
    def __init__(self, deployments: list[dict[str, Any]]) -> None:
        self.kubernetes = FakeKubernetes(deployments)


async def outdated(desired: DesiredApp, live: DesiredApp, *, but: str = "", unverified: bool = False) -> list[Stale]:
    """Those of ``desired`` where the cluster has the nodes of ``live``, but for one."""
    deployments = [
        deployment_manifest(live, each, group, node)
        for each in live.components
        for group in each.groups
        for node in group.nodes
        if node.name != but
    ]
    state = adding(State(), live)
    for component in live.components:
        state = normal(state, component)
    if unverified:
        for name, group in state.groups.items():
            members = tuple(member.model_copy(update={"unverified": True}) for member in group.members)
            state = state.with_group(name, replace(group, members=members))
    seen = ObservedApp({}, {}, {}, {}, state, RecordedState(), None)
    return await outdated_nodes(cast(Platform, FakePlatform(deployments)), desired, seen)


def running(version: str, bundle: PluginBundle | None = None) -> DesiredApp:
    return wanted(app(runtimeVersion=version, components=store(replicas=2)), bundle=bundle)


async def test_nodes_of_an_older_version_are_found() -> None:
    assert await outdated(running("2"), running("2")) == []
    found = await outdated(running("2"), running("1"))
    assert len(found) == 5
    assert all(node.other_version for node in found)


def test_back_to_a_lower_version_only_what_the_plugin_says_can_be_read() -> None:
    readable = shelf(plugin_yaml=DEFINITION.replace('"shelf:1"}}', '"shelf:1"}, upgradesFrom: ["2"]}'))
    assert cannot_read(shelf(), "1", "2")
    assert not cannot_read(shelf(), "1", ""), "nobody was seen to have the volume"
    assert not cannot_read(shelf(), "2", "1")
    assert not cannot_read(readable, "1", "2")


async def test_a_node_that_was_rolled_and_not_seen_to_serve_is_not_passed_over() -> None:
    found = await outdated(running("2"), running("2"), unverified=True)
    assert len(found) == 5
    assert not any(node.other_version for node in found)


async def test_a_missing_node_is_drift_and_no_matter_of_rolling() -> None:
    found = await outdated(running("2"), running("1"), but="books-store-g-0")
    assert "books-store-g-0" not in {each.node.name for each in found}
    assert len(found) == 4


async def test_another_size_is_no_other_version() -> None:
    larger = wanted(app(runtimeVersion="1", components=store(replicas=2, nodeSelector={"disk": "fast"})))
    found = await outdated(larger, running("1"))
    assert [(each.node.name, each.other_version) for each in found] == [(f"books-store-g-{n}", False) for n in range(2)]
