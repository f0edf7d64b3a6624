"""``kubectl drain`` on a cluster of one machine: nobody can take over, and the App says so instead of going down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, KubectlError, Manifest, eventually
from tests.e2e.support.machines import Machines

pytestmark = [pytest.mark.e2e, pytest.mark.exclusive]
NAMESPACE = "drain"
LONG_ENOUGH = 20
"""Seconds: ``kubectl drain`` tries an eviction that was refused again every 5 s."""


def running(kube: Kube, name: str, topology: str, data_nodes: int) -> RunningApp:
    kube.namespace(NAMESPACE)
    kube.apply(redis_app(name, NAMESPACE, topology, data_nodes))
    app = RunningApp(kube, NAMESPACE, name)
    app.settled()
    return app


@pytest.fixture(scope="module")
def app(kube: Kube) -> Iterator[RunningApp]:
    found = running(kube, "orders", "sentinel", 2)
    yield found
    kube.discard(found.name, NAMESPACE)


@pytest.fixture(scope="module")
def single(kube: Kube) -> Iterator[RunningApp]:
    found = running(kube, "session", "standalone", 1)
    yield found
    kube.discard(found.name, NAMESPACE)


def uids(pods: dict[str, Manifest]) -> dict[str, str]:
    return {node: str(pod["metadata"]["uid"]) for node, pod in pods.items()}


def survivors(before: dict[str, str], after: dict[str, Manifest]) -> set[str]:
    """Nodes whose Pod is still the same."""
    return {node for node, uid in uids(after).items() if before.get(node) == uid}


def test_the_primary_and_a_majority_of_sentinels_stay_and_the_app_says_why(kube: Kube, app: RunningApp) -> None:
    machines = Machines(kube)
    (machine,) = machines.names()
    primary, data, voters = app.primary(), uids(app.pods()), uids(app.pods("redis-sentinel"))
    with app.load("drain", 0.0):
        with machines.cordoned(machine):
            said = app.message("cordoned", primary, "no other node could take over", timeout=30)
            assert f"machine {machine}" in said
            eventually("an Event says so", lambda: app.events("MachineCordoned"))
            with pytest.raises(KubectlError) as refused:
                machines.drain(machine, app, timeout=LONG_ENOUGH)
            assert "violate the pod's disruption budget" in str(refused.value)
            assert "more than one" not in str(refused.value)
            assert survivors(data, app.pods()) == {primary}, "the replica was spared, the primary was not"
            assert len(survivors(voters, app.pods("redis-sentinel"))) == 2
        app.settled()
    assert app.primary() == primary
    assert survivors(data, app.pods()) == {primary}


def test_a_single_node_is_drained_and_comes_back_with_its_data(kube: Kube, single: RunningApp) -> None:
    machines = Machines(kube)
    (machine,) = machines.names()
    before = uids(single.pods())
    single.client().set("kept", "yes")
    with machines.cordoned(machine):
        single.message("cordoned", "is the only node of redis-server", timeout=30)
        machines.drain(machine, single, timeout=120)
        assert survivors(before, single.pods()) == set()
    single.settled()
    assert single.client().get("kept") == "yes"


def test_budgets_that_are_deleted_edited_or_too_many_are_put_right(kube: Kube, app: RunningApp) -> None:
    """One that no longer fits the component holds up drains for ever."""
    writable, voters = f"{app.name}-redis-server.writable", f"{app.name}-redis-sentinel"
    odd = kube.get("pdb", writable, NAMESPACE)
    assert odd is not None
    kept = ("name", "namespace", "labels", "ownerReferences")
    odd["metadata"] = {key: odd["metadata"][key] for key in kept} | {"name": f"{app.name}-odd"}
    kube.apply(odd)
    kube.delete("pdb", writable, NAMESPACE)
    kube.run("patch", "pdb", voters, "-n", NAMESPACE, "--type=merge", "-p", '{"spec": {"minAvailable": 0}}')

    def right() -> bool:
        budgets = {each["metadata"]["name"]: each["spec"] for each in kube.find("pdb", NAMESPACE)}
        names = {f"{app.name}-redis-server", writable, voters}
        own = {name: spec for name, spec in budgets.items() if name.startswith(f"{app.name}-")}
        return own.keys() == names and own[voters]["minAvailable"] == 2 and own[writable]["maxUnavailable"] == 0

    eventually("the budgets are as before", right)
    app.settled()
