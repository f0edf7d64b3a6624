"""One server, workers and a cluster in memory for all tests; what the workflows did is replayed in the end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.replay.replaying import replayed
from tests.replay.selection import chosen
from tests.replay.stored import RECORD_TO, named, write
from tests.workflows.cluster import FakeCluster
from tests.workflows.running import Workers
from tests.workflows.server import dev_server


@pytest.fixture(scope="session")
async def client() -> AsyncIterator[Client]:
    """A workflow that does not do the same again is an error of the last test; the error has the workflow's id."""
    async with dev_server() as environment:
        yield environment.client
        histories = named([each async for each in environment.client.list_workflows().map_histories()])
        if folder := os.environ.get(RECORD_TO):
            for name, history in histories.items():
                write(history, Path(folder), name)
        assert not await replayed(histories[name] for name in chosen(histories))


@pytest.fixture(scope="session")
async def everything() -> FakeCluster:
    """The Apps of all tests of this process: their names differ, and workers that start for each test would take
    longer than the tests."""
    return FakeCluster()


@pytest.fixture(scope="session")
async def workers(client: Client, everything: FakeCluster) -> AsyncIterator[Workers]:
    running = Workers(client, everything)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def cluster(everything: FakeCluster, workers: Workers) -> Iterator[FakeCluster]:
    """With workers that work on it. Nothing that the test has held up waits on after it."""
    yield everything
    for app in everything.apps.values():
        app.blocked = set()
