"""The command line on a real cluster: what an operator sees of an App, says to it, and asks its engine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from deploy.local.instance import Instance
from tests.e2e.support.day2 import RunningApp, deployed
from tests.e2e.support.kube import Kube, eventually
from tests.e2e.support.mw import mw

pytestmark = pytest.mark.e2e
NAMESPACE, NAME = "desk", "counter"


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    with deployed(kube, NAMESPACE, NAME, "replication") as running:
        yield running


def short(node: str) -> str:
    return node.removeprefix(f"{NAME}-")


def test_status_draws_each_node_with_its_role(app: RunningApp, instance: Instance) -> None:
    said = mw(instance, "status", NAME, "-n", NAMESPACE).stdout
    assert "as wanted" in said
    for node in app.nodes():
        [line] = [line for line in said.splitlines() if short(node) in line or node in line]
        assert ("master" if node == app.primary() else "replica") in line
    assert json.loads(mw(instance, "status", NAME, "-n", NAMESPACE, "-o", "json").stdout)


def test_connect_speaks_to_the_primary_and_logs_are_the_engines(app: RunningApp, instance: Instance) -> None:
    assert mw(instance, "connect", NAME, "-n", NAMESPACE, "--", "SET", "from", "desk").stdout.strip() == "OK"
    with app.of_node(app.primary()) as client:
        assert client.get("from") == "desk"
    for node in app.nodes():
        assert "Redis" in mw(instance, "logs", NAME, short(node), "-n", NAMESPACE).stdout


def test_a_switchover_and_a_restart_of_one_node(app: RunningApp, instance: Instance) -> None:
    old = app.primary()
    new = next(node for node in app.nodes() if node != old)
    mw(instance, "switchover", NAME, "-n", NAMESPACE, "--to", short(new))
    eventually("the status names the new primary", lambda: app.primary() == new)
    pods = {node: pod["metadata"]["uid"] for node, pod in app.pods().items()}
    mw(instance, "restart", NAME, "-n", NAMESPACE, "--node", short(old))
    app.settled()
    changed = [node for node, pod in app.pods().items() if pod["metadata"]["uid"] != pods[node]]
    assert changed == [old]
    refused = mw(instance, "restart", NAME, "-n", NAMESPACE, "--node", "nobody", codes=(1,))
    assert "nobody" in refused.stdout + refused.stderr


def test_paused_between_two_nodes_and_resumed(app: RunningApp, instance: Instance) -> None:
    nothing = mw(instance, "pause", NAME, "-n", NAMESPACE, codes=(1,))
    assert "no operation runs" in nothing.stdout + nothing.stderr
    mw(instance, "restart", NAME, "-n", NAMESPACE, "--no-wait")
    eventually("the Restart runs", lambda: app.status().get("operation", {}).get("type") == "Restart")
    mw(instance, "pause", NAME, "-n", NAMESPACE)
    app.message("is paused")
    eventually("both nodes are ready", lambda: app.status().get("ready") == "2/2")
    assert "paused" in mw(instance, "status", NAME, "-n", NAMESPACE).stdout.lower()
    mw(instance, "resume", NAME, "-n", NAMESPACE)
    app.settled()
    assert "Restart" in mw(instance, "history", NAME, "-n", NAMESPACE).stdout
