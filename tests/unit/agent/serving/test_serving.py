"""Who may call an agent, how its certificate rotates, and what the kubelet is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proto import agent_pb2 as pb
from proto import agent_pb2_grpc
from tests.unit.agent.support import SERVER_NAME, Authority, Manager, Node, eventually, fetch, role, write_secret


async def _call(channel: aio.Channel) -> pb.ProcessStatus:
    stub = agent_pb2_grpc.ProcessManagerStub(channel)
    status: pb.ProcessStatus = await stub.GetStatus(pb.GetStatusRequest(), wait_for_ready=True, timeout=20)
    return status


async def test_only_the_platforms_identity_is_served_by_any_method(node: Node, manager: Manager) -> None:
    node.mount(node.document())
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    async with node.channel(node.manager_port, identity=SERVER_NAME) as channel:
        with pytest.raises(aio.AioRpcError) as refused:
            await _call(channel)
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert refused.value.details() == (f"the caller is {SERVER_NAME}; an agent accepts only platform.middleware.io")
        with pytest.raises(aio.AioRpcError, match="PERMISSION_DENIED"):
            await anext(aiter(agent_pb2_grpc.ProcessManagerStub(channel).WatchStatus(pb.GetStatusRequest())))
        health = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(aio.AioRpcError, match="PERMISSION_DENIED"):
            await health.Check(health_pb2.HealthCheckRequest())
        with pytest.raises(aio.AioRpcError, match="PERMISSION_DENIED"):
            await anext(aiter(health.Watch(health_pb2.HealthCheckRequest())))
        unknown: Any = channel.unary_unary("/no.Such/Method")
        with pytest.raises(aio.AioRpcError, match="PERMISSION_DENIED"):
            await unknown(b"")


async def test_a_certificate_that_names_nobody_or_names_the_platform_elsewhere_is_refused(
    node: Node, manager: Manager
) -> None:
    node.mount(node.document())
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    async with node.channel(node.manager_port, identity=None) as channel:
        with pytest.raises(aio.AioRpcError, match="names nobody") as refused:
            await _call(channel)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    key, certificate = node.authority.issue(x509.RFC822Name("platform.middleware.io@elsewhere.example"))
    credentials = grpc.ssl_channel_credentials(node.authority.pem, key, certificate)
    options = [("grpc.ssl_target_name_override", SERVER_NAME)]
    async with aio.secure_channel(f"127.0.0.1:{node.manager_port}", credentials, options=options) as channel:
        with pytest.raises(aio.AioRpcError, match="names nobody"):
            await _call(channel)


async def test_another_authority_and_no_certificate_do_not_get_through_the_handshake(
    node: Node, manager: Manager
) -> None:
    node.mount(node.document())
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    stranger = Authority()
    key, certificate = stranger.issue(x509.DNSName("platform.middleware.io"))
    for credentials in (
        grpc.ssl_channel_credentials(node.authority.pem, key, certificate),
        grpc.ssl_channel_credentials(node.authority.pem),
    ):
        options = [("grpc.ssl_target_name_override", SERVER_NAME)]
        async with aio.secure_channel(f"127.0.0.1:{node.manager_port}", credentials, options=options) as channel:
            stub = agent_pb2_grpc.ProcessManagerStub(channel)
            with pytest.raises(aio.AioRpcError, match="UNAVAILABLE"):
                await stub.GetStatus(pb.GetStatusRequest(), timeout=20)


async def test_a_rotated_authority_is_in_effect_without_a_restart_and_open_connections_live_on(
    node: Node, manager: Manager
) -> None:
    node.mount(node.document())
    agent = node.start_manager()
    await manager.reaches(pb.RUNNING)
    following = Authority()
    node.mount_tls(authority=following)
    async with node.channel(node.manager_port, authority=following) as channel:
        assert (await _call(channel)).state == pb.RUNNING
    assert (await manager.status()).state == pb.RUNNING, "the connection from before is not cut"
    async with node.channel(node.manager_port) as channel:
        with pytest.raises(aio.AioRpcError):
            await agent_pb2_grpc.ProcessManagerStub(channel).GetStatus(pb.GetStatusRequest(), timeout=2)
    assert agent.poll() is None


async def test_a_broken_new_certificate_leaves_the_old_one_in_effect(node: Node, manager: Manager) -> None:
    node.mount(node.document())
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    write_secret(node.root / "tls", {"tls.key": b"", "tls.crt": b"", "ca.crt": b""})
    async with node.channel(node.manager_port) as channel:
        assert (await _call(channel)).state == pb.RUNNING
    assert "keeping the certificate in effect" in node.agent_log.read_text()


async def test_both_agents_serve_grpc_health_to_the_platform(node: Node, manager: Manager) -> None:
    node.mount(node.document())
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    for port, service in (
        (node.manager_port, "middleware.agent.v1.ProcessManager"),
        (node.tools_port, "middleware.agent.v1.Tools"),
    ):
        async with node.channel(port) as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            answer = await health_pb2_grpc.HealthStub(channel).Check(request, wait_for_ready=True, timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_the_kubelet_gets_health_and_nothing_else_and_no_stranger_the_engines_words(
    node: Node, manager: Manager
) -> None:
    node.mount(node.document(tools={"ready": {"steps": [{"fail": "the replica copies its data"}]}}))
    node.start_manager()
    node.start_tools()
    await manager.reaches(pb.RUNNING)
    async with node.channel(node.tools_port) as channel:
        assert not (await role(agent_pb2_grpc.ToolsStub(channel))).ready
    assert await fetch(node.manager_health_port, "/livez") == (200, "ok\n")
    assert await fetch(node.tools_health_port, "/livez") == (200, "ok\n")
    assert await fetch(node.tools_health_port, "/readyz") == (503, "not ready\n")
    assert (await fetch(node.manager_health_port, "/readyz"))[0] == 404
    assert (await fetch(node.tools_health_port, "/metrics"))[0] == 404


async def test_a_probe_in_pieces_is_answered_and_one_that_says_nothing_or_too_much_holds_up_nobody(
    node: Node, manager: Manager
) -> None:
    node.mount(node.document())
    node.start_manager()
    await manager.reaches(pb.RUNNING)
    async with _probing(node) as (_, _silent), _probing(node) as (answer, asking), _probing(node) as (none, talking):
        asking.write(b"GET /livez HTTP/1.1\r\n")
        talking.write(b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 4096)
        assert await fetch(node.manager_health_port, "/livez") == (200, "ok\n")
        asking.write(b"Host: node\r\n\r\n")
        assert (await answer.read()).endswith(b"\r\n\r\nok\n")
        with suppress(ConnectionResetError):
            assert await none.read() == b""


@asynccontextmanager
async def _probing(node: Node) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(15):
        reader, writer = await asyncio.open_connection("127.0.0.1", node.manager_health_port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def test_an_agent_without_tls_files_ends_with_a_sentence(node: Node) -> None:
    node.mount(node.document())
    for name in ("tls.key", "tls.crt", "ca.crt"):
        (node.root / "tls" / name).unlink()
    (node.root / "tls" / "..data").unlink()
    agent = node.start_manager()
    assert await eventually(lambda: agent.poll()) == 1
    assert "agent 1 cannot start" in node.agent_log.read_text()


async def test_an_agent_whose_port_is_taken_ends_and_tells_the_kubelet_why(node: Node) -> None:
    node.mount(node.document())
    node.termination_log.touch()
    with socket.create_server(("127.0.0.1", 0)) as peer:
        taking = ("127.0.0.1", node.tools_port)
        with socket.create_connection(peer.getsockname(), source_address=taking):
            assert await asyncio.to_thread(node.start_tools().wait, 30) == 1
    assert node.termination_log.read_text() == (
        f"agent 2 cannot start: it cannot serve on 127.0.0.1:{node.tools_port}: Address already in use; "
        "another process of the Pod listens there, or one of its connections has that port"
    )


async def test_an_agent_with_a_certificate_of_another_key_does_not_blame_the_port(node: Node) -> None:
    node.mount(node.document())
    node.termination_log.touch()
    key, _ = node.authority.issue(x509.DNSName(SERVER_NAME))
    _, certificate = node.authority.issue(x509.DNSName(SERVER_NAME))
    write_secret(node.root / "tls", {"tls.key": key, "tls.crt": certificate, "ca.crt": node.authority.pem})
    assert await asyncio.to_thread(node.start_manager().wait, 30) == 1
    said = node.termination_log.read_text()
    assert said.startswith(f"agent 1 cannot start: it cannot serve on 127.0.0.1:{node.manager_port}: ")
    assert said.endswith(
        f"the certificate or the key in {node.root}/tls cannot be used, or they do not belong together"
    )
