"""Drift is what we asked for and is not so; what others added is theirs."""

from __future__ import annotations

from typing import Any

import pytest

from activities.cluster.diff import differences

WANTED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "x", "labels": {"a": "1"}},
    "spec": {
        "replicas": 1,
        "minReadySeconds": 0,
        "hostNetwork": False,
        "template": {"containers": [{"name": "engine", "image": "redis:7", "resources": {"limits": {"cpu": "500m"}}}]},
        "command": ["a", "b"],
    },
}


def live(**spec: Any) -> dict[str, Any]:
    containers = [
        {"name": "injected", "image": "proxy"},
        {"name": "engine", "image": "redis:7", "resources": {"limits": {"cpu": "0.5"}}, "terminationMessagePath": "/x"},
    ]
    defaults = {"replicas": 1, "template": {"containers": containers}, "command": ["a", "b"], "paused": True}
    metadata = {"name": "x", "labels": {"a": "1", "theirs": "2"}, "resourceVersion": "5"}
    return {"metadata": metadata, "spec": defaults | spec, "status": {}}


def test_defaults_additions_and_other_notations_are_no_difference() -> None:
    assert differences(WANTED, live()) == []


@pytest.mark.parametrize(
    ("changed", "paths"),
    [
        ({"replicas": 0}, ["spec.replicas"]),
        ({"minReadySeconds": 5}, ["spec.minReadySeconds"]),
        ({"hostNetwork": True}, ["spec.hostNetwork"]),
        ({"command": ["a"]}, ["spec.command"]),
        ({"command": ["a", "c"]}, ["spec.command[1]"]),
        ({"template": {"containers": []}}, ["spec.template.containers[engine]"]),
        (
            {"template": {"containers": [{"name": "engine", "image": "redis:6", "resources": {"limits": {"cpu": 1}}}]}},
            ["spec.template.containers[engine].image", "spec.template.containers[engine].resources.limits.cpu"],
        ),
    ],
)
def test_a_changed_field_is_named(changed: dict[str, Any], paths: list[str]) -> None:
    assert differences(WANTED, live(**changed)) == paths


def test_a_lost_label_is_a_difference() -> None:
    manifest = live()
    del manifest["metadata"]["labels"]["a"]
    assert differences(WANTED, manifest) == ["metadata.labels.a"]


def group(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "middleware.io/v1alpha1", "kind": "Group", "metadata": {"name": "x"}, "spec": spec}


def test_of_a_list_in_our_own_resources_nobody_else_has_a_part() -> None:
    """Reserved by hand, an ordinal would make the counts be of other nodes than those that run."""
    wanted = group(replicas=2, reserveOrdinals=[], nodeSelector={})
    assert differences(wanted, group(replicas=2, reserveOrdinals=[0])) == ["spec.reserveOrdinals"]
    assert differences(wanted, group(replicas=2)) == []
    assert differences(wanted, group(replicas=2, nodeSelector={"theirs": "1"})) == []


@pytest.mark.parametrize(
    ("kind", "wanted", "added"),
    [
        ("Service", {"selector": {"app": "a"}}, {"selector": {"app": "a", "theirs": "1"}}),
        (
            "PodDisruptionBudget",
            {"selector": {"matchLabels": {"app": "a"}}},
            {"selector": {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}},
        ),
        (
            "Deployment",
            {"template": {"spec": {"nodeSelector": {}}}},
            {"template": {"spec": {"nodeSelector": {"x": "y"}}}},
        ),
    ],
)
def test_a_label_more_in_a_selector_is_a_difference(kind: str, wanted: dict[str, Any], added: dict[str, Any]) -> None:
    """A Service with one leads nowhere, a Pod finds no machine."""
    metadata = {"name": "x"}
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": wanted}
    assert differences(manifest, {"metadata": metadata, "spec": wanted}) == []
    [path] = differences(manifest, {"metadata": metadata, "spec": added})
    assert path.endswith(("selector", "nodeSelector"))
