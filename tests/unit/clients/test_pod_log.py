"""A container's log comes line by line, however the lines are cut on their way, and however long one is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from clients.errors import InvalidError
from clients.kubernetes import Kubernetes

LONG = "x" * 300_000


async def serve(request: web.Request) -> web.StreamResponse:
    if request.match_info["pod"] == "starting":
        status = {"kind": "Status", "message": "container is waiting to start", "reason": "BadRequest"}
        return web.json_response(status, status=400)
    response = web.StreamResponse()
    await response.prepare(request)
    query = dict(request.query)
    for piece in (b"o", b"ne\ntw", "o \u00e9\n".encode(), LONG.encode(), f"\n{sorted(query.items())}".encode()):
        await response.write(piece)
    return response


@pytest.fixture
async def kubernetes() -> AsyncIterator[Kubernetes]:
    application = web.Application()
    application.router.add_get("/api/v1/namespaces/demo/pods/{pod}/log", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with Kubernetes(configuration) as client:
        yield client
    await runner.cleanup()


async def test_lines_are_whole(kubernetes: Kubernetes) -> None:
    lines = [line async for line in kubernetes.pod_log("p", "demo", "middleware", tail=4)]
    assert lines[:3] == ["one", "two é", LONG]
    assert lines[3] == "[('container', 'middleware'), ('follow', 'false'), ('tailLines', '4')]"


async def test_a_container_that_has_not_started_is_said(kubernetes: Kubernetes) -> None:
    with pytest.raises(InvalidError, match="waiting to start"):
        async for _ in kubernetes.pod_log("starting", "demo", "middleware", follow=True, since=3):
            pass
