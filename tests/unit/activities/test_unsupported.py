"""Changes that no operation carries out yet are refused by field, with what to set it back to."""

from __future__ import annotations

from typing import Any

from activities.unsupported import unsupported_changes
from api.app import App
from tests.unit.render.support import app, records, store, wanted

BEFORE = app(components=store(replicas=2))
BASIC = {
    "uid": "uid-1",
    "deployed": "hash",
    "plugin": "shelf",
    "pluginVersion": "1.0.0",
    "runtimeVersion": "2",
}
NODES = {"normal": [{"name": f"books-store-g-{n}", "component": "store", "group": "g"} for n in range(2)]}


def refused(after: App, *, changed: bool = True, basic: dict[str, Any] | None = None) -> dict[str, str]:
    recorded = records(wanted(BEFORE))
    basic = BASIC if basic is None else basic
    desired = wanted(after, recorded=recorded)
    found = unsupported_changes(after, desired, recorded, basic, NODES, changed=changed)
    return {problem.path: problem.message for problem in found}


def test_what_stays_is_not_refused() -> None:
    assert refused(BEFORE) == {}
    assert refused(app(components=store(replicas=2, rollingUpdate={"maxUnavailable": 2}))) == {}


def test_each_field_is_named() -> None:
    components = store(replicas=3, resources={"limits": {"memory": "1Gi"}})
    components[0]["config"] = {"threads": 4}
    found = refused(app(components=components, runtimeVersion="1"))
    assert set(found) == {
        "spec.runtimeVersion",
        "spec.components[0].config.threads",
        "spec.components[0].groups[0].replicas",
        "spec.components[0].groups[0].resources",
    }
    assert "set it to 2" in found["spec.components[0].groups[0].replicas"]


def test_before_the_first_deploy_has_completed_it_may_change_but_not_lose_ready_nodes() -> None:
    assert refused(app(components=store(replicas=3, nodeSelector={"a": "b"})), basic={"uid": "uid-1"}) == {}


def test_a_record_that_somebody_edited_is_drift_and_no_change() -> None:
    assert refused(app(components=store(replicas=2, nodeSelector={"a": "b"})), changed=False) == {}
