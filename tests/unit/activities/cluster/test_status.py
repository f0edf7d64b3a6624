"""Each write of the status names all that activities own, and moves a condition's time only with its status."""

from __future__ import annotations

from datetime import UTC, datetime

from activities.cluster.status import ConditionChange, StatusChange, changed_status
from api.app import Phase

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_what_the_watcher_writes_is_not_claimed() -> None:
    live = {"ready": "5/5", "primary": "x", "components": [], "conditions": [{"type": "Ready", "status": "True"}]}
    status = changed_status(live, 1, StatusChange(phase=Phase.RUNNING), NOW)
    assert status == {"progress": {"phase": "Running"}}


def test_what_is_not_changed_is_named_again() -> None:
    live = {
        "progress": {"phase": "Deploying", "message": "m", "observedGeneration": 3},
        "operation": {"type": "Deploy", "step": "prepare", "state": "Running"},
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "lastTransitionTime": "then"}],
    }
    status = changed_status(live, 4, StatusChange(message="n", operation={"step": "wait"}), NOW)
    assert status == live | {
        "progress": {"phase": "Deploying", "message": "n", "observedGeneration": 3},
        "operation": {"type": "Deploy", "step": "wait", "state": "Running"},
    }


def test_a_transition_time_moves_with_the_status_only() -> None:
    live = {"conditions": [{"type": "Accepted", "status": "False", "reason": "InvalidSpec", "lastTransitionTime": "t"}]}
    same = StatusChange(conditions={"Accepted": ConditionChange(False, "UnsupportedChange", "m")})
    assert changed_status(live, 2, same, NOW)["conditions"][0]["lastTransitionTime"] == "t"
    other = StatusChange(conditions={"Accepted": ConditionChange(True, "Accepted")})
    assert changed_status(live, 2, other, NOW)["conditions"][0]["lastTransitionTime"] == "2026-01-02T03:04:05Z"
