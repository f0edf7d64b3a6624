"""A slip in what Kubernetes reads is refused at apply, by the App's field, before anything is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from activities.app.dry_run import PodTrial
from activities.app.observed import observe
from api.group import AgentBundle
from api.operations import OperationType
from clients.errors import ConflictError, KubernetesError, UnavailableError, error_from_status
from render.desired.app import desired
from tests.unit.activities.support.cluster import World
from tests.unit.render.support import shelf, store

pytestmark = pytest.mark.usefixtures("virtual_time")

GROUP = "spec.components[0].groups[0]"
TYPO: dict[str, Any] = {"nodeAfinity": {}}
Manifest = dict[str, Any]
STRICT = (
    'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.affinity.nodeAfinity"'
)


def of_store(pod: Manifest) -> bool:
    return str(pod["metadata"]["labels"]["middleware.io/component"]) == "store"


def strict(pod: Manifest) -> KubernetesError | None:
    """As an API server with field validation."""
    if "nodeAfinity" in pod["spec"]["affinity"]:
        return error_from_status("creating", 400, {"reason": "BadRequest", "message": STRICT})
    if any(each.get("effect") == "NoSchedul" for each in pod["spec"].get("tolerations", [])):
        causes = [{"field": "spec.tolerations[0].effect", "message": 'Unsupported value: "NoSchedul"'}]
        return error_from_status("creating", 422, {"reason": "Invalid", "message": "x", "details": {"causes": causes}})
    return None


def quota(pod: Manifest) -> KubernetesError | None:
    """As a namespace that wants a limit of cpu from every container."""
    containers = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    lacking = [each["name"] for each in containers if "cpu" not in (each["resources"].get("limits") or {})]
    message = f"failed quota: q: must specify limits.cpu for: {','.join(lacking)}"
    return error_from_status("creating", 403, {"reason": "Forbidden", "message": message}) if lacking else None


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("affinity", TYPO, f"{GROUP}.affinity.nodeAfinity"),
        ("tolerations", [{"effect": "NoSchedul"}], f"{GROUP}.tolerations[0].effect"),
    ],
)
async def test_a_slip_in_a_new_app_is_refused_and_nothing_is_made(field: str, value: Any, path: str) -> None:
    world = World(components=store(replicas=2, **{field: value}))
    world.cluster.admission = strict
    snapshot = await world.load()
    assert snapshot.refusal.startswith(f"{path}: ")
    assert (snapshot.operation, world.names("Deployment"), world.names("Pod")) == ("", [], [])
    world.edit(components=store(replicas=2))
    assert (await world.load()).refusal == ""


async def test_a_slip_in_a_running_app_is_refused_and_what_runs_stays() -> None:
    world = await World(components=store(replicas=2)).deployed()
    world.cluster.admission = strict
    before = world.object("Deployment", "books-store-g-0")["spec"]
    world.edit(components=store(replicas=2, affinity=TYPO))
    snapshot = await world.load()
    assert snapshot.refusal.startswith(f"{GROUP}.affinity.nodeAfinity: ")
    assert snapshot.operation == ""
    assert world.object("Deployment", "books-store-g-0")["spec"] == before


async def test_a_quota_says_which_fields_to_write_and_they_are_there_to_be_written() -> None:
    world = World(components=store(replicas=2))
    world.cluster.admission = lambda pod: quota(pod) if of_store(pod) else None
    refusal = (await world.load()).refusal
    assert refusal.startswith(f"{GROUP}.resources: ")
    assert "write resources.limits.cpu, agentResources.limits.cpu" in refusal
    limits = {"limits": {"cpu": "1"}}
    world.edit(components=store(replicas=2, resources=limits, agentResources=limits))
    assert (await world.load()).refusal == ""
    containers = (await world.deployed()).object("Deployment", "books-store-g-0")["spec"]["template"]["spec"]
    found = [each["resources"]["limits"] for each in [*containers["initContainers"], *containers["containers"]]]
    assert [each["cpu"] for each in found] == ["1", "1", "1"]
    assert found[0]["memory"] == "128Mi", "ours stays where the App gives none"


async def test_a_namespace_that_has_just_been_made_admits_nothing_for_a_moment() -> None:
    world = World(components=store(replicas=2))
    tries: list[Manifest] = []

    def young(pod: Manifest) -> KubernetesError | None:
        tries.append(pod)
        message = "error looking up service account library/default"
        return (
            error_from_status("creating", 403, {"reason": "Forbidden", "message": message}) if len(tries) < 3 else None
        )

    world.cluster.admission = young
    assert (await world.load()).refusal == ""


def forbidden(message: str) -> KubernetesError:
    return error_from_status("creating", 403, {"reason": "Forbidden", "message": message})


def full(pod: Manifest) -> KubernetesError | None:
    """As a namespace whose quota the Pods of an App that was just deleted still hold; small Pods would fit."""
    memory = pod["spec"]["containers"][0]["resources"].get("requests", {}).get("memory")
    return forbidden("exceeded quota: q, requested: requests.memory=4Gi") if memory == "4Gi" else None


@pytest.mark.parametrize(
    "against",
    [full, lambda _: forbidden("violates the policy of the namespace"), lambda _: forbidden("is being terminated")],
)
async def test_a_new_app_waits_for_room_and_is_not_refused(
    against: Callable[[Manifest], KubernetesError | None],
) -> None:
    world = World(components=store(replicas=2, resources={"requests": {"memory": "4Gi"}}))
    world.cluster.admission = against
    assert (await world.load()).refusal == ""


async def test_an_amount_that_the_namespace_does_not_admit_is_refused_in_a_new_app() -> None:
    def bounded(pod: Manifest) -> KubernetesError | None:
        memory = pod["spec"]["containers"][0]["resources"].get("limits", {}).get("memory")
        return forbidden("maximum memory usage per Container is 2Gi, but limit is 4Gi") if memory == "4Gi" else None

    world = World(components=store(replicas=2, resources={"limits": {"memory": "4Gi"}}))
    world.cluster.admission = bounded
    assert (await world.load()).refusal.startswith(f"{GROUP}.resources: the namespace does not admit such a Pod")


async def test_a_look_at_an_app_of_many_groups_takes_no_longer_than_at_one() -> None:
    groups = [{"name": f"g{number}", "replicas": 1} for number in range(16)]
    world = World(components=[{"name": "store", "groups": groups}])
    world.cluster.admission = lambda pod: forbidden("no service account") if of_store(pod) else None
    loop = asyncio.get_running_loop()
    began = loop.time()
    refusal = (await world.load()).refusal
    assert loop.time() - began < 10
    assert refusal == ""


@pytest.mark.parametrize(
    "against",
    [
        lambda pod: error_from_status("creating", 400, {"message": "a webhook does not support dry run"}),
        lambda pod: UnavailableError("creating", 500, "InternalError", "a webhook is down"),
        lambda pod: ConflictError("creating", 409, "AlreadyExists", "there"),
    ],
)
async def test_what_is_not_the_apps_fault_stops_no_app(against: Callable[[Manifest], KubernetesError]) -> None:
    world = World(components=store(replicas=2, tolerations=[{"operator": "Exists"}]))
    world.cluster.admission = against
    assert (await world.load()).refusal == ""


async def test_a_namespace_that_admits_nothing_more_stops_no_running_app() -> None:
    world = await World(components=store(replicas=2)).deployed()
    world.cluster.admission = lambda pod: error_from_status("creating", 403, {"message": "exceeded quota: q"})
    world.edit(components=store(replicas=2, nodeSelector={"disk": "fast"}))
    snapshot = await world.load()
    assert (snapshot.refusal, snapshot.operation) == ("", OperationType.RESIZE)


async def test_what_was_admitted_is_not_asked_for_at_each_look() -> None:
    world = World(components=store(replicas=2))
    tried: list[Manifest] = []
    world.cluster.admission = lambda pod: tried.append(pod)
    trial, live = PodTrial(world.platform), await observe(world.platform, "library", "books", "uid-1")
    wanted = desired(world.app, shelf(), agent=AgentBundle(image="agent:1"), recorded=live.recorded)
    for _ in range(2):
        assert await trial.problems(world.app, wanted, live.recorded) == []
    assert len(tried) == 2, "one Pod of each group"
