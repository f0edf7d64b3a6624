"""The worker's daily look at the platform's client certificate: nothing that goes wrong in one ends those after it."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import cast

import pytest
from prometheus_client import REGISTRY

from api.names import SYSTEM_NAMESPACE
from clients.errors import KubernetesError
from clients.kubernetes import Kubernetes
from clients.tls.pki import AUTHORITY_SECRET, CLIENT_SECRET, ensure_pki
from tests.unit.background import in_background
from tests.unit.watcher.support.fakes import FakeKubernetes, eventually, unavailable
from worker import certificates
from worker.certificates import EXPIRY, keep_renewed


@pytest.fixture
async def kubernetes(monkeypatch: pytest.MonkeyPatch) -> FakeKubernetes:
    """With the Secrets of an installation, and no time between looks that fail."""
    monkeypatch.setattr(certificates, "LOOK_AGAIN", 0.0)
    EXPIRY.set(0)
    fake = FakeKubernetes()
    fake.who = ""  # whoever installs it
    await ensure_pki(cast(Kubernetes, fake), "test")
    fake.who = "worker"
    return fake


def kept_renewed(kubernetes: FakeKubernetes) -> AbstractAsyncContextManager[asyncio.Task[None]]:
    return in_background(keep_renewed(cast(Kubernetes, kubernetes)))


def expiry() -> float:
    value = REGISTRY.get_sample_value("middleware_client_certificate_expiry_timestamp_seconds")
    assert value is not None
    return value


async def test_it_is_renewed_at_the_first_look_and_its_end_told(
    kubernetes: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.tls.certificates.RENEW_BEFORE", timedelta(days=366))
    before = kubernetes.get_now("Secret", SYSTEM_NAMESPACE, CLIENT_SECRET)["data"]["tls.crt"]
    async with kept_renewed(kubernetes):
        await eventually(lambda: expiry() > 0)
    assert kubernetes.get_now("Secret", SYSTEM_NAMESPACE, CLIENT_SECRET)["data"]["tls.crt"] != before


async def test_it_looks_again_and_again(kubernetes: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "LOOK_EVERY", 0.0)
    async with kept_renewed(kubernetes):
        await eventually(lambda: expiry() > 0)
        EXPIRY.set(0)
        await eventually(lambda: expiry() > 0)


async def test_an_api_server_that_does_not_answer_is_asked_again(kubernetes: FakeKubernetes) -> None:
    failures = 0

    def restarting(verb: str, name: str) -> KubernetesError | None:
        nonlocal failures
        failures += 1
        return unavailable() if failures < 3 else None

    kubernetes.fail = restarting
    async with kept_renewed(kubernetes):
        await eventually(lambda: expiry() > 0)
    assert failures >= 3


@pytest.mark.parametrize("data", [None, {}, {"tls.crt": "bm8=", "tls.key": "bm8="}, {"tls.crt": 1, "tls.key": 2}])
async def test_a_damaged_secret_is_looked_at_until_it_has_been_mended(
    kubernetes: FakeKubernetes, caplog: pytest.LogCaptureFixture, data: object
) -> None:
    whole = kubernetes.get_now("Secret", SYSTEM_NAMESPACE, AUTHORITY_SECRET)
    kubernetes.put({**whole, "data": data})
    async with kept_renewed(kubernetes) as task:
        await eventually(lambda: "cannot be looked after" in caplog.text)
        assert not task.done()
        kubernetes.put(whole)
        await eventually(lambda: expiry() > 0)
