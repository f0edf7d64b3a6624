"""The platform's client certificate is renewed under connections to agents that are open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from clients.agents import Agents, AgentTarget
from clients.tls.certificates import create_authority, issue_agent_certificate, issue_platform_certificate
from proto import agent_pb2
from tests.unit.clients.mounts import mount

AUTHORITY = create_authority("test")
TARGET = AgentTarget("demo", "x", "x-server-0", "127.0.0.1")


@pytest.fixture
async def shown(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[bytes]]:
    """The certificates that callers have shown to an agent, one a call."""
    certificates: list[bytes] = []

    async def status(request: agent_pb2.GetStatusRequest, context: Any) -> agent_pb2.ProcessStatus:
        certificates.append(context.auth_context()["x509_pem_cert"][0])
        return agent_pb2.ProcessStatus()

    handler = grpc.unary_unary_rpc_method_handler(
        status, agent_pb2.GetStatusRequest.FromString, agent_pb2.ProcessStatus.SerializeToString
    )
    pair = issue_agent_certificate(AUTHORITY, TARGET.app, TARGET.namespace)
    credentials = grpc.ssl_server_credentials(
        [(pair.key, pair.certificate)], root_certificates=AUTHORITY.certificate, require_client_auth=True
    )
    server, service = grpc.aio.server(), agent_pb2.DESCRIPTOR.services_by_name["ProcessManager"].full_name
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"GetStatus": handler})])
    monkeypatch.setattr("clients.agents.MANAGER_PORT", server.add_secure_port("127.0.0.1:0", credentials))
    await server.start()
    yield certificates
    await server.stop(None)


async def test_the_next_call_shows_the_renewed_one(shown: list[bytes], tmp_path: Path) -> None:
    first, second = issue_platform_certificate(AUTHORITY), issue_platform_certificate(AUTHORITY)
    mount(tmp_path, first, AUTHORITY)
    agents = Agents(tmp_path)
    try:
        await agents.status(TARGET)
        await agents.status(TARGET)
        mount(tmp_path, second, AUTHORITY)
        await agents.status(TARGET)
    finally:
        await agents.close()
    assert shown == [first.certificate, first.certificate, second.certificate]
