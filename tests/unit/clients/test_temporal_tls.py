"""A client certificate for Temporal that is rotated under a process that runs: real files, and a server that checks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from api.names import agent_tls_server_name
from clients.temporal import connect, tls_changed, tls_files
from clients.tls.certificates import create_authority, issue_agent_certificate, issue_platform_certificate
from tests.unit.background import in_background
from tests.unit.clients.mounts import mount
from tests.unit.watcher.support.fakes import eventually

LOOK = 0.01
SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
AUTHORITY = create_authority("temporal")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    mount(tmp_path, issue_platform_certificate(AUTHORITY), AUTHORITY)
    monkeypatch.setenv("MW_TEMPORAL_TLS_DIR", str(tmp_path))
    monkeypatch.setenv("MW_TEMPORAL_TLS_SERVER_NAME", agent_tls_server_name("temporal", "test"))
    return tmp_path


@pytest.fixture
async def temporal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[grpc.aio.Server]:
    """As much of Temporal as a connection needs, to who shows a certificate of its authority."""
    pair = issue_agent_certificate(AUTHORITY, "temporal", "test")
    credentials = grpc.ssl_server_credentials(
        [(pair.key, pair.certificate)], root_certificates=AUTHORITY.certificate, require_client_auth=True
    )
    server = grpc.aio.server()
    answers = health.aio.HealthServicer()
    await answers.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(answers, server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{port}")
    await server.start()
    yield server
    await server.stop(None)


def waiting() -> AbstractAsyncContextManager[asyncio.Task[None]]:
    """For a change from now on."""
    return in_background(tls_changed(tls_files(), LOOK))


async def test_a_rotated_certificate_is_noticed(folder: Path, temporal: grpc.aio.Server) -> None:
    await connect(patience=0)
    async with waiting() as noticed:
        mount(folder, issue_platform_certificate(AUTHORITY), AUTHORITY)
        await asyncio.wait_for(noticed, 10)


async def test_what_is_as_before_is_not(
    folder: Path, temporal: grpc.aio.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def counted() -> object:
        nonlocal looks
        looks += 1
        return tls_files()

    async with waiting() as noticed:
        monkeypatch.setattr("clients.temporal.tls_files", counted)
        await eventually(lambda: looks > 3)
        assert not noticed.done()


async def test_while_temporal_refuses_the_new_one_the_process_goes_on(
    folder: Path, temporal: grpc.aio.Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with waiting() as noticed:
        mount(folder, issue_platform_certificate(create_authority("stranger")), AUTHORITY)
        await eventually(lambda: caplog.text.count("going on with the old") > 1)
        assert not noticed.done()
        mount(folder, issue_platform_certificate(AUTHORITY), AUTHORITY)
        await asyncio.wait_for(noticed, 10)


async def test_so_it_does_while_the_files_cannot_be_read(
    folder: Path, temporal: grpc.aio.Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with waiting() as noticed:
        (folder / "tls.key").unlink()
        (folder / "tls.key").mkdir()
        await eventually(lambda: caplog.text.count("Is a directory") > 1)
        assert not noticed.done()


@pytest.mark.parametrize("damaged", [b"", b"no PEM", None])
async def test_so_it_does_with_a_damaged_or_missing_key(
    folder: Path, temporal: grpc.aio.Server, caplog: pytest.LogCaptureFixture, damaged: bytes | None
) -> None:
    async with waiting() as noticed:
        key = folder / "tls.key"
        key.unlink()
        if damaged is not None:
            key.write_bytes(damaged)
        await eventually(lambda: "going on with the old" in caplog.text)
        assert not noticed.done()


async def test_without_tls_nothing_is_ever_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MW_TEMPORAL_TLS_DIR", raising=False)
    assert tls_files() is None
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tls_changed(None, LOOK), 5 * LOOK)
