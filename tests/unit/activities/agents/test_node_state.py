"""Why a node is not ready, in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from activities.agents.node_state import NodeState, node_state, summary

NODE = "x-server-data-0"


def deployment(**status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "updatedReplicas": 1} | status}


def pod(*, ready: bool = False, scheduled: str = "True", containers: list[dict[str, Any]] | None = None) -> Any:
    conditions = [
        {"type": "Ready", "status": "True" if ready else "False"},
        {"type": "PodScheduled", "status": scheduled, "message": "0/1 nodes are available"},
    ]
    return {
        "metadata": {"labels": {"middleware.io/node": NODE}, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": conditions, "containerStatuses": containers or [], "podIP": "198.18.0.9"},
    }


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {
        "name": "middleware",
        "image": "redis:9",
        "state": {"waiting": {"reason": reason, "message": message}},
    } | more


def test_ready() -> None:
    assert node_state(NODE, deployment(), [pod(ready=True)]).ready


def test_a_ready_pod_of_the_template_before_does_not_count() -> None:
    assert not node_state(NODE, deployment(updatedReplicas=0), [pod(ready=True)]).ready
    assert not node_state(NODE, deployment(observedGeneration=1), [pod(ready=True)]).ready


def test_available_is_what_kubernetes_says_of_a_pod_that_is_ready() -> None:
    assert not node_state(NODE, deployment(), [pod(ready=True)]).available
    assert node_state(NODE, deployment(availableReplicas=1), [pod(ready=True)]).available
    assert not node_state(NODE, deployment(availableReplicas=1), [pod()]).available


def test_a_terminating_or_foreign_pod_does_not_count() -> None:
    going, foreign = pod(ready=True), pod(ready=True)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    foreign["metadata"]["labels"]["middleware.io/node"] = "another"
    assert not node_state(NODE, deployment(), [going, foreign]).ready


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pod(scheduled="False"), ["cannot be scheduled", "0/1 nodes"]),
        (pod(containers=[waiting("ImagePullBackOff", "no such tag")]), ["redis:9", "cannot be pulled", "no such tag"]),
        (
            pod(
                containers=[
                    waiting("CrashLoopBackOff", restartCount=4, lastState={"terminated": {"exitCode": 137}}),
                ]
            ),
            ["4 restarts", "137"],
        ),
        (pod(containers=[waiting("CreateContainerConfigError", "secret not found")]), ["secret not found"]),
    ],
)
def test_the_cause_is_named(found: dict[str, Any], words: list[str]) -> None:
    reason = node_state(NODE, deployment(), [found]).reason
    assert all(word in reason for word in words)


def test_an_ordinary_start_is_no_cause() -> None:
    assert node_state(NODE, deployment(), [pod(containers=[waiting("ContainerCreating")])]).reason == ""


def test_a_quota_that_allows_no_pod_is_told() -> None:
    failed = deployment(conditions=[{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}])
    assert "exceeded quota" in node_state(NODE, failed, []).reason


def test_one_sentence_for_all() -> None:
    states = [NodeState("a", False, "no image"), NodeState("b", False, "no image"), NodeState("c", False, "full")]
    assert summary(states) == "a, b: no image (also waiting: c)"
    assert summary([NodeState("a", True)]) == ""
