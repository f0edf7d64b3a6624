"""Which nodes are given other Pods, and in which order: the App goes on serving meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.readiness import NodeState
from activities.roll import Outdated, _roll_node, in_scope, names, ordered
from api.operations import Scope
from api.steps import RollNode
from render.desired import DesiredComponent
from tests.unit.render.support import app, wanted

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
    assert batches == [[f"{A}1", f"{A}2"], [f"{B}0", f"{B}1"], [f"{A}0"]]


def test_one_at_a_time_where_nothing_else_is_said() -> None:
    batches = order(component(), {f"{B}0": "primary"})
    assert batches == [[f"{A}0"], [f"{A}1"], [f"{A}2"], [f"{B}1"], [f"{B}0"]]


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
        (Scope(component="watch"), set()),
        (Scope(group="b"), {f"{B}0", f"{B}1"}),
        (Scope(component="watch", group="b"), set()),
        (Scope(node=f"{A}1"), {f"{A}1"}),
        (Scope(group="b", node=f"{A}1"), set()),
        (Scope(node=A), set()),
    ],
)
def test_a_restart_is_of_what_was_named(scope: Scope, chosen: set[str]) -> None:
    assert {node.name for node in component().nodes if in_scope(node, scope)} == chosen


@pytest.mark.parametrize(
    ("known", "rolling", "wipe"),
    [
        (None, False, False),
        (Outdated(f"{A}0", other_version=True, lower=False), False, False),
        (Outdated(f"{A}0", other_version=True, lower=True), True, False),
        (Outdated(f"{A}0", other_version=True, lower=True), False, True),
    ],
)
def test_only_a_node_that_goes_back_begins_empty(known: Outdated | None, rolling: bool, wipe: bool) -> None:
    """An older engine cannot read what the newer one has written; a downgrade that the plugin allows can."""
    node = component().nodes[0]
    outdated = {node.name: known} if known is not None else {}
    planned = _roll_node(node, {node.name: state(node.name)}, outdated, rolling)
    assert (planned.wipe, planned.pod) == (wipe, f"pod-of-{A}0")


def test_a_node_without_a_pod_can_be_rolled() -> None:
    node = component().nodes[0]
    assert _roll_node(node, {node.name: state(node.name, pod=False)}, {}, False).pod == ""


def test_names_in_the_order_of_rolling() -> None:
    assert names([[RollNode("b", "c", "g")], [RollNode("a", "c", "g")]]) == ["b", "a"]
