"""One server for all tests, a cluster in memory and workers for each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from tests.workflows.fakes import FakeCluster
from tests.workflows.running import workers
from tests.workflows.server import dev_server


@pytest.fixture(scope="session")
async def client() -> AsyncIterator[Client]:
    async with dev_server() as environment:
        yield environment.client


@pytest.fixture
async def cluster(client: Client) -> AsyncIterator[FakeCluster]:
    """With workers that work on it."""
    fake = FakeCluster()
    async with workers(client, fake):
        yield fake
