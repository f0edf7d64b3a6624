"""What is not as wanted is said, and put right where that can be done: on a real API server, with real engines."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from tests.e2e.support.day2 import RunningApp, deployed
from tests.e2e.support.kube import Kube, eventually

pytestmark = pytest.mark.e2e
NAMESPACE, APP = "observed", "cache"


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    with deployed(kube, NAMESPACE, APP, "replication") as running:
        yield running


def condition(app: RunningApp, kind: str) -> tuple[str, str]:
    found = {each["type"]: each for each in app.status().get("conditions", [])}
    return found.get(kind, {}).get("status", ""), found.get(kind, {}).get("reason", "")


def replica_of(app: RunningApp) -> str:
    return next(node for node in app.nodes() if node != app.primary())


def test_a_deleted_service_of_a_node_comes_back_with_the_same_address(kube: Kube, app: RunningApp) -> None:
    """It came back with another, its engine announced the old one, and after a failover two nodes were primary."""
    app.settled()
    for node in app.nodes():
        before = kube.service_address(node, NAMESPACE)
        kube.delete("service", node, NAMESPACE)
        eventually("it is made anew", lambda node=node: kube.get("service", node, NAMESPACE), timeout=60)  # type: ignore[misc]
        assert kube.service_address(node, NAMESPACE) == before
        app.settled()


def test_a_service_that_somebody_made_anew_is_given_the_former_address(kube: Kube, app: RunningApp) -> None:
    node = replica_of(app)
    live = kube.get("service", node, NAMESPACE)
    assert live is not None
    before = live["spec"]["clusterIP"]
    kube.delete("service", node, NAMESPACE)
    copy = {"name": node, "namespace": NAMESPACE, "labels": live["metadata"]["labels"]}
    spec = {key: live["spec"][key] for key in ("ports", "selector", "publishNotReadyAddresses")}
    kube.apply({"apiVersion": "v1", "kind": "Service", "metadata": copy, "spec": spec})

    def as_before() -> bool:
        return bool(((kube.get("service", node, NAMESPACE) or {}).get("spec") or {}).get("clusterIP") == before)

    eventually("it has the former address", as_before, timeout=90)
    app.settled()


def test_a_primary_that_refuses_writes_is_never_as_wanted(app: RunningApp) -> None:
    primary = app.primary()
    with app.of_node(primary) as engine:
        engine.config_set("min-replicas-to-write", 5)
        app.message(primary, "refuses writes", "NOREPLICAS", timeout=20)
        assert app.status()["phase"] == "Degraded"
        assert condition(app, "WritesAccepted") == ("False", "WritesRefused")
        assert condition(app, "Ready") == ("False", "WritesRefused")

        def told() -> bool:
            """Set again and again: a look that comes just then puts the parameter back, before an Event is due."""
            engine.config_set("min-replicas-to-write", 5)
            return bool(app.events("WritesRefused"))

        eventually("an Event says so", told, timeout=90)
        engine.config_set("min-replicas-to-write", 0)
    app.settled()


def test_a_replica_that_follows_the_wrong_node_is_told_to_follow_again(app: RunningApp) -> None:
    primary, replica = app.primary(), replica_of(app)
    with app.of_node(replica) as engine:
        followed = engine.info("replication")["master_host"]
        engine.replicaof("127.0.0.1", 1)
        app.message(replica, "follows 127.0.0.1", primary, timeout=20)
        eventually("it follows again", lambda: engine.info("replication")["master_host"] == followed, timeout=120)
    app.settled()


def test_a_password_that_opens_nothing_is_said_once_the_pods_have_it(kube: Kube, app: RunningApp) -> None:
    secret = f"{APP}-credentials"
    before = kube.secret(secret, NAMESPACE, "password")

    def give(password: str) -> None:
        """As who makes the whole Secret anew: also of what is in use nobody knows any more."""
        encoded = base64.b64encode(password.encode()).decode()
        data = {"data": {"password": encoded, "password.used": encoded}}
        kube.run("patch", "secret", secret, "-n", NAMESPACE, "--type=merge", "-p", json.dumps(data))

    primary = app.primary()
    give("another")
    try:
        eventually(  # a kubelet takes up to two minutes to bring a Secret into a running Pod
            "it is said", lambda: condition(app, "CredentialsAccepted") == ("False", "CredentialsRefused"), timeout=180
        )
        assert "does not accept the credentials" in app.status()["message"]
        eventually("an Event says so", lambda: app.events("CredentialsRefused"))
    finally:
        give(before)
    app.settled()
    assert app.primary() == primary, "no failover for an edited Secret"
