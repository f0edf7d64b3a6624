"""Where a component's nodes go, and how many of them an eviction may take away."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.names import LABEL_ROLE, LABEL_STOP
from render.desired.app import DesiredApp
from render.manifests.budgets import disruption_budgets, moved_roles
from render.manifests.objects import node_deployment
from render.plugin.bundle import PluginBundle
from tests.unit.render.support import DEFINITION, app, shelf, store, wanted, with_tools

OF_STORE = {"middleware.io/app": "books", "middleware.io/component": "store"}
FENCE = "fence: {steps: [{tcp: {send: fence}}]}\n"


def movable(**changes: str) -> PluginBundle:
    """A plugin whose primary can be moved."""
    return shelf(**{"tools_yaml": with_tools(FENCE), **changes})


def pod(of: DesiredApp, component: str = "store") -> dict[str, Any]:
    part = of.component(component)
    spec: dict[str, Any] = node_deployment(of, part, part.groups[0], part.nodes[0])["spec"]["template"]["spec"]
    return spec


def budgets(of: DesiredApp, component: str = "store") -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each["spec"] for each in disruption_budgets(of, of.component(component))}


def selects(budget: dict[str, Any], role: str | None, *, refuses: bool = False) -> bool:
    """Whether it counts a node of the component that holds the role (None: a Pod without the label). ``refuses``: by
    its own word it may not be stopped."""
    for term in budget["selector"].get("matchExpressions", []):
        if term["key"] == LABEL_STOP:
            if refuses != (term["operator"] == "Exists"):
                return False
            continue
        assert term["key"] == LABEL_ROLE
        if (role in term["values"]) != (term["operator"] == "In"):
            return False
    return True


# Where they go


def test_nodes_spread_over_machines_and_zones() -> None:
    spec = pod(wanted())
    terms = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    keys = [term["podAffinityTerm"]["topologyKey"] for term in terms]
    assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(term["podAffinityTerm"]["labelSelector"]["matchLabels"] == OF_STORE for term in terms)
    (constraint,) = spec["topologySpreadConstraints"]
    assert constraint["labelSelector"]["matchLabels"] == OF_STORE
    assert (constraint["topologyKey"], constraint["maxSkew"]) == ("kubernetes.io/hostname", 1)


def test_on_fewer_machines_than_nodes_the_app_still_starts() -> None:
    spec = pod(wanted())
    assert list(spec["affinity"]) == ["podAntiAffinity"]
    assert list(spec["affinity"]["podAntiAffinity"]) == ["preferredDuringSchedulingIgnoredDuringExecution"]
    assert spec["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "ScheduleAnyway"


def test_what_the_app_says_goes_first_kind_by_kind() -> None:
    default = pod(wanted())["affinity"]["podAntiAffinity"]
    zones = {"nodeAffinity": {"x": 1}}
    spec = pod(wanted(app(components=store(affinity=zones, nodeSelector={"disk": "ssd"}, tolerations=[{"key": "k"}]))))
    assert spec["affinity"] == {**zones, "podAntiAffinity": default}
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"disk": "ssd"}, [{"key": "k"}])
    none = pod(wanted(app(components=store(affinity={"podAntiAffinity": {}}))))
    assert none["affinity"] == {"podAntiAffinity": {}}
    own = [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]
    assert pod(wanted(app(components=store(topologySpreadConstraints=own))))["topologySpreadConstraints"] == own


# How many may be evicted


def test_whoever_is_writable_is_not_evicted_and_of_the_others_one_at_a_time() -> None:
    rest, writable = budgets(wanted(bundle=movable())).values()
    assert (rest["maxUnavailable"], writable["maxUnavailable"]) == (1, 0)
    assert selects(writable, "primary")
    assert selects(rest, "replica")
    assert selects(rest, None), "a Pod that has just started counts as missing until it is ready"


@pytest.mark.parametrize("role", ["primary", "replica", "something", None])
def test_no_pod_is_selected_by_two_budgets(role: str | None) -> None:
    """The eviction API answers such a Pod with an error, not with \"try again\"."""
    found = budgets(wanted(bundle=movable()))
    assert sorted(found) == ["books-store", "books-store.writable"]
    assert all(budget["selector"]["matchLabels"] == OF_STORE for budget in found.values())
    assert sum(selects(budget, role) for budget in found.values()) == 1


SAFE_TO_STOP = "safeToStop: {steps: [{tcp: {send: may I stop}}]}\n"


@pytest.mark.parametrize("role", ["primary", "replica", None])
@pytest.mark.parametrize("fence", [FENCE, ""])
def test_a_node_that_may_not_be_stopped_is_not_evicted(role: str | None, fence: str) -> None:
    """The plugin was asked before a planned stop and not before an eviction, so a drain took the last copy in sync."""
    found = budgets(wanted(bundle=shelf(tools_yaml=with_tools(fence + SAFE_TO_STOP))))
    (counts,) = (budget for budget in found.values() if selects(budget, role, refuses=True))
    assert counts["maxUnavailable"] == 0
    (counts,) = (budget for budget in found.values() if selects(budget, role))
    assert counts.get("maxUnavailable") == (0 if role == "primary" and fence else 1 if fence else None)
    assert selects(found["books-store.unsafe"], "replica", refuses=True)


@pytest.mark.parametrize(
    ("nodes", "most", "allowed"), [(4, 1, 1), (4, 2, 2), (4, 9, 2), (3, 2, 1), (2, 1, 1), (2, 2, 1)]
)
def test_data_nodes_go_by_the_apps_max_unavailable_but_never_all_replicas(nodes: int, most: int, allowed: int) -> None:
    of = wanted(app(components=store(replicas=nodes, rollingUpdate={"maxUnavailable": most})), bundle=movable())
    assert budgets(of)["books-store"]["maxUnavailable"] == allowed


def test_of_several_groups_the_strictest_counts() -> None:
    groups = [
        {"name": "a", "replicas": 3, "rollingUpdate": {"maxUnavailable": 3}},
        {"name": "b", "replicas": 3, "rollingUpdate": {"maxUnavailable": 2}},
    ]
    of = wanted(app(components=[{"name": "store", "groups": groups}]), bundle=movable())
    assert budgets(of)["books-store"]["maxUnavailable"] == 2


@given(st.integers(2, 99), st.integers(1, 99))
def test_of_voters_a_majority_always_stays(nodes: int, most: int) -> None:
    of = voters(nodes, most)
    (budget,) = disruption_budgets(of, of.component("watch"))
    kept = budget["spec"]["minAvailable"]
    assert kept < nodes, "a drain comes to its end"
    assert nodes - kept <= most
    if nodes > 2:
        assert kept > nodes / 2


def voters(nodes: int, most: int) -> DesiredApp:
    group = {"name": "g", "replicas": nodes, "rollingUpdate": {"maxUnavailable": most}}
    of = app(components=[{"name": "watch", "groups": [group]}])
    return wanted(of)


def test_a_single_node_can_be_drained() -> None:
    assert budgets(wanted(app(topology="single"), bundle=movable())) == {}


def test_a_role_that_nobody_could_move_does_not_hold_up_a_drain() -> None:
    """No tool for it, or several nodes hold it at once: such nodes are counted like any other."""
    unmovable = wanted()
    shared = DEFINITION.replace("writable: true", "writable: true, exclusive: false")
    for of in (unmovable, wanted(bundle=movable(plugin_yaml=shared))):
        assert moved_roles(of, of.component("store")) == []
        (budget,) = budgets(of).values()
        assert budget["minAvailable"] == 1
        assert selects(budget, "primary")


def test_an_api_server_before_121_is_given_what_it_knows() -> None:
    of = wanted(bundle=movable())
    found = disruption_budgets(of, of.component("store"), "policy/v1beta1")
    assert {each["apiVersion"] for each in found} == {"policy/v1beta1"}
