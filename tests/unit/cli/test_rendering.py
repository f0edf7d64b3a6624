"""`mw render`: what is new, changed, no longer wanted; over a cluster that answers as the API server does."""

from __future__ import annotations

import copy
import json
from typing import Any, cast

import pytest

from api.operations import OperationType
from cli import rendering
from cli.session import CommandError
from cli.stage import NextStage
from clients.kubernetes import Kubernetes
from render.manifests.deployments import TEMPLATE_HASH
from tests.unit.render.support import wanted

FIRST = NextStage(OperationType.DEPLOY, "first deploy", wanted())
REPAIR = NextStage(OperationType.REPAIR, "", wanted())


class FakeApply:
    """Answers an apply as the API server would: with what it adds to each object."""

    async def apply(self, manifest: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
        assert dry_run
        return served(manifest)


def served(manifest: dict[str, Any]) -> dict[str, Any]:
    answer = copy.deepcopy(manifest)
    answer["metadata"] |= {"uid": "1", "resourceVersion": "7", "managedFields": [{}]}
    return {**answer, "status": {}}


async def compare(objects: list[dict[str, Any]], live: rendering.Live) -> dict[str, rendering.Change]:
    changes = await rendering.compare(cast(Kubernetes, FakeApply()), objects, live)
    return {f"{each.object_kind} {each.name}": each for each in changes}


def as_live(objects: list[dict[str, Any]]) -> rendering.Live:
    return {(each["kind"], each["metadata"]["name"]): served(each) for each in objects}


async def test_a_new_app_is_all_added_and_no_secret_is_among_it() -> None:
    changes = await compare(rendering.wanted_objects(FIRST, {}), {})
    assert {each.what for each in changes.values()} == {"add"}
    kinds = {each.object_kind for each in changes.values()}
    assert {"Component", "Group", "Service", "ConfigMap", "Deployment"} <= kinds
    assert "Secret" not in kinds


async def test_what_is_there_already_is_no_difference() -> None:
    live = as_live(rendering.wanted_objects(FIRST, {}))
    assert {each.what for each in (await compare(rendering.wanted_objects(REPAIR, live), live)).values()} == {"none"}


async def test_a_changed_line_of_a_file_is_one_line_of_the_difference() -> None:
    live = as_live(rendering.wanted_objects(FIRST, {}))
    key = next(key for key in live if key[0] == "ConfigMap" and "node.json" in (live[key].get("data") or {}))
    data = live[key]["data"]
    data["node.json"] = json.dumps({**json.loads(data["node.json"]), "hold": True})
    change = (await compare(rendering.wanted_objects(REPAIR, live), live))[f"{key[0]} {key[1]}"]
    assert change.what == "change"
    assert [line for line in change.diff if line.startswith("-    ")] == ["-    hold: true", "-    revision: 1"]
    assert "+    hold: false" in change.diff


async def test_what_is_not_wanted_any_more_is_named() -> None:
    objects = rendering.wanted_objects(FIRST, {})
    live = as_live(objects)
    left = await compare(objects[:-1], live)
    gone = objects[-1]
    assert left[f"{gone['kind']} {gone['metadata']['name']}"].what == "remove"


async def test_a_pod_of_an_unchanged_group_stays_as_an_older_platform_made_it() -> None:
    live = as_live(rendering.wanted_objects(FIRST, {}))
    for (kind, _), manifest in live.items():
        if kind == "Deployment":
            manifest["metadata"]["annotations"][TEMPLATE_HASH] = "of an older platform"
            manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    assert {each.what for each in (await compare(rendering.wanted_objects(REPAIR, live), live)).values()} == {"none"}


def test_the_app_of_a_file() -> None:
    text = "kind: Namespace\nmetadata: {name: demo}\n---\nkind: App\nmetadata: {name: a}\n"
    assert rendering.pick(text, None, "demo")["metadata"] == {"name": "a", "namespace": "demo"}
    with pytest.raises(CommandError, match="must hold one App b; it has a"):
        rendering.pick(text, "b", "demo")
    with pytest.raises(CommandError, match="not YAML"):
        rendering.pick("a: [", None, "demo")
