"""One server for all tests, a cluster in memory and workers for each; what the workflows did is replayed in the end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.replay.replaying import replayed
from tests.replay.selection import chosen
from tests.replay.stored import RECORD_TO, named, write
from tests.workflows.fakes import FakeCluster
from tests.workflows.running import workers
from tests.workflows.server import dev_server

OF_FAKES = ("line/", "by-hand/")
"""How ids of workflows begin that ``test_command_line`` plays under the real types."""


@pytest.fixture(scope="session")
async def client() -> AsyncIterator[Client]:
    """A workflow that does not do the same again is an error of the last test; the error has the workflow's id."""
    async with dev_server() as environment:
        yield environment.client
        found = environment.client.list_workflows().map_histories()
        histories = named([each async for each in found if not each.workflow_id.startswith(OF_FAKES)])
        if folder := os.environ.get(RECORD_TO):
            for name, history in histories.items():
                write(history, Path(folder), name)
        assert not await replayed(histories[name] for name in chosen(histories))


@pytest.fixture
async def cluster(client: Client) -> AsyncIterator[FakeCluster]:
    """With workers that work on it."""
    fake = FakeCluster()
    async with workers(client, fake):
        yield fake
