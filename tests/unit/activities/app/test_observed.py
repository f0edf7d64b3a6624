"""What runs is known from the platform's own record: an edit by hand is seen as one, not taken for what runs."""

from __future__ import annotations

from typing import Any

import pytest

from activities.app.desired import spec_hash
from activities.app.observed import owned_by
from activities.cluster.diff import differences
from api.operations import OperationType
from render.manifests.lists import record_manifests
from tests.unit.activities.support.ledger import UID, Ledger
from tests.unit.render.support import app, store

GROUP = "books-store-g"


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(app(runtimeVersion="1", components=store(replicas=2)))


def found(ledger: Ledger) -> list[str]:
    """What the search for drift would say of Components and Groups."""
    live = {**ledger.groups, **ledger.components}
    said = []
    for manifest in record_manifests(ledger.runs()):
        name = manifest["metadata"]["name"]
        said += [f"{name} {path}" for path in differences(manifest, live[name])]
    return said


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", "evil:1"),
        ("runtimeVersion", "2"),
        ("user", 99),
        ("nodeSelector", {"disk": "slow"}),
        ("storage", {"size": "9Gi"}),
        ("replicas", 5),
        ("reserveOrdinals", [0]),
    ],
)
def test_a_hand_edited_group_is_drift_and_no_change_of_the_spec(ledger: Ledger, field: str, value: Any) -> None:
    before = ledger.runs()
    ledger.groups[GROUP]["spec"][field] = value
    assert ledger.runs() == before
    assert ledger.pending() == []
    # What the platform names is put back; what it does not name, others may add.
    assert found(ledger) or field == "nodeSelector"


def test_a_hand_edited_component_is_drift_and_no_change_of_the_spec(ledger: Ledger) -> None:
    before = ledger.runs()
    ledger.components["books-store"]["spec"]["config"]["threads"] = 9
    assert ledger.runs() == before
    assert ledger.pending() == []
    assert found(ledger) == ["books-store spec.config.threads"]


def test_a_group_that_somebody_deleted_is_made_again_as_it_was(ledger: Ledger) -> None:
    before = ledger.runs()
    del ledger.groups[GROUP]
    assert ledger.runs() == before
    assert ledger.pending() == []


def test_who_was_chosen_as_first_primary_counts_before_the_record_has_it(ledger: Ledger) -> None:
    assert ledger.state.components["store"].bootstrap_node is None
    ledger.components["books-store"]["spec"]["bootstrapNode"] = "books-store-g-1"
    assert ledger.live.recorded.components["store"].bootstrap_node == "books-store-g-1"


def test_nothing_runs_before_the_first_deploy_has_completed() -> None:
    ledger = Ledger(app(components=store(replicas=2)), runs=False)
    ledger.prepare(OperationType.DEPLOY)
    assert ledger.live.deployed is None
    ledger.finish(OperationType.DEPLOY)
    assert ledger.live.deployed is not None


def test_ordinals_are_read_from_names_of_two_digits_too() -> None:
    ledger = Ledger(app(components=store(replicas=12)))
    assert ledger.deployed.ordinals[GROUP] == tuple(range(12))


def test_pausing_and_the_deletion_policy_are_no_change_to_carry_out() -> None:
    plain = spec_hash(app())
    assert spec_hash(app(paused=True)) == plain
    assert spec_hash(app(deletionPolicy="Delete")) == plain
    assert spec_hash(app(runtimeVersion="1")) != plain


def test_an_object_belongs_to_the_app_that_owns_it() -> None:
    assert owned_by({"metadata": {"ownerReferences": [{"uid": UID}]}}, UID)
    assert not owned_by({"metadata": {"ownerReferences": [{"uid": "another"}]}}, UID)
    assert not owned_by({"metadata": {}}, UID)
