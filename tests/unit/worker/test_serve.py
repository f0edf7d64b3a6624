"""The worker's process: what it does while Temporal is away, and what ends it."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import pytest
from temporalio.client import Client

from api.names import SYSTEM_NAMESPACE
from clients.kubernetes import Kubernetes
from clients.temporal import TlsFiles
from clients.tls.certificates import create_authority
from clients.tls.pki import CLIENT_SECRET, ensure_pki
from tests.unit.background import in_background
from tests.unit.watcher.support.fakes import Administrators, eventually
from worker import __main__ as program
from worker.certificates import authority_changed
from worker.settings import Settings


class OpenKubernetes(Administrators):
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


@pytest.fixture
async def kubernetes(monkeypatch: pytest.MonkeyPatch) -> OpenKubernetes:
    fake = OpenKubernetes()
    await ensure_pki(cast(Kubernetes, fake), "test")

    async def connect() -> OpenKubernetes:
        return fake

    monkeypatch.setattr(Kubernetes, "connect", connect)
    return fake


@pytest.fixture
async def settings(kubernetes: OpenKubernetes, tmp_path: Path) -> Settings:
    """With the Secrets as mounted files."""
    authority, client = await ensure_pki(cast(Kubernetes, kubernetes), "test")
    for folder, pair in (("ca", authority), ("tls", client)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tls.crt").write_bytes(pair.certificate)
        (tmp_path / folder / "tls.key").write_bytes(pair.key)
    environment = {
        "MW_AGENT_IMAGE": "agent",
        "MW_METRICS_PORT": "0",
        "MW_CA_DIR": str(tmp_path / "ca"),
        "MW_TLS_DIR": str(tmp_path / "tls"),
    }
    return Settings.from_environment(environment)


def served(settings: Settings) -> AbstractAsyncContextManager[asyncio.Task[None]]:
    return in_background(program.serve(settings, asyncio.Event()))


async def test_the_client_certificate_is_renewed_while_temporal_is_away(
    kubernetes: OpenKubernetes, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(**_: object) -> Client:
        return await asyncio.Future[Client]()

    def certificate() -> str:
        return str(kubernetes.get_now("Secret", SYSTEM_NAMESPACE, CLIENT_SECRET)["data"]["tls.crt"])

    before = certificate()
    monkeypatch.setattr(program, "connect", connect)
    monkeypatch.setattr("clients.tls.certificates.RENEW_BEFORE", timedelta(days=366))
    async with served(settings) as serving:
        await eventually(lambda: certificate() != before)
        assert not serving.done()


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Temporal answers, and nothing comes from it; set: the files for TLS with it have changed."""
    rotated = asyncio.Event()

    async def connect(**_: object) -> Client:
        return cast(Client, object())

    async def tls_changed(before: TlsFiles | None) -> None:
        await rotated.wait()

    monkeypatch.setattr(program, "connect", connect)
    monkeypatch.setattr(program, "tls_changed", tls_changed)
    monkeypatch.setattr(program, "workers", lambda client, platform: [])
    return rotated


async def test_it_ends_in_order_when_the_files_for_tls_have_changed(
    settings: Settings, connected: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with served(settings) as serving:
        await eventually(lambda: "running" in caplog.messages)
        assert not serving.done()
        connected.set()
        await asyncio.wait_for(serving, 5)


async def test_it_ends_when_another_authority_is_mounted(
    settings: Settings, connected: asyncio.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(program, "authority_changed", partial(authority_changed, every=0.01))
    async with served(settings) as serving:
        await eventually(lambda: "running" in caplog.messages)
        (settings.ca_directory / "tls.crt").touch()
        assert not serving.done()
        (settings.ca_directory / "tls.crt").write_bytes(create_authority("other").certificate)
        await asyncio.wait_for(serving, 5)
    assert "the platform's authority has changed: ending, to start anew with it" in caplog.messages
