"""What of an App's objects is put right at once, and what is left to an operation."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from activities.cluster.diff import differences
from activities.look.drift import Missing, _deployments, without_pending_scale
from activities.reconcile.prepare import Prepare
from api.app import App
from api.names import LABEL_APP
from api.operations import OperationType
from render.desired.app import DesiredApp
from render.manifests.deployments import (
    POD_HASH,
    TEMPLATE_HASH,
    VERSION_LABEL,
    deployment_manifest,
    is_outdated,
    without_template,
)
from render.manifests.lists import record_manifests
from tests.unit.activities.support.cluster import NAMESPACE, World
from tests.unit.activities.support.ledger import Ledger
from tests.unit.render.support import app, store

NODE = "books-store-g-0"


def books(*, version: str = "1", **group: Any) -> App:
    return app(runtimeVersion=version, components=store(**{"replicas": 2, **group}))


def deployments(of: DesiredApp) -> dict[str, dict[str, Any]]:
    return {
        node.name: copy.deepcopy(deployment_manifest(of, component, group, node))
        for component in of.components
        for group in component.groups
        for node in group.nodes
    }


def group_drift(ledger: Ledger) -> list[str]:
    """As the search for drift compares Groups."""
    runs = ledger.runs()
    found = []
    for manifest in without_pending_scale(runs, record_manifests(runs)):
        if manifest["kind"] == "Group":
            found += differences(manifest, ledger.groups[manifest["metadata"]["name"]])
    return found


# Numbers of nodes


@pytest.mark.parametrize("change", [{"replicas": 4}, {"replicas": 2, "reserveOrdinals": [0]}])
def test_a_scale_to_come_is_no_drift(change: dict[str, Any]) -> None:
    """Repair goes first: it would write the number and leave the nodes, and the counts would be wrong meanwhile."""
    ledger = Ledger(books())
    ledger.app = books(**change)
    assert group_drift(ledger) == []


def test_beside_a_scale_to_come_other_edits_are_drift() -> None:
    ledger = Ledger(books())
    ledger.app = books(replicas=4)
    ledger.groups["books-store-g"]["spec"]["image"] = "evil:1"
    assert group_drift(ledger) == ["spec.image"]


def test_scaled_by_kubectl_where_the_app_says_a_number_is_drift() -> None:
    ledger = Ledger(books())
    ledger.groups["books-store-g"]["spec"]["replicas"] = 4
    assert group_drift(ledger) == ["spec.replicas"]


def test_scaled_by_kubectl_where_the_app_is_silent_is_none() -> None:
    ledger = Ledger(app(runtimeVersion="1"))
    ledger.groups["books-store-default"]["spec"]["replicas"] = 4
    assert group_drift(ledger) == []
    assert [part.operation for part in ledger.pending()] == ["Scale"]


def test_what_is_applied_is_not_what_is_compared() -> None:
    """The number goes into the Group all the same when the Scale writes it."""
    ledger = Ledger(books())
    ledger.app = books(replicas=4)
    manifests = record_manifests(ledger.runs())
    list(without_pending_scale(ledger.runs(), manifests))
    group = next(m for m in manifests if m["metadata"]["name"] == "books-store-g")
    assert group["spec"]["replicas"] == 4


async def test_a_number_that_is_put_back_says_that_the_app_wins() -> None:
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    group = world.object("Group", "books-store-g")
    world.cluster.put({**group, "spec": {**group["spec"], "replicas": 5}})
    assert (await world.load()).drift == [
        "Group books-store-g was changed: spec.replicas (the App says 2 and wins; change the number there)"
    ]


# Pods


@pytest.mark.parametrize(
    "after", [books(version="2"), books(nodeSelector={"disk": "fast"}), books(resources={"limits": {"memory": "1Gi"}})]
)
def test_nodes_of_another_record_are_left_to_a_rolling_operation(after: App) -> None:
    ledger = Ledger(books())
    live = deployments(ledger.runs())
    ledger.app = after
    operation = ledger.pending()[0].operation
    now = ledger.prepare(operation)
    wanted = deployments(now)
    assert is_outdated(wanted[NODE], live[NODE])
    assert not is_outdated(wanted["books-watch-default-0"], live["books-watch-default-0"]) or operation == "Upgrade"
    assert list(_deployments(now, live, now.nodes, ledger.state)) == []


@pytest.mark.parametrize(
    "after", [books(replicas=3), books(storage={"size": "2Gi"}), books(rollingUpdate={"maxUnavailable": 2})]
)
def test_what_concerns_no_pod_makes_none_outdated(after: App) -> None:
    ledger = Ledger(books(storage={"size": "1Gi"}))
    live = deployments(ledger.runs())
    ledger.app = after
    wanted = deployments(ledger.whole())
    assert not is_outdated(wanted[NODE], live[NODE])


def test_a_node_that_was_rolled_is_not_outdated() -> None:
    ledger = Ledger(books())
    ledger.app = books(version="2")
    now = deployments(ledger.prepare(OperationType.UPGRADE))
    assert not is_outdated(now[NODE], copy.deepcopy(now[NODE]))


def test_an_edit_of_a_deployment_by_hand_is_put_right() -> None:
    ledger = Ledger(books())
    live = deployments(ledger.runs())
    live[NODE]["spec"]["replicas"] = 0
    live[NODE]["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:1"
    del live["books-store-g-1"]
    runs = ledger.runs()
    said = list(_deployments(runs, live, runs.nodes, ledger.state))
    assert said[0].startswith(f"Deployment {NODE} was changed: spec.replicas, spec.template")
    assert said[1:] == ["Deployment books-store-g-1 is missing"]


@pytest.mark.parametrize(
    "edit",
    [lambda spec: spec.update(paused=True), lambda spec: spec["template"]["spec"].update(nodeSelector={"a": "b"})],
)
def test_what_somebody_adds_that_keeps_a_pod_from_coming_is_drift(edit: Callable[[dict[str, Any]], None]) -> None:
    """A paused Deployment makes no Pod of what is written into it; for an added node selector there is no machine."""
    ledger = Ledger(books())
    live = deployments(ledger.runs())
    edit(live[NODE]["spec"])
    assert list(_deployments(ledger.runs(), live, ledger.runs().nodes, ledger.state))


def test_a_paused_deployment_is_missed_like_one_that_is_gone() -> None:
    """Paused in mid-upgrade it made no Pod of what was written into it, and the Upgrade waited for that without end."""
    ledger = Ledger(books())
    live = deployments(ledger.runs())
    live[NODE]["spec"]["paused"] = True
    assert isinstance(next(iter(_deployments(ledger.runs(), live, ledger.runs().nodes, ledger.state))), Missing)


def test_a_node_that_waits_to_be_rolled_is_put_right_but_for_its_pod() -> None:
    ledger = Ledger(books())
    live = deployments(ledger.runs())
    live[NODE]["spec"]["replicas"] = 0
    ledger.app = books(version="2")
    now = ledger.prepare(OperationType.UPGRADE)
    assert list(_deployments(now, live, now.nodes, ledger.state)) == [f"Deployment {NODE} was changed: spec.replicas"]


def test_without_its_template_a_deployment_says_nothing_of_its_pod() -> None:
    """Applied like this, neither engine nor version nor the hashes that tell an outdated Pod change."""
    manifest = deployments(Ledger(books()).runs())[NODE]
    kept = without_template(manifest)
    assert "template" not in kept["spec"]
    assert VERSION_LABEL in manifest["metadata"]["labels"]
    assert VERSION_LABEL not in kept["metadata"]["labels"]
    assert "annotations" not in kept["metadata"]
    assert {TEMPLATE_HASH, POD_HASH} <= set(manifest["metadata"]["annotations"])
    assert kept["spec"]["replicas"] == 1
    assert kept["metadata"]["ownerReferences"] == manifest["metadata"]["ownerReferences"]
    assert kept["metadata"]["labels"]["middleware.io/node"] == NODE


# Files


async def test_a_revision_that_was_lowered_by_hand_is_drift_that_a_repair_ends() -> None:
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    live = world.object("ConfigMap", NODE)
    document = json.loads(live["data"]["node.json"])
    lowered = json.dumps({**document, "revision": 1})
    world.cluster.put({**live, "data": {**live["data"], "node.json": lowered}})
    assert (await world.load()).drift == [f"ConfigMap {NODE} was changed"]
    await world.carry_out(OperationType.REPAIR)
    assert json.loads(world.object("ConfigMap", NODE)["data"]["node.json"])["revision"] > document["revision"]
    assert (await world.load()).drift == []


@pytest.mark.parametrize("data", [{}, {"node.json": "spoiled"}])
async def test_a_config_map_that_holds_nothing_any_more_is_missed_like_one_that_is_gone(data: dict[str, str]) -> None:
    """In mid-upgrade the Pod that just started waited for what it should hold, and the Upgrade for the Pod."""
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    world.cluster.put({**world.object("ConfigMap", NODE), "data": data})
    looked = await world.load()
    assert looked.drift
    assert looked.missing == looked.drift
    await world.carry_out(OperationType.REPAIR)
    assert (await world.load()).drift == []


# Labels


OWNED = [
    ("Service", "books-store"),
    ("Service", NODE),
    ("Deployment", NODE),
    ("ConfigMap", NODE),
    ("PodDisruptionBudget", "books-store"),
    ("Component", "books-store"),
    ("Group", "books-store-g"),
]


@pytest.mark.parametrize(
    ("kind", "name", "app"),
    [
        *((*each, app) for each in OWNED for app in (None, "other")),
        ("PersistentVolumeClaim", NODE, None),  # of "other" it may well be: nobody's data are taken on a guess
    ],
)
async def test_a_label_that_was_removed_or_changed_is_put_back(kind: str, name: str, app: str | None) -> None:
    """The Repair took what had lost its label for somebody else's, and failed; so did each that came after it."""
    world = await World(components=store(replicas=2)).deployed()
    before = world.object(kind, name)
    labels = {key: value for key, value in before["metadata"]["labels"].items() if key != LABEL_APP}
    if app is not None:
        labels[LABEL_APP] = app
    world.cluster.put({**before, "metadata": {**before["metadata"], "labels": labels}})
    found = await world.load()
    if kind in ("Component", "Group"):  # they hold what is recorded: the look itself puts them back
        assert any(f"{name}" in said for said in world.events())
    else:
        assert found.drift
    await world.carry_out(OperationType.REPAIR)
    after = world.object(kind, name)
    assert (after["metadata"]["labels"], after["metadata"]["uid"]) == (
        before["metadata"]["labels"],
        before["metadata"]["uid"],
    )
    assert (await world.load()).drift == []


# Secrets


async def test_a_password_that_somebody_took_out_of_the_secret_is_put_back() -> None:
    """The engines went on with it, nobody could read it any more, and the App was as wanted."""
    world = await World(components=store(replicas=2)).deployed()
    name = "books-credentials"
    before = world.object("Secret", name)
    password = next(key for key in before["data"] if "." not in key)
    world.cluster.put({**before, "data": {k: v for k, v in before["data"].items() if k != password}})
    assert (await world.load()).drift == [f"the {password} in Secret {name} is missing"]
    await world.carry_out(OperationType.REPAIR)
    assert world.object("Secret", name)["data"] == before["data"]
    assert (await world.load()).drift == []


async def test_that_the_secret_itself_is_gone_is_known_as_something_that_only_a_person_puts_back() -> None:
    world = await World(components=store(replicas=2)).deployed()
    assert not (await world.load()).lost
    secret = world.object("Secret", "books-credentials")
    world.cluster.remove(secret)
    assert (await world.load()).lost
    world.cluster.put(secret)
    assert not (await world.load()).lost


# Claims


async def test_a_claim_that_is_being_deleted_keeps_nothing_else_from_being_repaired() -> None:
    """It stays for as long as its Pod runs: each Repair waited for its end, and the App was left as it was."""
    world = await World(components=store(replicas=2)).deployed()
    claim = world.object("PersistentVolumeClaim", NODE)
    world.cluster.put({**claim, "metadata": {**claim["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert (await world.load()).drift == []
    service = world.object("Service", "books-store")
    world.cluster.put({**service, "spec": {**service["spec"], "selector": {}}})
    assert (await world.load()).drift == ["Service books-store was changed: spec.selector"]
    await world.carry_out(OperationType.REPAIR)
    assert (await world.load()).drift == []


# Pods that nobody owns


async def test_a_pod_that_has_lost_its_labels_makes_room_for_its_nodes_own() -> None:
    """The Deployment made another one, which waited for the data directory for ever."""
    world = await World(components=store(replicas=2)).deployed()
    template = world.object("Deployment", NODE)["spec"]["template"]
    lost = {"name": f"{NODE}-lost", "namespace": NAMESPACE, "labels": {"quarantine": "yes"}}
    own = {"name": "somebodys-own", "namespace": NAMESPACE, "labels": {}}
    of_a_node = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"], "status": {"phase": "Running"}}
    world.cluster.put({**of_a_node, "metadata": lost})
    shell = {"containers": [{"name": "shell", "image": "shell"}], "volumes": template["spec"]["volumes"]}
    world.cluster.put({**of_a_node, "metadata": own, "spec": shell})
    assert (await world.load()).drift == []
    serves = world.pod(NODE)
    world.cluster.put({**serves, "status": {**serves["status"], "conditions": [{"type": "Ready", "status": "False"}]}})
    assert (await world.load()).drift == [f"Pod {NODE}-lost of {NODE} has lost its labels"]
    await world.carry_out(OperationType.REPAIR)
    assert f"{NODE}-lost" not in world.names("Pod")
    assert {"somebodys-own", serves["metadata"]["name"]} <= set(world.names("Pod"))
    assert (await world.load()).drift == []


# What a tenant can do to a node's Deployment


@pytest.mark.parametrize("annotation", [POD_HASH, TEMPLATE_HASH])
@pytest.mark.parametrize("value", ["anything", None], ids=["edited", "removed"])
async def test_an_edited_hash_causes_no_restart_and_hides_nothing(annotation: str, value: str | None) -> None:
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    live = world.object("Deployment", NODE)
    if value is None:
        del live["metadata"]["annotations"][annotation]
    else:
        live["metadata"]["annotations"][annotation] = value
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:1"
    world.cluster.put(live)
    looked = await world.load()
    assert looked.operation == "", "nothing is to be rolled"
    assert any("spec.template" in each for each in looked.drift), "and the edited Pod template is seen"
    await world.carry_out(OperationType.REPAIR)
    after = world.object("Deployment", NODE)
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] != "evil:1"
    looked = await world.load()
    assert (looked.operation, looked.drift) == ("", [])


async def test_a_pod_template_that_was_edited_before_its_turn_in_an_upgrade_is_put_back_to_what_it_was() -> None:
    """A primary that finds no machine gives its role to nobody, so its turn never came (``mw abort``)."""
    world = await World(runtimeVersion="1", components=store(replicas=2)).deployed()
    world.edit(runtimeVersion="2")
    await world.do(Prepare(world.platform).prepare, world.target(OperationType.UPGRADE))
    await world.do(Prepare(world.platform).services, world.target(OperationType.UPGRADE))
    live = world.object("Deployment", NODE)
    before = copy.deepcopy(live["spec"]["template"])
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:1"
    world.cluster.put(live)
    looked = await world.load()
    assert any(each.startswith(f"Deployment {NODE} was changed: spec.template") for each in looked.drift), looked.drift
    await world.carry_out(OperationType.REPAIR)
    after = world.object("Deployment", NODE)
    assert after["spec"]["template"] == before
    assert after["metadata"]["labels"][VERSION_LABEL] == "1", "its turn is yet to come"
    looked = await world.load()
    assert (looked.operation, looked.drift) == (OperationType.UPGRADE, [])
