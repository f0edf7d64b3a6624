"""What the Apps' namespace holds, read once a second for all: clients find addresses and passwords here, as from a
configuration of theirs that is kept current."""

from __future__ import annotations

import base64
import contextlib
import threading
from types import TracebackType
from typing import Self

from tests.e2e.support.api import ApiError
from tests.e2e.support.kube import Kube, Manifest

_EVERY = 1.0
PORT = 6379


class Directory:
    """Use as a context manager. What was seen of passwords stays known: one that was deleted is still in use."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="directory", daemon=True)
        self._addresses: dict[str, dict[str, str]] = {}
        self._passwords: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=40)

    def addresses(self, app: str) -> dict[str, str]:
        """Of Services and Pods at which a client of the App could write, by name."""
        return self._addresses.get(app, {})

    def service(self, app: str) -> str:
        """Where its clients write; where its Service is gone, where it was."""
        return self.addresses(app).get(f"service {app}-redis-server-master", "")

    def passwords(self, app: str) -> list[str]:
        """Those in use first, newest first."""
        return self._passwords.get(app, [])

    def look(self) -> None:
        found: dict[str, dict[str, str]] = {}
        for service in self._kube.find("service", self._namespace):
            _note(found, "service", service, str(service["spec"].get("clusterIP", "")))
        for pod in self._kube.find("pod", self._namespace):
            _note(found, "pod", pod, str(pod.get("status", {}).get("podIP", "")))
        for app, present in found.items():
            kept = {name: each for name, each in self.addresses(app).items() if name.startswith("service ")}
            self._addresses[app] = kept | present
        for secret in self._kube.find("secret", self._namespace):
            self._learn(secret)

    def _learn(self, secret: Manifest) -> None:
        name, data = str(secret["metadata"]["name"]), secret.get("data") or {}
        app = name.removesuffix("-credentials")
        if app == name:
            return
        keys = ("password.used", "password", "password.former", "password.next")
        held = [base64.b64decode(data[key]).decode() for key in keys if data.get(key)]
        self._passwords[app] = list(dict.fromkeys([*held, *self.passwords(app)]))

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            with contextlib.suppress(ApiError, KeyError, ValueError):
                self.look()


def _note(found: dict[str, dict[str, str]], what: str, live: Manifest, address: str) -> None:
    """Only of data nodes: a Sentinel takes no writes. By name, since labels may have been taken away."""
    app, separator, _ = str(live["metadata"]["name"]).partition("-redis-server")
    if separator and address and address != "None":
        found.setdefault(app, {})[f"{what} {live['metadata']['name']}"] = address
