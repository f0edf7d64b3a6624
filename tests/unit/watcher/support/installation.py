"""One App with failover by the platform, as the watcher's parts see it together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import yaml
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from api.operations import AppReference, Notice, Suspicion
from clients import temporal
from clients.agents import Agents
from clients.kubernetes import Kubernetes
from tests.unit.watcher.support.fakes import FakeAgents, FakeKubernetes, eventually
from tests.unit.watcher.support.objects import APP, NAMESPACE, Manifest, app, component, group, metadata, pod, service
from watcher.cache.caches import AppKey, watched
from watcher.failover.detector import FailureDetector
from watcher.failover.suspicions import Suspicions
from watcher.roles.monitor import RoleMonitor
from watcher.roles.record import RoleRecorder
from watcher.roles.rules import RoleRules
from watcher.status.writer import StatusWriter

NODES = tuple(f"{APP}-redis-data-{n}" for n in range(3))
FIRST, SECOND, THIRD = NODES
ADDRESSES = ("198.19.1.1", "198.19.1.2", "198.19.1.3")
"""Of the nodes' Services."""


def plugin(failover: str = "platform") -> Manifest:
    labels = {
        "middleware.io/plugin": "redis",
        "middleware.io/plugin-version": "1.0.0",
        "app.kubernetes.io/component": "plugin",
    }
    process = {"command": ["redis-server"]}
    ports = [{"name": "redis", "port": 6379}]
    roles = [{"name": "master", "writable": True}, {"name": "replica"}]
    definition = {
        "apiVersion": "plugin.middleware.io/v1alpha1",
        "kind": "Plugin",
        "metadata": {"name": "redis", "version": "1.0.0"},
        "spec": {
            "defaultRuntimeVersion": "7.0",
            "runtimeVersions": [{"version": "7.0", "images": {"redis": "redis:7.0"}}],
            "topologies": [
                {"name": "replication", "default": True, "failover": failover, "components": [{"name": "redis"}]},
                {"name": "sentinel", "components": [{"name": "redis"}]},
            ],
            "components": [
                {"name": "redis", "image": "redis", "process": process, "roles": roles, "tools": "t", "ports": ports}
            ],
        },
    }  # fmt: skip
    own = {**metadata("plugin-redis-1.0.0", labels), "namespace": "middleware-system"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": own,
        "data": {"plugin.yaml": yaml.safe_dump(definition)},
    }


class Installation:
    """An App with three nodes, its agents, and Temporal, which a test can take down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, spec: dict[str, Any] | None = None) -> None:
        self.kubernetes, self.agents = FakeKubernetes(), FakeAgents()
        self.suspicions: list[Suspicion] = []
        self.woken: list[str] = []
        """What the App's workflow was told to look at."""
        self.parts: tuple[object, ...] = ()
        """Of the watcher that runs."""
        self.down, self.leads, self.asked_to_lead = False, True, 0
        self.pods = [pod("redis", n) for n in range(3)]
        application = app(phase="Running", observedGeneration=1)
        application["spec"] |= spec or {}
        for each in (plugin(), application, component("redis"), group("redis", 3), *self.pods):
            self.kubernetes.put(each)
        self.kubernetes.put(service(f"{APP}-redis", "redis", 6379))
        self.kubernetes.put(service(f"{APP}-redis-master", "redis", 6379, role="master"))
        for number, name in enumerate(NODES):
            self.kubernetes.put(service(name, "redis", 6379, node=name, address=ADDRESSES[number]))
        monkeypatch.setattr(temporal, "suspect_entity", self._suspect)

    async def _suspect(
        self, client: object, installation: str, reference: AppReference, suspicion: Suspicion, *, plugin: str
    ) -> None:
        assert (installation, plugin, reference) == ("test", "redis", AppReference(NAMESPACE, APP))
        if self.down:
            raise RPCError("it is down", RPCStatusCode.UNAVAILABLE, b"")
        self.suspicions.append(suspicion)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        async def connected() -> Client:
            return cast(Client, None)

        kubernetes, agents = cast(Kubernetes, self.kubernetes), cast(Agents, self.agents)
        async with watched(kubernetes) as cluster:

            def changed(key: AppKey) -> None:
                recorder.add(key)
                writer.add(key)

            rules, suspicions = RoleRules(cluster), Suspicions(cluster, "test", connected)
            monitor = RoleMonitor(cluster, agents, rules, changed)
            failures = FailureDetector(cluster, agents, rules, suspicions, changed, self._leads)
            monitor.listen(failures)
            recorder = RoleRecorder(cluster, monitor.epochs, failures.holders)
            writer = StatusWriter(cluster, monitor, rules, failures.notes, self._wake)
            self.parts = (rules, recorder, writer, suspicions, failures, monitor)
            async with recorder, writer, suspicions, failures, monitor:
                yield

    def _wake(self, app: Manifest, notice: Notice) -> None:
        assert app["metadata"]["name"] == APP
        self.woken.append(notice.detail)

    def _leads(self) -> bool:
        self.asked_to_lead += 1
        return self.leads

    def say(self) -> None:
        """All is well: the first node is primary."""
        self.agents.say(FIRST, "master", 7)
        self.agents.say(SECOND, "replica")
        self.agents.say(THIRD, "replica")

    async def settled(self) -> None:
        self.say()
        await eventually(lambda: self.role(0) == "master" and self.renewals(FIRST) > 0)
        await eventually(lambda: self.recorded() == FIRST)

    def role(self, ordinal: int) -> str | None:
        live = self.kubernetes.get_now("Pod", NAMESPACE, self.pods[ordinal]["metadata"]["name"])
        label: str | None = live["metadata"]["labels"].get("middleware.io/role")
        return label

    def recorded(self) -> str:
        status = self.kubernetes.get_now("Component", NAMESPACE, f"{APP}-redis").get("status") or {}
        return next((entry["node"] for entry in status.get("holders") or []), "")

    def renewals(self, node: str) -> int:
        return sum(name == node for name, _ in self.agents.renewed)

    def degraded(self) -> str:
        conditions = self.kubernetes.get_now("App", NAMESPACE, APP)["status"].get("conditions", [])
        return next((c["message"] for c in conditions if c["type"] == "Degraded" and c["status"] == "True"), "")

    def message(self, ordinal: int) -> str:
        """Of the node, as its Group says."""
        nodes = self.kubernetes.get_now("Group", NAMESPACE, f"{APP}-redis-data")["status"]["nodes"]
        return cast(str, nodes[ordinal]["message"])

    def put_status(self, **status: Any) -> None:
        live = self.kubernetes.get_now("App", NAMESPACE, APP)
        self.kubernetes.put({**live, "status": {**live["status"], **status}})

    def fence(self, *nodes: str) -> None:
        self.put_status(fenced=[{"node": n, "component": "redis", "since": "2025-01-01T00:00:00Z"} for n in nodes])
