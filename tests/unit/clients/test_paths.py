"""A name never leads a call to another object than the one of that name, whoever wrote the name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from clients.errors import InvalidNameError
from clients.kubernetes import Kubernetes
from clients.resources import CONFIG_MAP, MACHINE, SECRET, VOLUME_CLAIM

Called = list[str]


@pytest.fixture
def called() -> Called:
    """What the API server was asked for, as it is sent."""
    return []


@pytest.fixture
async def kubernetes(called: Called) -> AsyncIterator[Kubernetes]:
    async def serve(request: web.Request) -> web.Response:
        called.append(f"{request.method} {request.raw_path}")
        return web.json_response({"metadata": {"name": "x"}})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with Kubernetes(configuration) as connected:
        yield connected
    await runner.cleanup()


FORGED = [
    "../../b/persistentvolumeclaims/cache-redis-server-default-0",
    "../secrets/cache-credentials?x=-redis-server-default-0",
    "%2e%2e/secrets/x",
    "..",
    ".",
    "",
    "a/status",
    "a?dryRun=All",
    "a#b",
    "a b",
    "a\n",
    "Cache",
    "a" * 254,
]
CALLS: list[Callable[[Kubernetes, str], Awaitable[Any]]] = [
    lambda kubernetes, name: kubernetes.delete(SECRET, name, "a"),
    lambda kubernetes, name: kubernetes.patch(CONFIG_MAP, name, "a", {}),
    lambda kubernetes, name: kubernetes.list(CONFIG_MAP, name),
    lambda kubernetes, name: anext(kubernetes.pod_log(name, "a", "engine")),
    lambda kubernetes, name: kubernetes.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "a"}}
    ),
]


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("call", CALLS)
async def test_a_forged_name_reaches_nothing(
    kubernetes: Kubernetes, called: Called, call: Callable[[Kubernetes, str], Awaitable[Any]], forged: str
) -> None:
    with pytest.raises(InvalidNameError, match="is no name"):
        await call(kubernetes, forged)
    assert called == []


@pytest.mark.parametrize("forged", FORGED)
async def test_there_is_nothing_of_a_forged_name(kubernetes: Kubernetes, called: Called, forged: str) -> None:
    """Not an error: a label that somebody gives to a Pod would else keep the watcher from reading all others."""
    assert await kubernetes.get(VOLUME_CLAIM, forged, "a") is None
    assert await kubernetes.get(VOLUME_CLAIM, "x", forged) is None
    assert called == []


async def test_what_the_api_server_takes_for_a_name_is_asked_for(kubernetes: Kubernetes, called: Called) -> None:
    await kubernetes.get(CONFIG_MAP, "plugin-redis-1.0.0-templates", "middleware-system")
    await kubernetes.get(MACHINE, "ip-10-0-0-1.eu.compute.internal")
    assert called == [
        "GET /api/v1/namespaces/middleware-system/configmaps/plugin-redis-1.0.0-templates",
        "GET /api/v1/nodes/ip-10-0-0-1.eu.compute.internal",
    ]
