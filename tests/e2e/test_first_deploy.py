"""A first Deploy that waits for a machine: what is deleted is put back, a lost primary replaced, no write lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.support.apps import group, redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, Manifest, eventually

pytestmark = pytest.mark.e2e
NAMESPACE, NAME = "first-deploy", "waits"
PRIMARY, REPLICA, FAR = (f"{NAME}-redis-server-{node}" for node in ("data-0", "data-1", "far-0"))


@pytest.fixture
def app(kube: Kube) -> Iterator[RunningApp]:
    """Two nodes that serve, and a third for which there is no machine."""
    kube.namespace(NAMESPACE)
    manifest = redis_app(NAME, NAMESPACE, "replication")
    far = group("far", 1) | {"nodeSelector": {"middleware.test/machine": "none-such"}}
    manifest["spec"]["components"][0]["groups"].append(far)
    kube.apply(manifest)
    found = RunningApp(kube, NAMESPACE, NAME)
    found.message(FAR)
    eventually("the two others serve", lambda: in_sync(found, PRIMARY))
    yield found
    kube.discard(NAME, NAMESPACE)


def in_sync(app: RunningApp, primary: str) -> bool:
    """Whether it is primary, with a replica that has a write of it."""
    if app.status().get("primary") != primary:
        return False
    with app.of_node(primary) as client:
        client.set("kept", "by both")
        return bool(client.execute_command("WAIT", 1, 1000))


def uid_of(app: RunningApp, node: str) -> str:
    return str(app.pods()[node]["metadata"]["uid"])


def present(kube: Kube, kind: str, name: str) -> Manifest | None:
    found = kube.get(kind, name, NAMESPACE)
    return found if found is not None and not found["metadata"].get("deletionTimestamp") else None


def test_what_is_deleted_is_put_back_and_a_lost_primary_is_replaced(app: RunningApp, kube: Kube) -> None:
    served = uid_of(app, PRIMARY)
    gone = [
        ("service", f"{NAME}-redis-server-master"),
        ("deployment", REPLICA),
        ("group.middleware.io", f"{NAME}-redis-server-far"),
    ]
    for kind, name in gone:
        kube.run("delete", kind, name, "-n", NAMESPACE, "--wait=false")
    for kind, name in gone:
        eventually(f"{kind} {name} is there again", lambda kind=kind, name=name: present(kube, kind, name))  # type: ignore[misc]
    told = app.events("DeployStarted")
    assert any("first deploy; " in message and message.endswith("is missing") for message in told), told
    assert uid_of(app, PRIMARY) == served
    eventually("the replica follows again", lambda: in_sync(app, PRIMARY))

    kube.run("delete", "deployment", PRIMARY, "-n", NAMESPACE, "--wait=false")
    eventually("the other is primary", lambda: app.status().get("primary") == REPLICA)
    eventually("an Event says so", lambda: any(REPLICA in message for message in app.events("FailedOver")))
    eventually("the old one is back, and follows", lambda: in_sync(app, REPLICA))
    eventually("and is trusted again", lambda: not app.status().get("fenced"))
    with app.client() as client:
        assert client.get("kept") == "by both"

    app.change(lambda spec: spec["components"][0]["groups"][1].pop("nodeSelector"))
    app.settled()
    assert app.primary() == REPLICA
    with app.of_node(FAR) as client:
        assert client.get("kept") == "by both"
