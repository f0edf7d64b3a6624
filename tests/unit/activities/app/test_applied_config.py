"""Parameters yet to be given, an engine yet to be restarted, and what somebody changed by hand are told apart."""

from __future__ import annotations

from typing import Any

import pytest

from api.app import App
from api.effective import Effective, noted
from api.names import ANNOTATION_EFFECTIVE
from render.check.applied_parameters import dynamic_of, effective, node_parameters, unapplied
from render.desired.app import DesiredApp
from tests.unit.render.support import app, records, wanted


def books(**config: Any) -> App:
    return app(components=[{"name": "store", "config": config}])


def services(of: DesiredApp) -> dict[str, Any]:
    return {node.name: {"spec": {"clusterIP": f"198.18.0.{i}"}} for i, node in enumerate(of.nodes, start=1)}


def config_map(note: Effective) -> dict[str, Any]:
    return {"metadata": {"annotations": {ANNOTATION_EFFECTIVE: note.annotation()}}}


def notes(of: DesiredApp) -> dict[str, Effective]:
    addresses = {name: each["spec"]["clusterIP"] for name, each in services(of).items()}
    return {
        node.name: effective(component, node_parameters(of, component, node, addresses), {"cache-size": "67108864"})
        for component in of.components
        for node in component.nodes
    }


def config_maps(of: DesiredApp) -> dict[str, Any]:
    """As noted where every engine runs with the parameters of ``of``."""
    return {name: config_map(note) for name, note in notes(of).items()}


def test_what_was_noted_is_read_again() -> None:
    note = Effective("a", "b", {"cache-size": "64mb"})
    assert noted(config_map(note)) == note


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        {"metadata": {}},
        {"metadata": {"annotations": None}},
        {"metadata": {"annotations": {ANNOTATION_EFFECTIVE: ""}}},
        {"metadata": {"annotations": {ANNOTATION_EFFECTIVE: "spoiled"}}},
        {"metadata": {"annotations": {ANNOTATION_EFFECTIVE: "[1]"}}},
        {"metadata": {"annotations": {ANNOTATION_EFFECTIVE: '{"dynamic": "a"}'}}},
        {"metadata": {"annotations": {ANNOTATION_EFFECTIVE: '{"dynamic": "a", "restart": "b", "later": 1}'}}},
    ],
)
def test_what_cannot_be_read_was_not_noted(found: Any) -> None:
    assert noted(found) is None


def test_parameters_that_an_engine_reads_at_its_start_are_no_dynamic_ones() -> None:
    store = wanted().component("store")
    assert dynamic_of(store, {"cache-size": "64mb", "threads": 2, "page-size": 4096}) == {"cache-size": "64mb"}


def test_a_dynamic_and_a_restart_parameter_are_told_apart() -> None:
    before, dynamic, restart = (
        notes(wanted(books(**config)))["books-store-default-0"]
        for config in ({}, {"cache-size": "128mb"}, {"threads": 4})
    )
    assert (dynamic.dynamic != before.dynamic, dynamic.restart != before.restart) == (True, False)
    assert (restart.dynamic != before.dynamic, restart.restart != before.restart) == (False, True)


def test_the_order_of_parameters_and_answers_says_nothing() -> None:
    store = wanted().component("store")
    one = effective(store, {"threads": 2, "journal": True}, {"b": "1", "a": "2"})
    other = effective(store, {"journal": True, "threads": 2}, {"a": "2", "b": "1"})
    assert one.annotation() == other.annotation()


def test_an_engine_that_lacks_a_dynamic_parameter_is_named() -> None:
    before, after = wanted(books()), wanted(books(**{"cache-size": "128mb"}))
    live = config_maps(before)
    assert unapplied(before, live, services(before)) == []
    given = "books-store-default-1"
    live[given] = config_maps(after)[given]
    assert unapplied(after, live, services(after)) == [
        "books-store-default-0 does not run with the parameters of its files yet"
    ]


def test_an_engine_that_is_yet_to_be_restarted_is_left_to_an_operation() -> None:
    live = config_maps(wanted(books()))
    after = wanted(books(threads=4))
    assert unapplied(after, live, services(after)) == []


def test_where_nothing_was_noted_nothing_is_claimed() -> None:
    desired = wanted(books())
    assert unapplied(desired, {}, services(desired)) == []


def test_a_missing_service_is_drift_enough() -> None:
    """Without its address no file can be rendered; nothing is said of parameters until it is back."""
    after = wanted(books(**{"cache-size": "128mb"}))
    there = services(after)
    del there["books-watch-default-0"]
    assert unapplied(after, config_maps(wanted(books())), there) == []


def test_defaults_that_follow_from_the_node_count() -> None:
    larger = [{"name": "store", "groups": [{"name": "default", "resources": {"limits": {"memory": "1Gi"}}}]}]
    before, after = notes(wanted()), notes(wanted(app(components=larger)))
    assert before["books-store-default-0"].restart != after["books-store-default-0"].restart
    assert before["books-watch-default-0"] == after["books-watch-default-0"]


def test_nodes_that_come_or_go_change_no_note() -> None:
    more = wanted(app(components=[{"name": "store", "groups": [{"name": "default", "replicas": 4}]}]))
    before, after = notes(wanted()), notes(more)
    assert {name: after[name] for name in before} == before
    assert records(more).groups["books-store-default"].replicas == 4
