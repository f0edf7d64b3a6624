"""Whoever spoils or removes an App's metadata ConfigMap finds it back as it was, at any moment, and nothing else
happens; where the statuses themselves are lost, what runs is found out again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.support.day2 import RunningApp, deployed
from tests.e2e.support.kube import Kube, Manifest, eventually

pytestmark = pytest.mark.e2e
NAMESPACE, NAME = "spoiled", "archive"
CONFIG_MAP = f"{NAME}-metadata"
PARTS = ("basic", "nodes", "config", "roles")


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    with deployed(kube, NAMESPACE, NAME, "replication") as running:
        yield running


def pods(kube: Kube) -> set[str]:
    return {pod["metadata"]["uid"] for pod in kube.pods(NAMESPACE, NAME)}


def data(kube: Kube) -> dict[str, str]:
    found = kube.get("configmap", CONFIG_MAP, NAMESPACE) or {}
    return dict(found.get("data") or {})


def operations(kube: Kube) -> list[str]:
    """What was begun of the App, by its Events."""
    return sorted(each["reason"] for each in kube.events(NAME, NAMESPACE) if each["reason"].endswith("Started"))


@pytest.mark.parametrize("part", PARTS)
def test_a_spoiled_part_is_written_again_and_nothing_else_happens(app: RunningApp, kube: Kube, part: str) -> None:
    before, running, begun = data(kube), pods(kube), operations(kube)
    change = json.dumps({"data": {part: "{spoiled", "another": "{}"}})
    kube.run("patch", "configmap", CONFIG_MAP, "-n", NAMESPACE, "--type=merge", "-p", change)
    eventually("it is as it was", lambda: data(kube) == before)
    assert (pods(kube), operations(kube)) == (running, begun)


def test_a_deleted_one_is_made_again_and_the_app_can_be_changed(app: RunningApp, kube: Kube) -> None:
    before, running = data(kube), pods(kube)
    kube.run("delete", "configmap", CONFIG_MAP, "-n", NAMESPACE)
    eventually("it is as it was", lambda: data(kube) == before)

    def more(spec: Manifest) -> None:
        spec["components"][0]["groups"][0]["replicas"] = 3

    app.change(more)
    kube.run("delete", "configmap", CONFIG_MAP, "-n", NAMESPACE)  # in the middle of it
    app.settled()
    assert pods(kube) > running
    eventually("it names the new node", lambda: len(app.metadata("nodes")["normal"]) == 3)


@pytest.mark.parametrize(
    ("kind", "name"), [("group", f"{NAME}-redis-server-data"), ("component", f"{NAME}-redis-server")]
)
def test_a_group_or_component_that_is_removed_is_made_again_as_it_was(
    app: RunningApp, kube: Kube, kind: str, name: str
) -> None:
    """What it was recorded with goes with its status, and is found out again."""
    before = kube.get(f"{kind}.middleware.io", name, NAMESPACE) or {}
    nodes, running = _nodes(app), pods(kube)
    kube.delete(f"{kind}.middleware.io", name, NAMESPACE, "--wait=false")
    said = f"what the Pods of {name} are made of" if kind == "group" else f"the parameters of {name}"
    eventually("an Event names it", lambda: any(said in each for each in app.events("StateRebuilt")))

    def recorded(live: Manifest | None) -> Manifest:
        parts = ("currentRevision", "updateRevision", "revision", "parameters")
        status = (live or {}).get("status") or {}
        members = _with_data(status.get("members") or [])
        return {"spec": (live or {}).get("spec"), "members": members, **{key: status.get(key) for key in parts}}

    def as_it_was() -> bool:
        found = recorded(kube.get(f"{kind}.middleware.io", name, NAMESPACE))
        if found != recorded(before):
            raise LookupError(f"{found}, before {recorded(before)}")
        return True

    eventually("it is as it was", as_it_was)
    app.settled(60)
    eventually("the metadata are as they were", lambda: _nodes(app) == nodes)
    assert pods(kube) == running


def _nodes(app: RunningApp) -> Manifest:
    return {state: _with_data(nodes) for state, nodes in app.metadata("nodes").items()}


def _with_data(nodes: list[Manifest]) -> list[Manifest]:
    """Each with the version that has had its volume, also where no operation had noted what the volume says."""
    return [{**each, "data": each.get("data") or each["version"]} for each in nodes]


def lose_status(kube: Kube, live: Manifest, *fields: str) -> None:
    patch = json.dumps({"status": dict.fromkeys(fields)})
    target = (f"{live['kind'].lower()}.middleware.io", live["metadata"]["name"], "-n", NAMESPACE)
    kube.run("patch", *target, "--subresource=status", "--type=merge", "-p", patch)


def test_what_runs_is_found_out_anew_where_the_statuses_are_lost(app: RunningApp, kube: Kube) -> None:
    """As after a restore from a backup, which holds no status."""
    running, before = pods(kube), app.metadata("nodes")
    for group in kube.find("group.middleware.io", NAMESPACE):
        lose_status(kube, group, "members", "currentRevision", "updateRevision")
    for component in kube.find("component.middleware.io", NAMESPACE):
        lose_status(kube, component, "revision")
    lose_status(kube, app.manifest(), "deployed")
    kube.run("annotate", "app.middleware.io", NAME, "-n", NAMESPACE, "middleware.io/look=now", "--overwrite")
    eventually("the nodes are known again", lambda: data(kube) and app.metadata("nodes") == before, 60)
    app.settled(60)
    assert pods(kube) == running
