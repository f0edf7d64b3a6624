"""Passwords are changed under load: nobody with the old or the new one is refused while it runs, the old one is refused
afterwards, and the App can still replace its primary."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from deploy.local.instance import Instance
from tests.chaos.insides import engine
from tests.e2e.support import platform
from tests.e2e.support.day2 import RunningApp, deployed
from tests.e2e.support.kube import Kube, eventually
from tests.e2e.support.mw import mw
from tests.e2e.support.platform import Temporal
from tests.e2e.support.writer import AcknowledgedWriter, never

pytestmark = pytest.mark.e2e
NAMESPACE = "rotation"
PORTS = {"redis-server": 6379, "redis-sentinel": 26379}


@pytest.fixture(scope="module", params=["sentinel", "replication"])
def app(request: pytest.FixtureRequest, kube: Kube) -> Iterator[RunningApp]:
    with deployed(kube, NAMESPACE, f"r-{request.param}", request.param) as running:
        yield running


def held(app: RunningApp, key: str) -> str:
    """What the App's Secret holds; empty where it has no such key."""
    data = (app.kube.get("secret", f"{app.name}-credentials", NAMESPACE) or {})["data"]
    return base64.b64decode(data.get(key, "")).decode()


def opens(app: RunningApp, node: str, component: str, password: str) -> bool:
    address = app.kube.service_address(node, NAMESPACE)
    with redis.Redis(address, PORTS[component], password=password, socket_timeout=3, retry=never()) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return False


def opened(app: RunningApp, password: str) -> set[bool]:
    components = [c for c in PORTS if app.nodes(c)]
    return {opens(app, node, c, password) for c in components for node in app.nodes(c)}


def writer(app: RunningApp, password: str, prefix: str) -> AcknowledgedWriter:
    address = app.kube.service_address(f"{app.name}-redis-server-master", NAMESPACE)
    return AcknowledgedWriter(address, password, prefix=prefix, wait_replicas=0, logs_in=True)


def payloads(part: object) -> Iterator[str]:
    """What the events of a history carry."""
    if isinstance(part, dict):
        if isinstance(part.get("data"), str):
            yield base64.b64decode(part["data"]).decode("utf-8", "replace")
        for value in part.values():
            yield from payloads(value)
    elif isinstance(part, list):
        for value in part:
            yield from payloads(value)


def test_nobody_is_refused_while_the_password_is_changed(
    kube: Kube, app: RunningApp, instance: Instance, temporal: Temporal
) -> None:
    """With Sentinel the worker dies in the middle of it."""
    old, primary = held(app, "password"), app.primary()
    with ThreadPoolExecutor(1) as pool, writer(app, old, "old") as before:
        eventually("writes flow", lambda: len(before.acknowledged) > 20)
        command = ["rotate", app.name, "-n", NAMESPACE, "--overlap", "10", "-o", "json"]
        running = pool.submit(mw, instance, *command)
        eventually("the engines learn the next one", lambda: held(app, "password.next"))
        if app.nodes("redis-sentinel"):
            os.kill(platform.processes("worker", instance.name)[0], signal.SIGKILL)
        new = eventually("people read the new one", lambda: held(app, "password").replace(old, ""), timeout=90)
        with writer(app, new, "new") as after:
            eventually("writes flow with the new one", lambda: len(after.acknowledged) > 20)
            assert opened(app, old) == opened(app, new) == {True}
            seen = len(before.acknowledged)
            eventually("writes flow with the old one too", lambda: len(before.acknowledged) > seen + 20)
            before.__exit__(None, None, None)
            assert held(app, "password.former") == old, "both were valid until now"
            result = json.loads(running.result(timeout=120).stdout)
            assert result["outcome"] == "completed", result
        assert (before.refused, after.refused, before.errors, after.errors) == (0, 0, 0, 0)
    assert opened(app, old) == {False}
    assert opened(app, new) == {True}
    assert after.lost(after.acknowledged) == set()
    before.password = new
    assert before.lost(before.acknowledged) == set()
    assert app.primary() == primary, "nothing failed over"
    assert (held(app, "password"), held(app, "password.used")) == (new, new)
    app.settled(60)
    for kind in ("configmap", "deployment", "pod", "event", "app.middleware.io"):
        shown = kube.run("get", kind, "-n", NAMESPACE, "-o", "yaml")
        assert old not in shown, kind
        assert new not in shown, kind
    said = "\n".join(payloads(temporal.history(result["workflow_id"])))
    assert "accept" in said
    assert old not in said
    assert new not in said


def test_a_lost_primary_is_replaced_afterwards(app: RunningApp) -> None:
    """And a Sentinel begins again with what it has written of the passwords itself."""
    primary = app.primary()
    hangs = engine(app.pods()[primary]["metadata"]["name"])
    for pod in list(app.pods("redis-sentinel").values())[:1]:
        os.kill(engine(pod["metadata"]["name"]), signal.SIGKILL)
    app.settled(60)
    os.kill(hangs, signal.SIGSTOP)
    try:
        eventually("another one is primary", lambda: app.status().get("primary") not in (None, "", primary))
    finally:
        with contextlib.suppress(ProcessLookupError):  # its agent has ended it
            os.kill(hangs, signal.SIGCONT)
    with writer(app, held(app, "password"), "failover") as writing:
        eventually("writes flow", lambda: len(writing.acknowledged) > 20)
    app.settled(90)


@pytest.mark.parametrize("app", ["replication"], indirect=True, scope="module")
def test_an_edit_of_the_secret_is_carried_out_and_an_abort_takes_it_back(
    kube: Kube, app: RunningApp, instance: Instance
) -> None:
    old = held(app, "password")

    def write(password: str) -> None:
        """And have the kubelets look at once, who do so within a minute or two by themselves."""
        change = json.dumps({"stringData": {"password": password}})
        kube.run("patch", "secret", f"{app.name}-credentials", "-n", NAMESPACE, "--type=merge", "-p", change)
        kube.run("annotate", "pod", "--all", "-n", NAMESPACE, f"seen={hash(password)}", "--overwrite")

    write("two\nlines")
    app.message("has a line break", timeout=60)
    assert opened(app, old) == {True}
    write("somebodys-own-1")
    eventually("people read it, and everybody uses it", lambda: held(app, "password.former") == old, timeout=60)
    eventually("all engines know it", lambda: opened(app, "somebodys-own-1") == {True}, timeout=60)
    mw(instance, "abort", app.name, "-n", NAMESPACE)
    eventually("the old one is back", lambda: opened(app, "somebodys-own-1") == {False}, timeout=60)
    assert opened(app, old) == {True}
    eventually("the Secret is as before", lambda: held(app, ".rotation").startswith("done"), timeout=30)
    assert (held(app, "password"), held(app, "password.used"), held(app, "password.former")) == (old, old, "")
    app.settled(60)
