"""`mw render` on a real API server: nothing where the App is as wanted, else the next operation and only that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.instance import Instance
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp, deployed
from tests.e2e.support.kube import Kube
from tests.e2e.support.mw import mw

pytestmark = pytest.mark.e2e
NAMESPACE, NAME = "rendered", "press"


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    with deployed(kube, NAMESPACE, NAME, "replication") as running:
        yield running


def render(instance: Instance, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, changes, and what is said beside them."""
    found = mw(instance, "render", NAME, "-n", NAMESPACE, "-o", "json", *arguments, codes=(0, 4))
    changes: list[dict[str, Any]] = json.loads(found.stdout)
    return found.returncode, [each for each in changes if each["change"] != "none"], found.stderr


def test_an_app_that_is_as_wanted_would_not_change(app: RunningApp, instance: Instance) -> None:
    code, changes, said = render(instance)
    assert (changes, code) == ([], 0)
    assert said.startswith("Repair: ")


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
    assert said.startswith("Repair: ")
    app.change(lambda spec: spec.update(paused=False))
    app.settled(60)
