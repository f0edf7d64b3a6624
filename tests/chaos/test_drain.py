"""``kubectl drain`` on a cluster of three machines: roles move before Pods go, and never onto a cordoned machine.

MW_TEST_INSTANCE=three python -m pytest tests/chaos/test_drain.py -s
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.instance import Instance
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.environment import TEST_INSTANCE, kube_of, temporal_of
from tests.e2e.support.kube import Kube, eventually
from tests.e2e.support.machines import Machines, machine_of
from tests.e2e.support.platform import Temporal

NAMESPACE, NAME = "chaos-drain", "orders"
ROLE_MOVE_SECONDS = 3.0
"""Of failing writes, for each move of the role, as in ``tests/e2e/test_day2.py``; the goal is 1.0."""


@pytest.fixture(scope="module")
def kube() -> Kube:
    """Of a cluster that is there already."""
    return kube_of(Instance(TEST_INSTANCE))


@pytest.fixture(scope="module")
def temporal() -> Temporal:
    return temporal_of(Instance(TEST_INSTANCE))


@pytest.fixture(scope="module")
def machines(kube: Kube) -> Machines:
    found = Machines(kube)
    assert len(found.names()) >= 3, "this needs a cluster of three machines: make up NODES=3"
    return found


@pytest.fixture(scope="module")
def app(kube: Kube, machines: Machines) -> Iterator[RunningApp]:
    kube.namespace(NAMESPACE)
    kube.apply(redis_app(NAME, NAMESPACE, "sentinel", 3))
    running = RunningApp(kube, NAMESPACE, NAME)
    running.settled()
    yield running
    kube.delete("app.middleware.io", NAME, NAMESPACE)


def places(app: RunningApp, component: str = "redis-server") -> dict[str, str]:
    """Node -> machine."""
    return {node: machine_of(pod) for node, pod in app.pods(component).items()}


@pytest.fixture
def spread(app: RunningApp, temporal: Temporal) -> dict[str, str]:
    """Node -> machine, each on its own: where a volume can follow its node, one that was drained stays elsewhere."""
    for node in sorted(places(app)):
        where = list(places(app).values())
        if node != app.primary() and where.count(places(app)[node]) > 1:
            temporal.execute("Restart", {"namespace": NAMESPACE, "app": NAME, "node": node})
    app.settled()
    found = places(app)
    assert len(set(found.values())) == 3, found
    return found


def moved(app: RunningApp, before: str, timeout: float = 60.0) -> str:
    """The primary once it is another, and whoever was it serves as a replica or is gone."""

    def other() -> str:
        found = str(app.status().get("primary") or "")
        return found if found != before else ""

    return eventually(f"{before} is relieved", other, timeout)


def test_each_node_has_a_machine_of_its_own(app: RunningApp) -> None:
    for component in ("redis-server", "redis-sentinel"):
        assert len(set(places(app, component).values())) == 3, places(app, component)


@pytest.mark.parametrize("attempt", range(3))
def test_the_role_moves_before_the_pod_goes(
    app: RunningApp, machines: Machines, spread: dict[str, str], attempt: int
) -> None:
    """Again and again, so that the role comes round."""
    before = app.primary()
    where = spread[before]
    switchovers = len(app.events("Switchover"))
    with app.load(f"drain-{attempt}", ROLE_MOVE_SECONDS):
        with machines.cordoned(where):
            machines.drain(where, app, timeout=180)
            after = moved(app, before)
            assert places(app)[after] != where
            assert len(app.events("Switchover")) == switchovers + 1, "moved by the platform, not by an election"
            assert where not in places(app).values(), "all its Pods are gone"
        app.settled()
    assert app.primary() == after, "and stays when the machine is back"


def test_a_role_never_goes_to_a_cordoned_machine(
    app: RunningApp, machines: Machines, spread: dict[str, str], temporal: Temporal
) -> None:
    before = app.primary()
    others = {node: where for node, where in spread.items() if node != before}
    avoided = sorted(others)[0]
    with machines.cordoned(others[avoided]):
        temporal.execute("Switchover", {"namespace": NAMESPACE, "app": NAME, "component": "redis-server"})
        after = moved(app, before)
        assert places(app)[after] != others[avoided]
    app.settled()


def test_where_all_are_cordoned_it_waits_and_goes_on_when_one_is_free(
    app: RunningApp, machines: Machines, spread: dict[str, str]
) -> None:
    before = app.primary()
    free = next(node for node in sorted(spread) if node != before)
    with app.load("wait", ROLE_MOVE_SECONDS):
        with machines.cordoned(*(machine for machine in machines.names() if machine != spread[free])):
            with machines.cordoned(spread[free]):
                app.message("cordoned", before, "no other node could take over")
                assert app.primary() == before
            assert moved(app, before) == free
        app.settled()


def test_a_worker_that_dies_on_the_way_changes_nothing(
    app: RunningApp, machines: Machines, spread: dict[str, str], temporal: Temporal, kube: Kube
) -> None:
    before = app.primary()
    where = spread[before]
    with machines.cordoned(where):
        workers = kube.find("pod", "middleware-system", "app.kubernetes.io/component=worker")
        for pod in workers:
            options = ("--grace-period=0", "--force", "--wait=false")
            kube.delete("pod", pod["metadata"]["name"], "middleware-system", *options)
        assert places(app)[moved(app, before, timeout=120)] != where
    app.settled()
    assert temporal.workflows(f'MiddlewareApp="{NAME}" AND ExecutionStatus="Failed"') == []
