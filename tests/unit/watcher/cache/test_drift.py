"""Drift is what somebody else did to an App's object; what the platform and the controllers do all day is not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from clients.shared_watch import Change, WatchEvent
from tests.unit.watcher.support.objects import Manifest, app, metadata, service
from watcher.cache.drift import belongs_to, describe, trim


def managed(manager: str, time: str, operation: str = "Apply", subresource: str = "") -> dict[str, Any]:
    entry = {"manager": manager, "operation": operation, "apiVersion": "v1", "time": time, "fieldsV1": {"f:spec": {}}}
    return {**entry, "subresource": subresource} if subresource else entry


def owned(manifest: Manifest) -> Manifest:
    manifest["metadata"]["managedFields"] = [managed("middleware-platform", "2025-01-01T00:00:00Z")]
    return manifest


def deployment() -> Manifest:
    return owned(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata("cache-redis-server-data-0", {"middleware.io/app": "cache"}),
            "spec": {"replicas": 1},
        }
    )


def claim() -> Manifest:
    return owned(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata("cache-redis-server-data-0", {"middleware.io/app": "cache"}),
            "spec": {"resources": {"requests": {"storage": "1Gi"}}},
        }
    )


def event(before: Manifest, change: Callable[[Manifest], object], author: dict[str, Any] | None) -> WatchEvent:
    after = copy.deepcopy(before)
    change(after)
    if author is not None:
        after["metadata"]["managedFields"].append(author)
    trim(before)
    trim(after)
    return WatchEvent(Change.MODIFIED, after, before)


LATER = "2025-01-01T00:05:00Z"


def test_an_edit_by_a_person_is_named_with_its_author() -> None:
    edit = event(
        owned(service("cache-redis", "redis", 6379)),
        lambda s: s["spec"].update(sessionAffinity="ClientIP"),
        managed("kubectl-edit", LATER, "Update"),
    )
    assert describe(edit) == "Service cache-redis was changed by kubectl-edit"


def test_scaling_a_deployment_by_hand_is_drift() -> None:
    scaled = event(deployment(), lambda d: d["spec"].update(replicas=0), managed("kubectl", LATER, "Update", "scale"))
    assert describe(scaled) == "Deployment cache-redis-server-data-0 was changed by kubectl"


def test_a_deletion_is_drift() -> None:
    gone = deployment()
    trim(gone)
    assert "was deleted" in (describe(WatchEvent(Change.DELETED, gone, gone)) or "")


def test_a_lost_label_is_drift() -> None:
    lost = event(
        deployment(), lambda d: d["metadata"]["labels"].update({"middleware.io/node": "x"}),
        managed("kubectl-label", LATER, "Update"),
    )  # fmt: skip
    assert "kubectl-label" in (describe(lost) or "")


def test_our_own_change_is_not() -> None:
    def apply_again(manifest: Manifest) -> None:
        manifest["spec"]["replicas"] = 0
        manifest["metadata"]["managedFields"] = [managed("middleware-platform", LATER)]

    assert describe(event(deployment(), apply_again, None)) is None


@pytest.mark.parametrize(
    ("make", "change", "author"),
    [
        (
            deployment,
            lambda d: d["metadata"].update(annotations={"deployment.kubernetes.io/revision": "2"}),
            managed("kube-controller-manager", LATER, "Update"),
        ),
        (
            deployment,
            lambda d: d.update(status={"readyReplicas": 1}),
            managed("kube-controller-manager", LATER, "Update", "status"),
        ),
        (
            claim,
            lambda c: c["spec"].update(volumeName="pvc-1"),
            managed("kube-controller-manager", LATER, "Update"),
        ),
    ],
)
def test_what_controllers_write_is_not(
    make: Callable[[], Manifest], change: Callable[[Manifest], object], author: dict[str, Any]
) -> None:
    assert describe(event(make(), change, author)) is None


def test_a_change_whose_author_cannot_be_told_is_told_where_it_may_be_foreign() -> None:
    """``time`` has whole seconds: two changes of one author within a second look like none."""
    ours = event(deployment(), lambda d: d["spec"].update(replicas=0), None)
    assert describe(ours) is None
    before = deployment()
    before["metadata"]["managedFields"].append(managed("kubectl-edit", LATER, "Update"))
    unclear = event(before, lambda d: d["spec"].update(replicas=0), None)
    assert describe(unclear) == "Deployment cache-redis-server-data-0 was changed by somebody unknown"


def test_what_is_kept_holds_no_content_and_trimming_twice_is_trimming_once() -> None:
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata("cache-redis-server-data-0", {"middleware.io/app": "cache"}),
        "data": {"redis.conf": "x" * 100_000},
    }
    trim(config_map)
    assert "data" not in config_map
    once = copy.deepcopy(config_map)
    trim(config_map)
    assert config_map == once


def test_an_object_of_an_earlier_app_is_not_ours() -> None:
    theirs = service("cache-redis", "redis", 6379)
    theirs["metadata"]["ownerReferences"] = [{"kind": "App", "name": "cache", "uid": "another"}]
    assert not belongs_to(theirs, app())
    theirs["metadata"]["ownerReferences"][0]["uid"] = app()["metadata"]["uid"]
    assert belongs_to(theirs, app())
