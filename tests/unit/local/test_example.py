"""The example App of `make up`: whoever has edited it finds it as it was left, and Ready is said of what is wanted."""

from __future__ import annotations

import asyncio
import copy
from types import SimpleNamespace
from typing import Any, cast

import pytest

from clients.kubernetes import Kubernetes
from clients.resources import APP, Manifest, Resource
from deploy.local import example
from deploy.local.instance import Instance
from deploy.local.platform import EXAMPLE
from deploy.local.progress import Progress


def app(phase: str = "Running", *, generation: int = 1, observed: int = 1, ready: str = "True") -> Manifest:
    found = copy.deepcopy(example.example_app(EXAMPLE))
    found["metadata"]["generation"] = generation
    condition = {"type": "Ready", "status": ready, "observedGeneration": observed, "message": "said", "reason": "X"}
    found["status"] = {"phase": phase, "conditions": [condition], "ready": "5/5", "primary": "one"}
    return found


class Cluster:
    """Has the App or not; ``kubectl apply`` makes it."""

    def __init__(self, present: Manifest | None) -> None:
        self.present = present
        self.applied: list[tuple[str, ...]] = []

    async def get(self, resource: Resource, name: str, namespace: str) -> Manifest | None:
        assert resource is APP
        return self.present

    def kubectl(self, *arguments: str) -> str:
        self.applied.append(arguments)
        self.present = app()
        return ""


class Notes(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def brought_up(present: Manifest | None) -> tuple[Cluster, list[str]]:
    cluster, notes = Cluster(present), Notes()
    instance = cast(Instance, SimpleNamespace(kubectl=cluster.kubectl))
    asyncio.run(example.bring_up(cast(Kubernetes, cluster), instance, EXAMPLE, notes))
    return cluster, notes.notes


def test_an_app_that_is_absent_is_applied() -> None:
    cluster, notes = brought_up(None)
    assert cluster.applied == [("apply", "-f", str(EXAMPLE))]
    assert notes == []


def test_an_app_that_somebody_has_edited_is_left_as_it_is() -> None:
    edited = app()
    edited["spec"]["components"][0]["groups"][0]["replicas"] = 3
    cluster, notes = brought_up(edited)
    assert cluster.applied == []
    assert notes == ["App demo/production-redis differs from production-redis.yaml, and is left as it is"]


def test_nothing_is_said_of_an_app_as_in_the_example_though_the_api_server_has_filled_in_defaults() -> None:
    same = app()
    same["spec"]["components"][0]["groups"][0]["reserveOrdinals"] = []
    cluster, notes = brought_up(same)
    assert (cluster.applied, notes) == ([], [])


@pytest.mark.parametrize(
    ("found", "settled"),
    [
        (app(), True),
        (app("Degraded"), True),
        (app("Paused"), True),
        (app(generation=2), False),
        (app("Updating", generation=2, observed=2), False),
        (app("Deploying", ready="False"), False),
        (app(ready="False"), False),
        ({"metadata": {"generation": 1}}, False),
    ],
)
def test_ready_counts_when_it_is_about_the_newest_spec_and_nothing_is_under_way(found: Manifest, settled: bool) -> None:
    assert example.state_of(found).settled == settled


def test_a_refusal_of_the_former_spec_is_not_one_of_the_newest() -> None:
    def refused(observed: int) -> Manifest:
        found = app("Refused", generation=2, observed=observed, ready="False")
        found["status"]["conditions"][0]["reason"] = "InvalidSpec"
        return found

    assert example.state_of(refused(2)).refused == "said"
    assert example.state_of(refused(1)).refused == ""


def test_who_takes_writes_is_said_first_and_only_the_password_to_take() -> None:
    found = app()
    found["status"]["endpoints"] = endpoints = cast(
        list[dict[str, Any]],
        [
            {"name": "a", "address": "a.demo.svc:1", "component": "sentinel", "serves": "AnyNode"},
            {"name": "b", "address": "b.demo.svc:2", "component": "server", "serves": "Writes"},
        ],
    )
    keys = {"password": "", "password.used": "", "password.next": "", ".rotation": ""}
    lines = example.reach_lines(found, [f"10.0.0.{n}" for n, _ in enumerate(endpoints)], keys)
    assert lines[1] == "  writes to server: 10.0.0.1:2 (in the cluster: b.demo.svc:2)"
    assert lines[2] == "  any node of sentinel: 10.0.0.0:1 (in the cluster: a.demo.svc:1)"
    assert [line.split(":")[0].strip() for line in lines[3:]] == ["password"]
