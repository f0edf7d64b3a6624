"""Bad input is refused with the field and the remedy, in a condition and an Event; what runs is not touched."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.support.apps import redis_app
from tests.e2e.support.kube import Kube, KubectlError, Manifest, eventually

pytestmark = pytest.mark.e2e
NAMESPACE = "bad-input"


@pytest.fixture(scope="module", autouse=True)
def namespace(kube: Kube) -> Iterator[None]:
    kube.namespace(NAMESPACE)
    yield
    for app in kube.find("app.middleware.io", NAMESPACE):
        kube.discard(app["metadata"]["name"], NAMESPACE)


def spec(**changes: Any) -> Callable[[Manifest], None]:
    return lambda app: app["spec"].update(changes)


def component(**changes: Any) -> Callable[[Manifest], None]:
    return lambda app: app["spec"]["components"][0].update(changes)


def group(**changes: Any) -> Callable[[Manifest], None]:
    return lambda app: app["spec"]["components"][0]["groups"][0].update(changes)


def rename(name: str) -> Callable[[Manifest], None]:
    return lambda app: app["metadata"].update(name=name)


REFUSED: dict[str, tuple[Callable[[Manifest], None], str, list[str]]] = {
    "unknown plugin": (spec(plugin={"name": "reddis", "version": "1.0.0"}), "spec.plugin.name", ["redis"]),
    "unknown plugin version": (spec(plugin={"name": "redis", "version": "9.9.9"}), "spec.plugin.version", ["1.0.0"]),
    "unsupported runtime": (spec(runtimeVersion="5.0"), "spec.runtimeVersion", ["6.0", "7.0", "8.0"]),
    "unknown topology": (spec(topology="ring"), "spec.topology", ["standalone", "replication", "sentinel"]),
    "unknown component": (component(name="redis-srever"), "spec.components[0].name", ["redis-server"]),
    "unknown parameter": (component(config={"maxmemmory": "64mb"}), "config.maxmemmory", ["maxmemory"]),
    "wrong type": (component(config={"timeout": "soon"}), "config.timeout", ["whole number"]),
    "out of range": (component(config={"databases": 0}), "config.databases", ["1"]),
    "too few replicas": (
        component(groups=[{"name": "data", "replicas": 1}]),
        "spec.components[0].groups",
        ["2"],
    ),
    "unknown storage class": (
        component(groups=[{"name": "data", "replicas": 2, "storage": {"size": "1Gi", "storageClassName": "nope"}}]),
        "spec.components[0].groups[0].storage.storageClassName",
        ["the cluster has", "write one that exists"],
    ),
    "slip in affinity": (
        group(affinity={"nodeAfinity": {}}),
        "spec.components[0].groups[0].affinity.nodeAfinity",
        ["unknown field"],
    ),
    "slip in toleration": (
        group(tolerations=[{"key": "a", "operator": "Exist"}]),
        "spec.components[0].groups[0].tolerations[0].operator",
        ["Exists"],
    ),
    "slip in node selector": (
        group(nodeSelector={"disk": "not a label"}),
        "spec.components[0].groups[0].nodeSelector",
        ["not a label"],
    ),
    "half a byte": (
        group(resources={"limits": {"memory": "512m"}}),
        "spec.components[0].groups[0].resources.limits.memory",
        ["did you mean 512Mi?"],
    ),
    "more data than memory": (
        component(config={"maxmemory": "2gb"}),
        "spec.components[0].config.maxmemory",
        ["2gb", "512Mi"],
    ),
    "name too long": (rename("a-name-too-long-for-what-is-derived-from-it-x"), "spec.components[0]", ["63"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_field_and_remedy(kube: Kube, case: str) -> None:
    change, path, remedies = REFUSED[case]
    manifest = copy.deepcopy(redis_app(case.replace(" ", "-"), NAMESPACE, "replication", 2))
    change(manifest)
    name = manifest["metadata"]["name"]
    kube.apply(manifest)

    def refused() -> Manifest | None:
        condition = kube.condition("app.middleware.io", name, NAMESPACE, "Ready")
        return condition if condition and condition["reason"] == "InvalidSpec" else None

    condition = eventually(f"{case} is refused", refused, timeout=30)
    assert condition["status"] == "False"
    assert path in condition["message"]
    for remedy in remedies:
        assert remedy in condition["message"]
    messages = eventually("an Event says so", lambda: [e["message"] for e in kube.events(name, NAMESPACE)])
    assert any(path in m for m in messages)
    assert kube.pods(NAMESPACE, name) == []
    kube.discard(name, NAMESPACE)


@pytest.mark.parametrize("replicas", [0, -1])
def test_no_replicas_is_refused_at_once(kube: Kube, replicas: int) -> None:
    manifest = redis_app("none", NAMESPACE, "standalone", replicas)
    with pytest.raises(KubectlError, match=r"groups\[0\]\.replicas.*greater than or equal to 1"):
        kube.apply(manifest)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (spec(plugin={"name": "redis", "version": "latest"}), r"plugin\.version: .*three numbers, like 1\.0\.0"),
        (
            component(groups=[{"name": "data", "replicas": 1, "resources": {"limits": {"memory": "lots"}}}]),
            r"limits\[memory\]: .*Write a quantity, like 500m",
        ),
        (
            component(groups=[{"name": "data", "replicas": 1, "storage": {"size": "1GB"}}]),
            r"storage\.size: .*Write a quantity, like 500m",
        ),
        (component(groups=[{"name": "Data", "replicas": 1}]), r"groups\[0\]\.name: .*Use lower-case letters"),
    ],
)
def test_what_no_value_can_be_is_refused_at_once_with_what_to_write(
    kube: Kube, change: Callable[[Manifest], None], said: str
) -> None:
    manifest = redis_app("latest", NAMESPACE, "standalone", 1)
    change(manifest)
    with pytest.raises(KubectlError, match=said):
        kube.apply(manifest)


def test_duplicate_groups_are_refused_at_once(kube: Kube) -> None:
    manifest = redis_app("groups", NAMESPACE, "replication", 2)
    manifest["spec"]["components"][0]["groups"] *= 2
    with pytest.raises(KubectlError, match=r"groups\[1\]: Duplicate value"):
        kube.apply(manifest)


def test_duplicate_names_are_refused_at_once(kube: Kube) -> None:
    manifest = redis_app("twice", NAMESPACE, "replication", 2)
    manifest["spec"]["components"] *= 2
    with pytest.raises(KubectlError, match=r"[Dd]uplicate"):
        kube.apply(manifest)


def test_a_quota_names_the_fields_to_write_and_these_do(kube: Kube) -> None:
    namespace = f"{NAMESPACE}-quota"
    kube.namespace(namespace)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "cpu", "namespace": namespace}}
    kube.apply({**quota, "spec": {"hard": {"limits.cpu": "8"}}})
    manifest = redis_app("bounded", namespace, "standalone", 1)
    group(resources={"limits": {"memory": "512Mi"}})(manifest)
    kube.apply(manifest)

    def told() -> bool:
        condition = kube.condition("app.middleware.io", "bounded", namespace, "Ready") or {}
        return "write resources.limits.cpu, agentResources.limits.cpu" in condition.get("message", "")

    eventually("the fields are named", told, timeout=60)
    assert kube.pods(namespace, "bounded") == []
    group(resources={"limits": {"memory": "512Mi", "cpu": "1"}}, agentResources={"limits": {"cpu": "1"}})(manifest)
    kube.apply(manifest)
    kube.wait_ready("bounded", namespace)
    kube.discard("bounded", namespace)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (component(config={"no-such-parameter": 1}), "no-such-parameter"),
        (group(affinity={"nodeAfinity": {}}), "groups[0].affinity.nodeAfinity"),
    ],
)
def test_a_bad_change_leaves_what_runs_alone(kube: Kube, change: Callable[[Manifest], None], named: str) -> None:
    manifest = redis_app("running", NAMESPACE, "standalone", 1)
    kube.apply(manifest)
    kube.wait_ready("running", NAMESPACE)
    before = [p["metadata"]["uid"] for p in kube.pods(NAMESPACE, "running")]
    good = copy.deepcopy(manifest)
    change(manifest)
    kube.apply(manifest)

    def refused() -> bool:
        condition = kube.condition("app.middleware.io", "running", NAMESPACE, "Ready") or {}
        return condition.get("reason") == "InvalidSpec" and named in condition["message"]

    eventually("the change is refused", refused, timeout=30)
    assert [p["metadata"]["uid"] for p in kube.pods(NAMESPACE, "running")] == before
    kube.apply(good)
    kube.wait_ready("running", NAMESPACE, timeout=30)
    assert [p["metadata"]["uid"] for p in kube.pods(NAMESPACE, "running")] == before


def test_a_pod_that_cannot_be_scheduled_is_told_and_goes_on_by_itself(kube: Kube) -> None:
    manifest = redis_app("waiting", NAMESPACE, "standalone", 1)
    manifest["spec"]["components"][0]["groups"][0]["nodeSelector"] = {"middleware-test": "here"}
    kube.apply(manifest)

    def told() -> str:
        found = kube.get("app.middleware.io", "waiting", NAMESPACE) or {}
        message = str(found.get("status", {}).get("message", ""))
        return message if "waiting-redis-server-data-0" in message and "schedul" in message else ""

    eventually("the status says why it waits", told, timeout=60)
    node = kube.run("get", "nodes", "-o", "name").split()[0]
    kube.run("label", node, "middleware-test=here")
    try:
        kube.wait_ready("waiting", NAMESPACE)
    finally:
        kube.run("label", node, "middleware-test-")
