"""What the tests of day-2 operations share: changing an App as a person does, waiting until it is settled, a load."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from tests.e2e.support.apps import redis_app
from tests.e2e.support.kube import Kube, Manifest, eventually
from tests.e2e.support.writer import AcknowledgedWriter, again, never

KIND = "app.middleware.io"


@dataclass(frozen=True)
class RunningApp:
    """One Redis App as its operator and its clients see it."""

    kube: Kube
    namespace: str
    name: str

    def change(self, edit: Callable[[Manifest], None]) -> None:
        """As ``kubectl edit``: reads, edits ``spec``, applies."""
        live = self.manifest()
        spec = json.loads(json.dumps(live["spec"]))
        edit(spec)
        self.kube.run("patch", KIND, self.name, "-n", self.namespace, "--type=merge", "-p", json.dumps({"spec": spec}))

    def manifest(self) -> Manifest:
        found = self.kube.get(KIND, self.name, self.namespace)
        assert found is not None
        return found

    def status(self) -> Manifest:
        status: Manifest = self.manifest().get("status", {})
        return status

    def settled(self, timeout: float = 240.0, *, every: float = 0.5) -> Manifest:
        """The App once its present spec is carried out and all its nodes are ready."""

        def done() -> Manifest | None:
            app = self.manifest()
            status = app.get("status", {})
            ready = [c for c in status.get("conditions", []) if c["type"] == "Ready" and c["status"] == "True"]
            current = status.get("observedGeneration") == app["metadata"]["generation"]
            return app if current and ready and status.get("message") == "as wanted" else None

        try:
            return eventually(f"{self.name} is settled", done, timeout, every)
        except AssertionError as error:
            raise AssertionError(f"{error}\nstatus: {json.dumps(self.status(), indent=1)}") from error

    def message(self, *words: str, timeout: float = 120.0) -> str:
        """The App's message once it holds all ``words``."""

        def said() -> str:
            message = str(self.status().get("message", ""))
            return message if all(word in message for word in words) else ""

        return eventually(f"the message says {', '.join(words)}", said, timeout)

    def metadata(self, part: str) -> Manifest:
        found = self.kube.get("configmap", f"{self.name}-metadata", self.namespace)
        assert found is not None
        value: Manifest = json.loads(found["data"][part])
        return value

    def nodes(self, component: str = "redis-server") -> list[str]:
        return sorted(n["name"] for n in self.metadata("nodes")["normal"] if n["component"] == component)

    def pods(self, component: str = "redis-server") -> dict[str, Manifest]:
        """By node."""
        pods = self.kube.pods(self.namespace, self.name, component)
        return {pod["metadata"]["labels"]["middleware.io/node"]: pod for pod in pods}

    def primary(self) -> str:
        return str(eventually("it has a primary", lambda: self.status().get("primary")))

    def events(self, reason: str) -> list[str]:
        return [e["message"] for e in self.kube.events(self.name, self.namespace) if e["reason"] == reason]

    def client(
        self, service: str = "redis-server-master", port: int = 6379, timeout: float | None = None
    ) -> redis.Redis:
        """With ``timeout`` a command is tried once and waited for so long; else again, as the library does."""
        return redis.Redis(
            host=self.kube.service_address(f"{self.name}-{service}", self.namespace),
            port=port,
            password=self.kube.secret(f"{self.name}-credentials", self.namespace, "password"),
            decode_responses=True,
            socket_timeout=timeout or 5.0,
            socket_connect_timeout=timeout or 5.0,
            retry=never() if timeout else again(),
        )

    def of_node(self, node: str, timeout: float | None = None) -> redis.Redis:
        return self.client(node.removeprefix(f"{self.name}-"), timeout=timeout)

    @contextmanager
    def load(self, what: str, most_seconds: float, *, may_lose: bool = False) -> Iterator[AcknowledgedWriter]:
        """Writes and reads through the primary's Service meanwhile. Every acknowledged write must be there, also
        afterwards (unless it ``may_lose`` some: an engine is killed), and the sum of the times in which writes failed
        be at most ``most_seconds``."""
        address = self.kube.service_address(f"{self.name}-redis-server-master", self.namespace)
        password = self.kube.secret(f"{self.name}-credentials", self.namespace, "password")
        with AcknowledgedWriter(address, password, prefix=what, wait_replicas=0) as writer:
            eventually("writes flow", lambda: len(writer.acknowledged) > 20)
            yield writer
            seen = len(writer.acknowledged)
            eventually("writes still flow", lambda: len(writer.acknowledged) > seen + 20)
        failed = sum(writer.error_windows)
        pauses = max((each.seconds for each in writer.outages), default=0.0)
        print(
            f"{what}: {len(writer.acknowledged)} writes, errors for {failed:.2f} s in {len(writer.error_windows)}"
            + (f", longest without one {pauses:.2f} s" if pauses else "")
        )
        assert may_lose or not writer.misread, f"acknowledged and not there when read: {sorted(writer.misread)[:20]}"
        lost = writer.lost(writer.acknowledged)
        assert may_lose or not lost, f"lost of {len(writer.acknowledged)} acknowledged writes: {sorted(lost)[:20]}"
        assert failed <= most_seconds, f"writes failed for {failed:.2f} s; at most {most_seconds} s were expected"


@contextmanager
def deployed(kube: Kube, namespace: str, name: str, topology: str) -> Iterator[RunningApp]:
    """A Redis App of its own, settled; gone afterwards."""
    kube.namespace(namespace)
    kube.apply(redis_app(name, namespace, topology))
    running = RunningApp(kube, namespace, name)
    running.settled()
    yield running
    kube.discard(name, namespace)


def component(spec: Manifest, name: str = "redis-server") -> Manifest:
    found: Manifest = next(each for each in spec["components"] if each["name"] == name)
    return found
