"""Which machines are about to be emptied."""

from __future__ import annotations

from typing import Any

import pytest

from clients.machines import machine_of, takes_pods


@pytest.mark.parametrize(
    ("spec", "takes"),
    [
        ({}, True),
        (None, True),
        ({"unschedulable": True}, False),
        ({"unschedulable": False}, True),
        ({"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "dedicated", "value": "databases", "effect": "NoSchedule"}]}, True),
    ],
)
def test_takes_pods(spec: dict[str, Any] | None, takes: bool) -> None:
    assert takes_pods({"metadata": {"name": "m"}, "spec": spec}) is takes


def test_a_machine_that_is_gone_takes_none() -> None:
    assert not takes_pods(None)


def test_a_pod_without_a_machine_has_none() -> None:
    assert machine_of({"metadata": {}}) == ""
    assert machine_of({"metadata": {}, "spec": {"nodeName": "m"}}) == "m"
