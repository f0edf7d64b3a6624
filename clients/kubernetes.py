"""The API server, with raw dictionaries, a deadline on every call and typed errors.

Built on the connection and configuration code of ``kubernetes.aio`` (TLS, tokens that are renewed, exec plugins,
proxies), without its models: they refuse objects that a newer API server adds fields to, and cost most of the time
of a watch.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import load_incluster_config, load_kube_config

from api.names import FIELD_MANAGER
from clients.errors import GoneError, InvalidNameError, NotFoundError, UnavailableError, error_from, error_from_status
from clients.resources import POD, Manifest, Resource, resource_of

CALL_TIMEOUT = 15.0
"""Seconds for one call; the API server itself gives up on most after 60."""
CONNECT_TIMEOUT = 5.0
PAGE_SIZE = 500
_CONNECTIONS = 256

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_DRY_RUN = {"dryRun": "All", "fieldValidation": "Strict"}


class Kubernetes:
    """One connection pool to one API server. Make it by ``connect``, close it by ``close`` or ``async with``."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._rest = RESTClientObject(configuration)
        self._served: dict[str, frozenset[str]] = {}

    @classmethod
    async def connect(cls, kubeconfig: str | None = None) -> Self:
        """With ``kubeconfig``, else ``KUBECONFIG``, else the Pod's own account, else ``~/.kube/config``.

        Only reads configuration: whether the API server answers is seen at the first call.
        """
        configuration = Configuration()
        path = kubeconfig or os.environ.get("KUBECONFIG")
        if path is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=path, client_configuration=configuration, persist_config=False
            )
        configuration.connection_pool_maxsize = _CONNECTIONS
        configuration.disable_strict_ssl_verification = True  # CAs made by older kubeadm lack a key identifier
        return cls(configuration)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._rest.close()

    async def _headers(self, content_type: str | None) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if content_type is not None:
            headers["Content-Type"] = content_type
        settings: Mapping[str, Any] = dict(await self._configuration.auth_settings())
        for setting in settings.values():
            if setting["value"]:
                headers[str(setting["key"])] = str(setting["value"])
        return headers

    async def _open(
        self,
        doing: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        content_type: str | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = await self._rest.request(  # type: ignore[no-untyped-call]
                method, url, headers=await self._headers(content_type), body=body, _request_timeout=timeout
            )
        except TimeoutError as error:
            raise UnavailableError(doing, 0, "Timeout", "the API server did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnavailableError(doing, 0, "Unreachable", f"the API server is not reachable: {error}") from error
        answer: aiohttp.ClientResponse = response.response
        return answer

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str | None = None,
        timeout: float = CALL_TIMEOUT,
        doing: str = "",
    ) -> Manifest:
        """One call, its JSON answer. Raises KubernetesError; ``timeout`` in seconds for all of it."""
        doing = doing or f"{method} {path}"
        limits = aiohttp.ClientTimeout(total=timeout, connect=CONNECT_TIMEOUT)
        response = await self._open(doing, method, path, query or {}, body, content_type, limits)
        try:
            async with response:
                data = await response.read()
        except TimeoutError as error:
            raise UnavailableError(doing, 0, "Timeout", "the API server did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnavailableError(doing, 0, "Unreachable", f"the connection broke: {error}") from error
        if response.status >= 300:
            raise error_from(doing, response.status, data, retry_after=_retry_after(response))
        answer = json.loads(data) if data else {}
        return answer if isinstance(answer, dict) else {"items": answer}

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Manifest | None:
        """The object, or None where there is none: nor can there be one of what is no name, as a label may say."""
        try:
            return await self.call("GET", resource.path(namespace, name))
        except (NotFoundError, InvalidNameError):
            return None

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | Mapping[str, str] = "",
        fields: str = "",
        timeout: float = 60.0,
    ) -> tuple[Sequence[Manifest], str]:
        """All objects, page by page, and the resourceVersion to watch from. A page that expired starts the list
        anew."""
        query = {"limit": str(PAGE_SIZE), **_selectors(labels, fields)}
        try:
            async with asyncio.timeout(timeout):
                items, version = await self._pages(resource, namespace, query)
        except TimeoutError as error:
            doing = f"listing {resource.plural}"
            raise UnavailableError(doing, 0, "Timeout", f"it took longer than {timeout:g} s") from error
        for item in items:  # a list names the kind once, at its top
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
        return items, version

    async def _pages(
        self, resource: Resource, namespace: str | None, query: dict[str, str]
    ) -> tuple[Sequence[Manifest], str]:
        items: list[Manifest] = []
        while True:
            try:
                page = await self.call("GET", resource.path(namespace), query=query)
            except GoneError:
                if "continue" not in query:
                    raise
                del query["continue"]
                items.clear()
                continue
            items.extend(page.get("items") or [])
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion", ""))
            query["continue"] = metadata["continue"]

    async def apply(
        self,
        manifest: Mapping[str, Any],
        *,
        manager: str = FIELD_MANAGER,
        force: bool = True,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Manifest:
        """Server-side apply: creates the object or sets the fields named, leaves everybody else's fields alone."""
        resource, name, namespace = _address(manifest)
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        return await self.call(
            "PATCH",
            resource.path(namespace, name, subresource),
            query=query,
            body=manifest,
            content_type=_APPLY,
            doing=f"applying {resource.kind} {namespace}/{name}",
        )

    async def create(
        self, manifest: Mapping[str, Any], *, manager: str = FIELD_MANAGER, dry_run: bool = False
    ) -> Manifest:
        """Raises AlreadyExistsError. ``metadata.generateName`` will do as well. ``dry_run``: nothing is stored, and a
        field that the API server does not know is an InvalidError instead of being dropped."""
        resource, name, namespace = _address(manifest)
        return await self.call(
            "POST",
            resource.path(namespace),
            query={"fieldManager": manager, **(_DRY_RUN if dry_run else {})},
            body=manifest,
            doing=f"creating {resource.kind} {namespace}/{name}",
        )

    async def replace(self, manifest: Mapping[str, Any], *, manager: str = FIELD_MANAGER) -> Manifest:
        """Update. With ``metadata.resourceVersion`` it raises ConflictError where somebody else wrote in between."""
        resource, name, namespace = _address(manifest)
        return await self.call(
            "PUT",
            resource.path(namespace, name),
            query={"fieldManager": manager},
            body=manifest,
            doing=f"updating {resource.kind} {namespace}/{name}",
        )

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        change: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        manager: str = FIELD_MANAGER,
        subresource: str | None = None,
    ) -> Manifest:
        """A mapping is sent as a merge patch, a sequence as a JSON patch. Raises NotFoundError."""
        merge = isinstance(change, Mapping)
        return await self.call(
            "PATCH",
            resource.path(namespace, name, subresource),
            query={"fieldManager": manager},
            body=change if merge else list(change),
            content_type=_MERGE if merge else _JSON_PATCH,
            doing=f"patching {resource.kind} {namespace}/{name}",
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        version: str | None = None,
    ) -> bool:
        """Dependents go in the background. False where it was gone. ``uid`` protects a successor of the same name,
        ``version`` (its resourceVersion) what somebody has written since. Raises ConflictError for either."""
        body: Manifest = {"propagationPolicy": "Background"}
        if conditions := {k: v for k, v in (("uid", uid), ("resourceVersion", version)) if v is not None}:
            body["preconditions"] = conditions
        try:
            await self.call("DELETE", resource.path(namespace, name), body=body)
        except NotFoundError:
            return False
        return True

    async def serves(self, resource: Resource) -> bool:
        """Whether this API server knows the kind. Remembered once it does; asked again while it does not."""
        if resource.plural not in self._served.get(resource.api_version, frozenset()):
            path = resource.path().rsplit("/", 1)[0]
            try:
                answer = await self.call("GET", path)
            except NotFoundError:
                return False
            names = frozenset(str(entry["name"]) for entry in answer.get("resources") or [])
            self._served[resource.api_version] = names
        return resource.plural in self._served[resource.api_version]

    async def watch(
        self,
        resource: Resource,
        namespace: str | None,
        resource_version: str,
        *,
        labels: str | Mapping[str, str] = "",
        fields: str = "",
        seconds: float,
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Event types and objects (ADDED, MODIFIED, DELETED, BOOKMARK) until the API server ends it after ``seconds``.

        Raises GoneError where ``resource_version`` is too old, UnavailableError where nothing arrives any more: the
        read time-out is a little longer than ``seconds``, so a connection that died silently is noticed.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, int(seconds))),
            **_selectors(labels, fields),
        }
        doing = f"watching {resource.plural}"
        limits = aiohttp.ClientTimeout(connect=CONNECT_TIMEOUT, sock_read=seconds + 5)
        response = await self._open(doing, "GET", resource.path(namespace), query, None, None, limits)
        async with response:
            try:
                if response.status >= 300:
                    raise error_from(doing, response.status, await response.read(), retry_after=_retry_after(response))
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise error_from_status(doing, int(event["object"].get("code", 500)), event["object"])
                    yield event["type"], event["object"]
            except TimeoutError as error:
                raise UnavailableError(doing, 0, "Timeout", "nothing arrived any more") from error
            except (aiohttp.ClientError, OSError) as error:
                raise UnavailableError(doing, 0, "Unreachable", f"the connection broke: {error}") from error
            except ValueError as error:
                raise UnavailableError(doing, 0, "Truncated", "the connection ended within an event") from error

    async def pod_log(
        self, pod: str, namespace: str, container: str, *, follow: bool = False, tail: int | None = None, since: int = 0
    ) -> AsyncIterator[str]:
        """Lines of a container's log. ``tail``: only so many of the last, ``since``: only of the last seconds.

        Raises InvalidError while the container has not started, UnavailableError where the connection breaks.
        """
        query = {"container": container, "follow": "true" if follow else "false"}
        query |= {"tailLines": str(tail)} if tail is not None else {}
        query |= {"sinceSeconds": str(since)} if since else {}
        doing = f"reading the log of {namespace}/{pod}"
        limits = aiohttp.ClientTimeout(connect=CONNECT_TIMEOUT, sock_read=None if follow else CALL_TIMEOUT)
        response = await self._open(doing, "GET", POD.path(namespace, pod, "log"), query, None, None, limits)
        async with response:
            try:
                if response.status >= 300:
                    raise error_from(doing, response.status, await response.read(), retry_after=_retry_after(response))
                rest = b""
                async for chunk in response.content.iter_any():  # by lines, aiohttp refuses long ones
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield line.decode("utf-8", "replace")
                if rest:
                    yield rest.decode("utf-8", "replace")
            except TimeoutError as error:
                raise UnavailableError(doing, 0, "Timeout", "nothing arrived any more") from error
            except (aiohttp.ClientError, OSError) as error:
                raise UnavailableError(doing, 0, "Unreachable", f"the connection broke: {error}") from error


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _selectors(labels: str | Mapping[str, str], fields: str) -> dict[str, str]:
    text = labels if isinstance(labels, str) else ",".join(f"{key}={value}" for key, value in labels.items())
    return {**({"labelSelector": text} if text else {}), **({"fieldSelector": fields} if fields else {})}


def _address(manifest: Mapping[str, Any]) -> tuple[Resource, str, str | None]:
    metadata = manifest["metadata"]
    return (
        resource_of(manifest),
        str(metadata.get("name") or metadata.get("generateName")),
        metadata.get("namespace"),
    )
