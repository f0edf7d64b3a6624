"""A list that does not end in time is an error that says so, like every other call's."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from clients.errors import UnavailableError
from clients.kubernetes import Kubernetes
from clients.resources import POD


async def test_a_list_that_takes_too_long_is_told() -> None:
    ended = asyncio.Event()

    async def serve(request: web.Request) -> web.Response:
        if "continue" in request.query:
            await ended.wait()
        return web.json_response({"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "more"}})

    application = web.Application()
    application.router.add_get("/api/v1/pods", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with Kubernetes(configuration) as kubernetes:
        with pytest.raises(UnavailableError, match=r"listing pods: it took longer than 0\.5 s"):
            await kubernetes.list(POD, timeout=0.5)
    ended.set()
    await runner.cleanup()
