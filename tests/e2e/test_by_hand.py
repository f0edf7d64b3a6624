"""Operations started by hand with Temporal's own client do what the watcher would have, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.support.apps import redis_app
from tests.e2e.support.kube import Kube, eventually
from tests.e2e.support.platform import Temporal

pytestmark = pytest.mark.e2e
NAMESPACE, APP = "by-hand", "cache"


@pytest.fixture(scope="module", autouse=True)
def deployed(kube: Kube) -> Iterator[None]:
    kube.namespace(NAMESPACE)
    kube.apply(redis_app(APP, NAMESPACE, "standalone", 1))
    kube.wait_ready(APP, NAMESPACE)
    yield
    kube.discard(APP, NAMESPACE)


def test_deploy_by_hand_finds_nothing_to_do(kube: Kube, temporal: Temporal) -> None:
    before = {p["metadata"]["uid"] for p in kube.pods(NAMESPACE, APP)}
    result = temporal.execute("Deploy", {"namespace": NAMESPACE, "app": APP})
    assert result["outcome"] == "nothing to do"
    assert {p["metadata"]["uid"] for p in kube.pods(NAMESPACE, APP)} == before


def test_deploy_by_hand_of_an_app_that_does_not_exist_is_refused(temporal: Temporal) -> None:
    with pytest.raises(AssertionError, match="nobody"):
        temporal.execute("Deploy", {"namespace": NAMESPACE, "app": "nobody"})


def test_the_operation_reads_well_without_opening_a_payload(temporal: Temporal) -> None:
    query = f'MiddlewareApp="{APP}" AND MiddlewareNamespace="{NAMESPACE}"'

    def completed() -> bool:
        """The App is ready before its Deploy has ended."""
        states = [w["status"] for w in temporal.workflows(query) if w["type"]["name"] == "Deploy"]
        return bool(states) and set(states) == {"WORKFLOW_EXECUTION_STATUS_COMPLETED"}

    eventually("each Deploy has completed", completed)
    found = temporal.workflows(query)
    types = {workflow["type"]["name"] for workflow in found}
    assert {"App", "Deploy", "Component", "Group"} <= types
    deploys = [w for w in found if w["type"]["name"] == "Deploy"]
    [first] = [w for w in deploys if "/app/" in w["execution"]["workflowId"]][-1:]
    assert f"Deploy {NAMESPACE}/{APP}: first deploy" in temporal.summaries(first["execution"]["workflowId"])
    said = [text for w in found for text in temporal.summaries(w["execution"]["workflowId"])]
    assert "Secrets, record, Components, Groups" in said, "a step"
    node = f"{APP}-redis-server-"
    assert any(node in text and text.startswith(node) for text in said), "the nodes that a step is about"
