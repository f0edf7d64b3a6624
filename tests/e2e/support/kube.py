"""The cluster as a user meets it: changed through kubectl, read from its API server."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from redis.exceptions import RedisError

from tests.e2e.support.api import Api, ApiError
from tests.support.stalls import grace

Value = TypeVar("Value")
Manifest = dict[str, Any]


def eventually(what: str, probe: Callable[[], Value | None], timeout: float = 60.0, every: float = 0.2) -> Value:
    """The first true value of ``probe``; AssertionError with ``what`` and the last answer when the deadline passes."""
    began = time.monotonic()
    last: object = None
    while time.monotonic() - began < timeout + grace(began):
        try:
            last = value = probe()
        except (OSError, LookupError, ValueError, KubectlError, ApiError, RedisError) as error:
            last, value = error, None
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"waited {timeout:.0f} s for: {what}; last answer: {last!r}")


class KubectlError(Exception):
    """kubectl's own words."""


@dataclass(frozen=True)
class Kube:
    """One cluster. Raises KubectlError where kubectl does, ApiError where the API server does not answer."""

    kubeconfig: Path
    program: str = "kubectl"

    @cached_property
    def _api(self) -> Api:
        return Api(self.kubeconfig)

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0) -> str:
        command = [self.program, f"--kubeconfig={self.kubeconfig}", *arguments]
        result = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        if result.returncode != 0:
            raise KubectlError(f"{' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def apply(self, *manifests: Manifest) -> None:
        # As JSON: YAML's writer leaves a text such as 12e34 bare, and kubectl reads a number.
        self.run("apply", "-f", "-", stdin="\n---\n".join(json.dumps(manifest) for manifest in manifests))

    def apply_file(self, path: Path) -> None:
        self.run("apply", "-f", str(path))

    def get(self, kind: str, name: str, namespace: str) -> Manifest | None:
        return self._api.get(kind, name, namespace)

    def find(self, kind: str, namespace: str, selector: str = "") -> list[Manifest]:
        return self._api.find(kind, namespace, selector)

    def delete(self, kind: str, name: str, namespace: str, *options: str, timeout: float = 180.0) -> None:
        self.run("delete", kind, name, "-n", namespace, "--ignore-not-found", *options, timeout=timeout)

    def discard(self, app: str, namespace: str) -> None:
        """Deletes an App at the end of its tests, without waiting: no other test has its name and namespace."""
        self.delete("app.middleware.io", app, namespace, "--wait=false")

    def namespace(self, name: str) -> None:
        """Its Pods must meet the strictest of Kubernetes' own standards: the API server refuses others."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})

    def condition(self, kind: str, name: str, namespace: str, type_: str) -> Manifest | None:
        """A condition of a resource's status."""
        found = self.get(kind, name, namespace)
        conditions = (found or {}).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == type_), None)

    def wait_ready(self, app: str, namespace: str, timeout: float = 240.0) -> Manifest:
        """The App once its condition Ready is True."""

        def ready() -> Manifest | None:
            condition = self.condition("app.middleware.io", app, namespace, "Ready")
            return condition if condition and condition["status"] == "True" else None

        try:
            eventually(f"App {namespace}/{app} Ready", ready, timeout, every=0.5)
        except AssertionError as error:
            found = self.get("app.middleware.io", app, namespace) or {}
            raise AssertionError(f"{error}\nstatus: {json.dumps(found.get('status', {}), indent=1)}") from error
        result = self.get("app.middleware.io", app, namespace)
        assert result is not None
        return result

    def service_address(self, name: str, namespace: str) -> str:
        service = self.get("service", name, namespace)
        if service is None:
            raise LookupError(f"no Service {namespace}/{name}")
        return str(service["spec"]["clusterIP"])

    def secret(self, name: str, namespace: str, key: str) -> str:
        secret = self.get("secret", name, namespace)
        if secret is None:
            raise LookupError(f"no Secret {namespace}/{name}")
        return base64.b64decode(secret["data"][key]).decode()

    def pods(self, namespace: str, app: str, component: str = "", role: str = "") -> list[Manifest]:
        """Pods of an App that are not being deleted."""
        selector = f"middleware.io/app={app}"
        if component:
            selector += f",middleware.io/component={component}"
        if role:
            selector += f",middleware.io/role={role}"
        return [p for p in self.find("pod", namespace, selector) if "deletionTimestamp" not in p["metadata"]]

    def node_status(self, node: str, namespace: str) -> Manifest:
        """What its Group's status says of a node: ``ready``, ``message``. Raises LookupError where there is no such."""
        groups = self.find("group.middleware.io", namespace)
        nodes: dict[str, Manifest] = {each["name"]: each for group in groups for each in group["status"]["nodes"]}
        return nodes[node]

    def events(self, app: str, namespace: str) -> list[Manifest]:
        found = self.find("event", namespace)
        return [e for e in found if e["involvedObject"].get("kind") == "App" and e["involvedObject"]["name"] == app]
