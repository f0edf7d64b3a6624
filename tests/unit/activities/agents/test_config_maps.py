"""A node's document has a revision that grows with its content; a Pod template is not changed by a platform upgrade."""

from __future__ import annotations

import copy
import json
from typing import Any

from activities.agents.config_maps import first_primary
from render.desired.app import DesiredApp
from render.manifests.deployments import TEMPLATE_HASH, deployment_manifest, is_outdated, keeps_template
from render.manifests.lists import config_maps_of, record_manifests, revision_of
from render.manifests.node import document_text
from tests.unit.render.support import app, records, store, wanted

ADDRESSES = {node.name: f"198.18.0.{index}" for index, node in enumerate(wanted().nodes, start=1)}


def rendered(desired: DesiredApp, live: dict[str, dict[str, Any]], **more: Any) -> tuple[dict[str, Any], bool]:
    component = desired.component("store")
    more.setdefault("bootstrap", component.bootstrap_node)
    _, manifest, changed = next(iter(config_maps_of(desired, component, component.nodes, ADDRESSES, live, **more)))
    return manifest, changed


def test_a_revision_grows_only_with_the_content() -> None:
    desired = wanted()
    first, changed = rendered(desired, {})
    assert (revision_of(first), changed) == (1, True)
    name = first["metadata"]["name"]
    again, changed = rendered(desired, {name: first})
    assert (again["data"], changed) == (first["data"], False)
    held, changed = rendered(desired, {name: first}, held=frozenset({name}))
    assert (revision_of(held), changed) == (2, True)


def test_an_edit_by_hand_is_overruled_by_a_higher_revision() -> None:
    first, _ = rendered(wanted(), {})
    edited = copy.deepcopy(first)
    document = json.loads(edited["data"]["node.json"])
    document["revision"] = 40
    edited["data"]["node.json"] = json.dumps(document)
    edited["data"]["middleware__conf__shelf.conf"] = "spoiled"
    restored, changed = rendered(wanted(), {first["metadata"]["name"]: edited})
    assert changed
    assert revision_of(restored) == 41


def test_a_node_that_comes_again_is_newer_than_any_copy_of_the_former_one() -> None:
    """A kept volume may hold a document that was pushed to the node of the name before."""
    first, changed = rendered(wanted(), {}, initial=1_700_000_000)
    assert (revision_of(first), changed) == (1_700_000_000, True)
    name = first["metadata"]["name"]
    assert not rendered(wanted(), {name: first}, initial=1_800_000_000)[1], "only where there is none yet"
    held, _ = rendered(wanted(), {name: first}, initial=1_600_000_000, held=frozenset({name}))
    assert revision_of(held) == 1_700_000_001


def with_revision(config_map: dict[str, Any], revision: object) -> dict[str, Any]:
    edited = copy.deepcopy(config_map)
    document = {**json.loads(edited["data"]["node.json"]), "revision": revision}
    edited["data"]["node.json"] = document_text(document)
    return edited


def test_a_revision_that_was_lowered_by_hand_is_a_change() -> None:
    """The agents go by the higher one, so a later change would not reach them."""
    first, _ = rendered(wanted(), {}, initial=50)
    name = first["metadata"]["name"]
    restored, changed = rendered(wanted(), {name: with_revision(first, 3)})
    assert (changed, revision_of(restored)) == (True, 51)
    assert not rendered(wanted(), {name: restored})[1]
    assert not rendered(wanted(), {name: with_revision(first, 70)})[1], "a higher one wins everywhere"


def test_an_old_copy_that_was_put_back_is_below_what_was_pushed_since() -> None:
    old, _ = rendered(wanted(), {}, initial=5)
    changed = wanted(app(components=[{"name": "store", "config": {"threads": 9}}]))
    restored, _ = rendered(changed, {old["metadata"]["name"]: old}, initial=1_700_000_000)
    assert revision_of(restored) == 1_700_000_000


def test_a_config_map_of_an_older_platform_is_no_drift_for_its_missing_note() -> None:
    first, _ = rendered(wanted(), {}, initial=50)
    del first["metadata"]["annotations"]
    again, changed = rendered(wanted(), {first["metadata"]["name"]: first})
    assert (changed, "annotations" in again["metadata"]) == (False, False)


def test_a_document_that_cannot_be_read_is_written_anew_from_the_beginning() -> None:
    first, _ = rendered(wanted(), {}, initial=50)
    for spoiled in ("{", "[]", '{"revision": "x"}', "{}"):
        edited = copy.deepcopy(first)
        edited["data"]["node.json"] = spoiled
        restored, changed = rendered(wanted(), {first["metadata"]["name"]: edited}, initial=1_700_000_000)
        assert (revision_of(restored), changed) == (1_700_000_000, True)


def test_what_somebody_added_to_a_config_map_is_theirs() -> None:
    first, _ = rendered(wanted(), {})
    first["data"]["note"] = "added by hand"
    assert not rendered(wanted(), {first["metadata"]["name"]: first})[1]


def test_once_it_has_run_no_node_may_begin_as_first_primary() -> None:
    component = wanted().component("store")
    assert first_primary(component, ran=False, held=frozenset()) == "books-store-default-0"
    assert first_primary(component, ran=True, held=frozenset()) is None
    assert first_primary(component, ran=False, held=frozenset({"books-store-default-0"})) is None
    first, _ = rendered(wanted(), {})
    later, changed = rendered(wanted(), {first["metadata"]["name"]: first}, bootstrap=None)
    assert (changed, revision_of(later)) == (True, 2)
    assert "first -" in later["data"]["middleware__conf__shelf.conf"]


def deployment(desired: DesiredApp) -> dict[str, Any]:
    component = desired.component("store")
    group = component.groups[0]
    return deployment_manifest(desired, component, group, group.nodes[0])


def test_a_platform_that_renders_differently_leaves_running_pods_alone() -> None:
    live, now = deployment(wanted()), deployment(wanted())
    assert not keeps_template(now, live)
    live["metadata"]["annotations"][TEMPLATE_HASH] = "of an older platform"
    assert keeps_template(now, live)


def test_a_changed_record_is_left_to_a_rolling_operation() -> None:
    live = deployment(wanted(app(components=store(replicas=2))))
    now = deployment(wanted(app(components=store(replicas=2, nodeSelector={"disk": "fast"}))))
    assert is_outdated(now, live)
    assert keeps_template(now, live)


def test_the_first_primary_over_kept_volumes_is_left_open_until_they_were_looked_at() -> None:
    desired = wanted()

    def bootstrap(of: DesiredApp, kept: frozenset[str]) -> object:
        manifests = record_manifests(of, kept)
        return next(m for m in manifests if m["metadata"]["name"] == "books-store")["spec"].get("bootstrapNode")

    assert bootstrap(desired, frozenset()) == "books-store-default-0"
    assert bootstrap(desired, frozenset({"store"})) is None
    assert bootstrap(wanted(recorded=records(desired)), frozenset({"store"})) == "books-store-default-0"
