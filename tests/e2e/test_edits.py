"""A fixed short selection of what a tenant may delete and edit in mid-operation (``tests/chaos/edits``): each App is as
wanted again, what ``WAIT`` confirmed is there, and never do two engines of an App take writes."""

from __future__ import annotations

import pytest

from deploy.local.instance import Instance
from tests.chaos.edits.apps import shapes
from tests.chaos.edits.plan import plan
from tests.chaos.edits.run import run
from tests.e2e.support.environment import kube_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
NAMESPACE = "edited"
SEED, SECONDS, EVERY, SETTLED_WITHIN = 1, 30.0, 15.0, 300.0
ACTS = (
    "configmap/deleted", "deployment/deleted", "deployment/scaled-to-none", "pod/killed", "secret/certificate-deleted",
    "service/deleted", "service/narrowed",
)  # fmt: skip
OPERATIONS = ("reconfigure", "restart", "rotate", "scale")


def test_whatever_a_tenant_deletes_or_edits_meanwhile_is_put_right(instance: Instance) -> None:
    apps = shapes(("replication", "standalone"), 2)
    steps = plan(SEED, apps, SECONDS, EVERY, ACTS, OPERATIONS)
    try:
        outcome = run(instance, NAMESPACE, apps, steps, SETTLED_WITHIN, print)
    finally:
        for name in apps:
            kube_of(instance).discard(name, NAMESPACE)
    print(outcome.summary())
    assert outcome.problems == []
    assert [each.sentences for each in outcome.verdicts] == [[], []], "nothing of this needs a person"
