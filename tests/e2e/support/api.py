"""Reads from the API server over a connection that stays open.

A test that waits asks a few times a second. A kubectl for each question takes 0.1 to 0.2 s of a processor, which the
engines under test, on the same machine, then lack. What a person would type still goes through kubectl (``Kube.run``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import config

_TIMEOUT = urllib3.Timeout(connect=5, read=30)
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


class ApiError(Exception):
    """The API server's words, or why it cannot be reached."""


@dataclass(frozen=True)
class _Kind:
    prefix: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        parts = [self.prefix, *(("namespaces", quote(namespace)) if self.namespaced else ()), self.plural]
        return "/".join([*parts, quote(name)] if name else parts)


class Api:
    """One cluster, as the kubeconfig's user. Kinds have kubectl's names: ``pod``, ``pvc``, ``group.middleware.io``."""

    def __init__(self, kubeconfig: Path) -> None:
        client = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
        self._server, self._pool = client.configuration.host, client.rest_client.pool_manager
        self._kinds: dict[str, _Kind] = {}

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        return self._read(self._kind(kind).path(namespace, name))

    def find(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        query = f"?{urlencode({'labelSelector': selector})}" if selector else ""
        found = self._read(self._kind(kind).path(namespace) + query) or {"items": []}
        # A list says once what its items are; kubectl writes it into each of them.
        described = {"apiVersion": found.get("apiVersion"), "kind": str(found.get("kind")).removesuffix("List")}
        return [described | item for item in found["items"]]

    def _read(self, path: str, accept: str = "application/json") -> dict[str, Any] | None:
        try:
            answer = self._pool.request(
                "GET", self._server + path, headers={"Accept": accept}, timeout=_TIMEOUT, retries=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(f"GET {path}: {error}") from error
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise ApiError(f"GET {path}: {answer.status} {answer.data.decode(errors='replace')}")
        body: dict[str, Any] = json.loads(answer.data)
        return body

    def _kind(self, name: str) -> _Kind:
        if name not in self._kinds:
            self._kinds = self._discover()
        try:
            return self._kinds[name]
        except KeyError:
            raise ApiError(f"the API server has no kind {name!r}") from None

    def _discover(self) -> dict[str, _Kind]:
        """All names by which kubectl knows a kind; the core's and built-in groups' names win, as with kubectl."""
        found: dict[str, _Kind] = {}
        for root in ("/api", "/apis"):
            for group in (self._read(root, _DISCOVERY) or {})["items"]:
                name = group["metadata"].get("name", "")
                version = group["versions"][0]  # the preferred one
                prefix = f"{root}/{name}/{version['version']}" if name else f"{root}/{version['version']}"
                for resource in version["resources"]:
                    kind = _Kind(prefix, resource["resource"], resource["scope"] == "Namespaced")
                    for word in _names(resource):
                        found.setdefault(word, kind)
                        found.setdefault(f"{word}.{name}", kind)
        return found


def _names(resource: Mapping[str, Any]) -> list[str]:
    return [resource["resource"], resource.get("singularResource", ""), *resource.get("shortNames", [])]
