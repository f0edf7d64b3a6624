"""The command line on a real cluster: what an operator sees of an App, would change, says to it, and asks its engine.

One App serves all tests; those that only look come first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.instance import Instance
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp, deployed
from tests.e2e.support.kube import Kube, Manifest, eventually
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


def render(instance: Instance, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, changes, and what is said beside them."""
    found = mw(instance, "render", NAME, "-n", NAMESPACE, "-o", "json", *arguments, codes=(0, 4))
    changes: list[dict[str, Any]] = json.loads(found.stdout)
    return found.returncode, [each for each in changes if each["change"] != "none"], found.stderr


def test_an_app_that_is_as_wanted_would_not_change(app: RunningApp, instance: Instance) -> None:
    code, changes, said = render(instance)
    assert (changes, code) == ([], 0)
    assert said == "the spec is carried out: nothing to change\n"


def test_of_two_changes_only_the_next_is_shown(app: RunningApp, instance: Instance, tmp_path: Path) -> None:
    manifest = redis_app(NAME, NAMESPACE, "replication", version="8.0", config={"maxmemory": "99mb"})
    file = tmp_path / "app.yaml"
    file.write_text(json.dumps(manifest))
    code, changes, said = render(instance, "-f", str(file))
    assert code == 4
    assert said.startswith("Upgrade: 7.0 → 8.0; then Reconfigure (redis-server: maxmemory)")
    text = "\n".join(each["diff"] for each in changes)
    assert "middleware.local/redis:8.0" in text
    assert "99mb" not in text


def test_a_group_edited_by_hand_is_put_back(app: RunningApp, instance: Instance, kube: Kube) -> None:
    """By the record; without it the edit would be taken for what runs. Paused, or it is put back before it is seen."""
    app.change(lambda spec: spec.update(paused=True))
    change = json.dumps({"spec": {"image": "evil:1"}})
    kube.run("patch", "group.middleware.io", f"{NAME}-redis-server-data", "-n", NAMESPACE, "--type=merge", "-p", change)
    code, changes, said = render(instance)
    assert (code, [each["kind"] for each in changes]) == (4, ["Group"])
    assert "-  image: evil:1" in changes[0]["diff"]
    assert said.startswith("paused: nothing is changed until spec.paused is false; then Repair: ")
    app.change(lambda spec: spec.update(paused=False))
    app.settled(60)


def test_connect_speaks_to_the_primary_and_logs_are_the_engines(app: RunningApp, instance: Instance) -> None:
    assert mw(instance, "connect", NAME, "-n", NAMESPACE, "--", "SET", "from", "desk").stdout.strip() == "OK"
    with app.of_node(app.primary()) as client:
        assert client.get("from") == "desk"
    for node in app.nodes():
        assert "Redis" in mw(instance, "logs", NAME, short(node), "-n", NAMESPACE).stdout


def test_a_tool_runs_on_a_node_step_by_step(app: RunningApp, instance: Instance, kube: Kube) -> None:
    primary = app.primary()
    told = mw(instance, "tool", NAME, short(primary), "getRole", "--trace", "-n", NAMESPACE).stdout.splitlines()
    assert "role: master" in told
    assert "  to 127.0.0.1:6379: INFO replication" in told
    assert kube.secret(f"{NAME}-credentials", NAMESPACE, "password") not in "\n".join(told)
    refused = mw(instance, "tool", NAME, short(primary), "fence", "seconds=5", "-n", NAMESPACE, codes=(1,))
    assert "run it with --force" in refused.stdout + refused.stderr
    wrong = mw(instance, "tool", NAME, short(primary), "getRoll", "-n", NAMESPACE, codes=(1,))
    assert "the plugin has no tool 'getRoll'; it has " in wrong.stdout + wrong.stderr


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

    def slowly(spec: Manifest) -> None:  # so that the first node is being waited for when the pause comes
        spec["components"][0]["groups"][0]["rollingUpdate"] = {"minReadySeconds": 8}

    app.change(slowly)
    app.settled()
    mw(instance, "restart", NAME, "-n", NAMESPACE, "--no-wait")

    def runs() -> bool:
        """Not the one of the test before, which has ended."""
        operation = app.status().get("operation", {})
        return (operation.get("type"), operation.get("state")) == ("Restart", "Running")

    eventually("the Restart runs", runs)
    mw(instance, "pause", NAME, "-n", NAMESPACE)
    app.message("is paused")
    eventually("both nodes are ready", lambda: app.status().get("ready") == "2/2")
    assert "paused" in mw(instance, "status", NAME, "-n", NAMESPACE).stdout.lower()
    mw(instance, "resume", NAME, "-n", NAMESPACE)
    app.settled()
    assert "Restart" in mw(instance, "history", NAME, "-n", NAMESPACE).stdout
