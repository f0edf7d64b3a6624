"""An App whose metadata somebody spoils goes on as before: nothing is started anew, and it can be changed as ever."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.support.day2 import RunningApp, deployed
from tests.e2e.support.kube import Kube, Manifest, eventually

pytestmark = pytest.mark.e2e
NAMESPACE, NAME = "spoiled", "archive"
CONFIG_MAP = f"{NAME}-metadata"


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    with deployed(kube, NAMESPACE, NAME, "replication") as running:
        yield running


def pods(kube: Kube) -> set[str]:
    return {pod["metadata"]["uid"] for pod in kube.pods(NAMESPACE, NAME)}


def mended(kube: Kube) -> int:
    """How often somebody was told so."""
    events = kube.events(NAME, NAMESPACE)
    return sum(int(each.get("count") or 1) for each in events if each["reason"] == "MetadataMended")


@pytest.mark.parametrize("part", ["nodes", "record", "basic"])
def test_a_spoiled_part_is_written_from_what_runs(app: RunningApp, kube: Kube, part: str) -> None:
    before, told, running = app.metadata(part), mended(kube), pods(kube)
    change = json.dumps({"data": {part: "{spoiled"}})
    kube.run("patch", "configmap", CONFIG_MAP, "-n", NAMESPACE, "--type=merge", "-p", change)
    eventually("somebody is told", lambda: mended(kube) > told)
    app.settled(60)
    after = app.metadata(part)
    assert set(after) >= set(before)
    assert after.get("normal") == before.get("normal")
    assert pods(kube) == running


def test_deleted_metadata_are_made_again_and_the_app_can_be_changed(app: RunningApp, kube: Kube) -> None:
    told, running = mended(kube), pods(kube)
    kube.run("delete", "configmap", CONFIG_MAP, "-n", NAMESPACE)
    eventually("somebody is told", lambda: mended(kube) > told)
    app.settled(60)

    def more(spec: Manifest) -> None:
        spec["components"][0]["groups"][0]["replicas"] = 3

    app.change(more)
    app.settled()
    assert pods(kube) > running
    assert len(app.metadata("nodes")["normal"]) == 3
