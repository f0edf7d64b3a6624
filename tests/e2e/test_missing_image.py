"""An image that cannot be had: the status says which and why, and the operation goes on by itself once it is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.instance import Instance
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.images import MissingImage
from tests.e2e.support.kube import Kube, Manifest, eventually
from tests.e2e.support.platform import Temporal

pytestmark = [pytest.mark.e2e, pytest.mark.exclusive]
NAMESPACE, VERSION = "missing-image", "8.0"
IMAGE = f"middleware.local/redis:{VERSION}"


@pytest.fixture(autouse=True)
def namespace(kube: Kube) -> Iterator[None]:
    kube.namespace(NAMESPACE)
    yield
    for app in kube.find("app.middleware.io", NAMESPACE):
        kube.discard(app["metadata"]["name"], NAMESPACE)


@pytest.fixture
def missing(instance: Instance) -> Iterator[MissingImage]:
    """The node without the image of Redis 8.0; it has it again at the end, whatever happens."""
    with MissingImage(instance, IMAGE) as image:
        yield image


def wait_until_told(kube: Kube, name: str) -> Manifest:
    """The App's status once it names node and image."""

    def told() -> Manifest | None:
        status: Manifest = (kube.get("app.middleware.io", name, NAMESPACE) or {}).get("status", {})
        message = str(status.get("message", ""))
        return status if f"{name}-redis-server-data-0" in message and IMAGE in message else None

    return eventually("the status says which image is missing where", told)


def deploys(temporal: Temporal, app: Manifest) -> list[str]:
    """The states of the Deploys in this App's life."""
    found = temporal.workflows(f'MiddlewareApp="{app["metadata"]["name"]}" AND WorkflowType="Deploy"')
    return [w["status"] for w in found if f"/{app['metadata']['uid']}/" in w["execution"]["workflowId"]]


def test_the_same_deploy_goes_on_when_the_image_is_there(kube: Kube, temporal: Temporal, missing: MissingImage) -> None:
    name = "patient"
    kube.apply(redis_app(name, NAMESPACE, "standalone", 1, version=VERSION))
    status = wait_until_told(kube, name)
    assert "cannot be pulled" in status["message"]
    assert status["phase"] == "Waiting"
    assert (kube.condition("app.middleware.io", name, NAMESPACE, "Ready") or {})["status"] == "False"
    running = RunningApp(kube, NAMESPACE, name)
    eventually("an Event says so", lambda: any(IMAGE in message for message in running.events("Waiting")))
    missing.restore()
    app = running.settled(120)
    assert app["status"]["phase"] == "Running"
    assert IMAGE not in app["status"]["message"]
    assert len(deploys(temporal, app)) == 1
    eventually("it has ended", lambda: deploys(temporal, app) == ["WORKFLOW_EXECUTION_STATUS_COMPLETED"])


def test_a_spec_that_names_another_version_ends_the_wait(kube: Kube, missing: MissingImage) -> None:
    name = "corrected"
    kube.apply(redis_app(name, NAMESPACE, "standalone", 1, version=VERSION))
    wait_until_told(kube, name)
    kube.apply(redis_app(name, NAMESPACE, "standalone", 1, version="7.0"))
    kube.wait_ready(name, NAMESPACE, timeout=120)
    images = {c["image"] for pod in kube.pods(NAMESPACE, name) for c in pod["spec"]["containers"]}
    assert "middleware.local/redis:7.0" in images
    assert IMAGE not in images
