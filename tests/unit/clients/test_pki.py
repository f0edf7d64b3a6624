"""The installation's Secrets: made once, and renewed by whoever looks, long before anything expires."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import cast

import pytest

from api.names import SYSTEM_NAMESPACE
from clients.errors import KubernetesError, NotFoundError
from clients.kubernetes import Kubernetes
from clients.tls.certificates import KeyPair, create_authority, issue_platform_certificate
from clients.tls.pki import AUTHORITY_SECRET, CLIENT_SECRET, ensure_pki, renew_client, secret_manifest
from tests.unit.watcher.support.fakes import Administrators, FakeKubernetes


@pytest.fixture
def kubernetes() -> FakeKubernetes:
    return Administrators()


async def looked(kubernetes: FakeKubernetes) -> tuple[KeyPair, KeyPair]:
    return await ensure_pki(cast(Kubernetes, kubernetes), "test")


def stored(kubernetes: FakeKubernetes, key: str) -> bytes:
    return base64.b64decode(kubernetes.get_now("Secret", SYSTEM_NAMESPACE, CLIENT_SECRET)["data"][key])


async def test_it_is_made_once_and_found_again(kubernetes: FakeKubernetes) -> None:
    authority, client = await looked(kubernetes)
    assert client.issued_by(authority)
    assert await looked(kubernetes) == (authority, client)


async def test_a_client_certificate_is_renewed_when_it_is_due(
    kubernetes: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, client = await looked(kubernetes)
    monkeypatch.setattr("clients.tls.certificates.RENEW_BEFORE", timedelta(days=366))
    _, renewed = await looked(kubernetes)
    assert renewed != client
    assert renewed.issued_by(authority)
    assert (stored(kubernetes, "tls.crt"), stored(kubernetes, "tls.key")) == (renewed.certificate, renewed.key)


async def test_one_of_another_authority_is_replaced(kubernetes: FakeKubernetes) -> None:
    await looked(kubernetes)
    other = create_authority("test")
    texts = {"tls.crt": other.certificate, "tls.key": other.key}
    kubernetes.put(secret_manifest(AUTHORITY_SECRET, SYSTEM_NAMESPACE, texts))
    _, client = await looked(kubernetes)
    assert client.issued_by(other)
    assert stored(kubernetes, "ca.crt") == other.certificate


async def test_of_two_that_renew_at_once_the_second_takes_what_the_first_has_made(
    kubernetes: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, _ = await looked(kubernetes)
    first = issue_platform_certificate(authority)
    monkeypatch.setattr("clients.tls.certificates.RENEW_BEFORE", timedelta(days=366))

    def other_is_faster(verb: str, name: str) -> KubernetesError | None:
        if verb == "patch":
            monkeypatch.undo()
            texts = {"tls.crt": first.certificate, "tls.key": first.key, "ca.crt": authority.certificate}
            kubernetes.put(secret_manifest(CLIENT_SECRET, SYSTEM_NAMESPACE, texts))
            kubernetes.fail = lambda verb, name: None
        return None

    kubernetes.fail = other_is_faster
    assert await renew_client(cast(Kubernetes, kubernetes)) == first
    assert stored(kubernetes, "tls.crt") == first.certificate


async def test_a_worker_renews_but_never_makes_an_authority(
    kubernetes: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, client = await looked(kubernetes)
    secret = kubernetes.get_now("Secret", SYSTEM_NAMESPACE, AUTHORITY_SECRET)
    kubernetes.remove(secret)
    monkeypatch.setattr("clients.tls.certificates.RENEW_BEFORE", timedelta(days=366))
    with pytest.raises(NotFoundError, match="restore it from a backup"):
        await renew_client(cast(Kubernetes, kubernetes))
    assert ("Secret", SYSTEM_NAMESPACE, AUTHORITY_SECRET) not in kubernetes.objects
    assert stored(kubernetes, "tls.crt") == client.certificate
    kubernetes.put(secret)
    renewed = await renew_client(cast(Kubernetes, kubernetes))
    assert renewed.issued_by(authority)
    assert stored(kubernetes, "tls.crt") == renewed.certificate != client.certificate
