"""Why a node does not serve: the same words in its status as in an operation that waits for it."""

from __future__ import annotations

from typing import Any

from clients.pod_reason import why_not_ready
from tests.unit.watcher.support.objects import pod
from watcher.cache.pods import trim, trouble

UNPULLED = {
    "name": "middleware",
    "image": "redis:99",
    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
}


def down(**status: Any) -> dict[str, Any]:
    found = pod("store", 0, ready=False)
    found["status"] |= status
    return found


def test_kubernetes_own_complaint_comes_first() -> None:
    found = down(containerStatuses=[UNPULLED])
    assert trouble(found) == why_not_ready(found) == "the image redis:99 cannot be pulled (ImagePullBackOff): not found"
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert trouble(found).startswith("the image redis:99")


def test_a_container_that_keeps_ending_tells_how_and_why() -> None:
    ends = "container tools keeps ending (3 restarts, last with exit code"
    assert ending(1, "Error", "agent 2 cannot start: no\n") == f"{ends} 1): agent 2 cannot start: no"
    assert ending(0, "Completed") == f"{ends} 0)"
    assert ending(2, "ContainerStatusUnknown") == f"{ends} 2 (ContainerStatusUnknown))"


def test_a_container_that_has_used_up_its_memory_tells_the_limit_also_as_the_watcher_keeps_its_pod() -> None:
    ends = "container tools keeps ending (3 restarts, last with exit code 137: out of memory"
    assert ending(137, "OOMKilled") == f"{ends})"
    found = in_back_off({"exitCode": 137, "reason": "OOMKilled"})
    limits = {"limits": {"memory": "256Mi", "cpu": "1"}, "requests": {"memory": "64Mi"}}
    found["spec"] = {"containers": [{"name": "middleware"}, {"name": "tools", "resources": limits, "image": "redis"}]}
    assert trouble(found) == f"{ends} (limit 256Mi))"
    for _ in range(2):
        trim(found)
        assert trouble(found) == f"{ends} (limit 256Mi))"
    assert "image" not in str(found["spec"])


def ending(code: int, reason: str, message: str = "") -> str:
    return trouble(in_back_off({"exitCode": code, "reason": reason, "message": message}))


def in_back_off(last: dict[str, Any]) -> dict[str, Any]:
    state = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": last}}
    return down(containerStatuses=[{"name": "tools", "restartCount": 3, **state}])


def test_a_pod_that_ends_or_has_ended_says_so() -> None:
    going = down()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert trouble(going) == "is being stopped"
    assert trouble(down(phase="Failed")) == "the Pod has ended (Failed)"
    assert trouble(pod("store", 0)) == ""
