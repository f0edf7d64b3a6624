from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from proto import agent_pb2_grpc
from tests.unit.agent.support import Manager, Node, running_node


@pytest.fixture
def node() -> Iterator[Node]:
    with running_node() as made:
        yield made


@pytest.fixture
async def manager(node: Node) -> AsyncIterator[Manager]:
    """Talks to agent 1 of ``node`` as the platform; the test starts it."""
    async with node.channel(node.manager_port) as channel:
        yield Manager(agent_pb2_grpc.ProcessManagerStub(channel))


@pytest.fixture
async def tools(node: Node) -> AsyncIterator[agent_pb2_grpc.ToolsAsyncStub]:
    """Talks to agent 2 of ``node`` as the platform; the test starts it."""
    async with node.channel(node.tools_port) as channel:
        yield agent_pb2_grpc.ToolsStub(channel)
