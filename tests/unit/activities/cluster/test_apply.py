"""An object is written where it is not as wanted, and never taken over from somebody else."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest
from temporalio.exceptions import ApplicationError

from activities.cluster.apply import apply_owned, is_own
from activities.dependencies import Platform
from api.app import App
from api.steps import Target
from render.manifests.lists import record_manifests, service_manifests
from tests.unit.activities.support.ledger import UID
from tests.unit.render.support import app, store, wanted

TARGET = Target("library", "books", UID, "hash", "Repair", "")
Manifest = dict[str, Any]


class FakeKubernetes:
    """One object. ``applied``: what was written."""

    def __init__(self, live: Manifest | None) -> None:
        self.live = live
        self.applied: list[Manifest] = []

    async def get(self, *_: Any) -> Manifest | None:
        return self.live

    async def apply(self, manifest: Manifest) -> Manifest:
        self.applied.append(manifest)
        return manifest


class FakePlatform:
    def __init__(self, live: Manifest | None) -> None:
        self.kubernetes = FakeKubernetes(live)


async def written(manifest: Manifest, live: Manifest | None) -> bool:
    platform = FakePlatform(live)
    _, changed = await apply_owned(cast(Platform, platform), TARGET, manifest)
    assert changed == bool(platform.kubernetes.applied)
    return changed


def resource(kind: str, of: App) -> Manifest:
    return copy.deepcopy(next(m for m in record_manifests(wanted(of)) if m["kind"] == kind and "store" in str(m)))


async def test_what_is_as_wanted_is_not_written() -> None:
    of = app(components=store(replicas=2))
    assert not await written(resource("Group", of), resource("Group", of))
    assert not await written(resource("Component", of), resource("Component", of))
    assert await written(resource("Group", of), None)


@pytest.mark.parametrize("field", [{"reserveOrdinals": [0]}, {"nodeSelector": {"disk": "fast"}}])
async def test_what_the_app_names_no_more_goes_from_the_group(field: dict[str, Any]) -> None:
    before, after = app(components=store(replicas=2, **field)), app(components=store(replicas=2))
    assert await written(resource("Group", after), resource("Group", before))


async def test_a_parameter_that_the_app_names_no_more_goes_from_the_component() -> None:
    before = app(components=[{"name": "store", "config": {"heap": 5}}])
    assert await written(resource("Component", app()), resource("Component", before))


async def test_what_others_added_to_a_service_is_theirs() -> None:
    manifest = service_manifests(wanted())[0]
    live = copy.deepcopy(manifest)
    live["spec"]["externalIPs"] = ["198.51.100.1"]
    assert not await written(manifest, live)


@pytest.mark.parametrize(
    ("labels", "owner", "words"),
    [
        ({"middleware.io/app": "other"}, "another", "belongs to App other"),
        ({}, "another", "belongs to nobody"),
        ({"middleware.io/app": "books"}, "another", "from an earlier App"),
    ],
)
async def test_somebody_elses_object_is_never_taken_over(labels: dict[str, str], owner: str, words: str) -> None:
    manifest = service_manifests(wanted())[0]
    live = copy.deepcopy(manifest)
    live["metadata"] |= {"labels": labels, "ownerReferences": [{"kind": "App", "uid": owner}]}
    platform = FakePlatform(live)
    with pytest.raises(ApplicationError, match=words):
        await apply_owned(cast(Platform, platform), TARGET, manifest)
    assert platform.kubernetes.applied == []


@pytest.mark.parametrize(
    ("owners", "own"),
    [
        ([{"kind": "App", "uid": "uid-1"}], True),
        ([{"kind": "App", "uid": "another"}], False),
        ([], False),
        ([{"kind": "Team", "uid": "uid-1"}], False),
    ],
)
def test_labels_that_anybody_can_set_let_nothing_be_removed(owners: list[dict[str, str]], own: bool) -> None:
    live = copy.deepcopy(service_manifests(wanted())[0])
    live["metadata"]["ownerReferences"] = owners
    assert is_own(TARGET, live) == own
