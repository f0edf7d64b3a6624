"""A version that cannot work stops at the first node; the rest serves on, and an operator decides."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import yaml

from deploy.local.instance import Instance
from tests.e2e.support.apps import redis_app
from tests.e2e.support.day2 import RunningApp
from tests.e2e.support.kube import Kube, eventually
from tests.e2e.support.mw import REPOSITORY, mw

pytestmark = pytest.mark.e2e
NAMESPACE, NAME = "day2-stops", "ledger"
BROKEN = "1.0.9"
"""A plugin version like 1.0.0 that also knows a runtime version whose image nobody has, one whose image lies, and one
whose engine does not know a word of the file that it is given, and ends."""


@pytest.fixture(scope="module")
def app(kube: Kube, instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    folder = tmp_path_factory.mktemp("plugin") / "redis"
    shutil.copytree(REPOSITORY / "plugins" / "redis", folder)
    definition = yaml.safe_load((folder / "plugin.yaml").read_text())
    definition["metadata"]["version"] = BROKEN
    versions = definition["spec"]["runtimeVersions"]
    versions += [
        {"version": "9.0", "images": {"redis": "middleware.local/redis:9.0"}},
        {"version": "9.1", "images": {"redis": "middleware.local/redis:8.0"}},
        {"version": "9.2", "images": {"redis": "middleware.local/redis:8.0"}},
    ]
    (folder / "plugin.yaml").write_text(yaml.safe_dump(definition))
    with (folder / "templates" / "redis.conf.j2").open("a") as template:
        template.write('{% if runtimeVersion == "9.2" %}\nno-such-word yes\n{% endif %}\n')
    mw(instance, "plugin", "install", str(folder))
    kube.namespace(NAMESPACE)
    manifest = redis_app(NAME, NAMESPACE, "replication")
    manifest["spec"]["plugin"]["version"] = BROKEN
    kube.apply(manifest)
    running = RunningApp(kube, NAMESPACE, NAME)
    running.settled()
    yield running
    kube.discard(NAME, NAMESPACE)


def test_a_missing_image_stops_at_the_first_node_and_an_abort_goes_back(app: RunningApp, instance: Instance) -> None:
    primary = app.primary()
    before = app.pods()[primary]["metadata"]["uid"]
    with app.load("missing-image", 0.0):
        app.change(lambda spec: spec.update(runtimeVersion="9.0"))
        message = app.message("stopped", "middleware.local/redis:9.0", timeout=150)
        assert "retry, skip or abort" in message
        assert app.pods()[primary]["metadata"]["uid"] == before, "the primary was not touched"

        first, service = app.status()["operation"]["workflowId"], f"{NAME}-redis-server"
        app.kube.delete("service", service, NAMESPACE)
        eventually("drift is repaired all the same", lambda: app.kube.get("service", service, NAMESPACE))

        def stopped_again() -> bool:
            """Not what was said before the Repair: until that tells of itself it stands."""
            operation = app.status()["operation"]
            another = operation["type"] == "Upgrade" and operation["workflowId"] != first
            return bool(another and operation["state"] == "Waiting")

        eventually("another Upgrade has stopped", stopped_again, timeout=150)
        app.message("stopped", "middleware.local/redis:9.0", timeout=150)

        assert "ends" in mw(instance, "abort", NAME, "-n", NAMESPACE).stdout
        app.message("was aborted", "rolled back", timeout=150)
        eventually("both nodes serve", lambda: app.status().get("ready") == "2/2", timeout=120)
    assert app.pods()[primary]["metadata"]["uid"] == before
    assert {node["version"] for node in app.metadata("nodes")["normal"]} == {"7.0"}
    app.change(lambda spec: spec.update(runtimeVersion="7.0"))
    app.settled()


def test_an_engine_of_another_version_than_promised_is_found_out(app: RunningApp, instance: Instance) -> None:
    """The image of 9.1 holds 8.0: the node comes up, says so, and the operation stops before the next."""
    primary = app.primary()
    before = app.pods()[primary]["metadata"]["uid"]
    app.change(lambda spec: spec.update(runtimeVersion="9.1"))
    app.message("stopped", "should hold 9.1", timeout=150)
    assert app.pods()[primary]["metadata"]["uid"] == before
    history = mw(instance, "history", NAME, "-n", NAMESPACE).stdout
    assert "Upgrade" in history
    assert "ends" in mw(instance, "abort", NAME, "-n", NAMESPACE).stdout
    app.message("was aborted", "rolled back", timeout=200)
    eventually("both nodes serve 7.0 again", lambda: app.status().get("ready") == "2/2", timeout=120)
    for node in app.nodes():
        with app.of_node(node) as client:
            assert client.info("server")["redis_version"].startswith("7.0.")
    app.change(lambda spec: spec.update(runtimeVersion="7.0"))
    app.settled()


def test_a_version_that_ends_at_its_start_stops_there_and_an_abort_goes_back(
    app: RunningApp, instance: Instance
) -> None:
    primary = app.primary()
    replica = next(node for node in app.nodes() if node != primary)
    before = app.pods()[primary]["metadata"]["uid"]
    with app.load("crashing", 0.0):
        app.change(lambda spec: spec.update(runtimeVersion="9.2"))
        message = app.message("stopped", replica, "retry, skip or abort", timeout=200)
        assert "keeps ending" in message
        assert "exit code 1, saying: " in message
        assert ">>> 'no-such-word yes'" in message, "the engine's own words"
        assert not any(each["restartCount"] for each in app.pods()[replica]["status"]["containerStatuses"])
        assert app.pods()[primary]["metadata"]["uid"] == before, "the primary was not touched"
        assert app.primary() == primary
        log = mw(instance, "logs", NAME, replica, "-n", NAMESPACE).stdout
        assert "no-such-word" in log, "the engine's own words"

        assert "ends" in mw(instance, "abort", NAME, "-n", NAMESPACE).stdout
        app.message("was aborted", "rolled back", timeout=200)
        eventually("both nodes serve", lambda: app.status().get("ready") == "2/2", timeout=120)
    assert app.pods()[primary]["metadata"]["uid"] == before
    for node in app.nodes():
        with app.of_node(node) as client:
            assert client.info("server")["redis_version"].startswith("7.0.")
    app.change(lambda spec: spec.update(runtimeVersion="7.0"))
    app.settled()


def test_a_corrected_spec_goes_first_and_the_overtaken_operation_says_so(app: RunningApp, instance: Instance) -> None:
    app.change(lambda spec: spec.update(runtimeVersion="9.0"))
    app.message("stopped", "middleware.local/redis:9.0", timeout=150)
    with app.load("corrected", 3.0):
        app.change(lambda spec: spec.update(runtimeVersion="8.0"))
        app.settled()
    assert {node["version"] for node in app.metadata("nodes")["normal"]} == {"8.0"}
    assert "newer spec" in mw(instance, "history", NAME, "-n", NAMESPACE).stdout


def test_a_stopped_upgrade_does_not_hold_up_a_deletion(app: RunningApp) -> None:
    app.change(lambda spec: spec.update(runtimeVersion="9.0"))
    app.message("stopped", timeout=150)
    app.kube.delete("app.middleware.io", NAME, NAMESPACE, timeout=90)
    assert app.kube.get("app.middleware.io", NAME, NAMESPACE) is None
