"""The installation's authority and client certificate as Secrets in the platform's namespace: made once, found again.

``ensure_pki`` is for who installs: ``mw``, and a worker that starts without mounted files. Every worker looks once a
day by ``renew_client``. Two at once agree: who comes second to create or renew a Secret reads what the first has
written.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime

from api.names import MANAGED_BY, SYSTEM_NAMESPACE
from clients.errors import AlreadyExistsError, ConflictError, NotFoundError
from clients.kubernetes import Kubernetes
from clients.resources import SECRET, Manifest
from clients.tls.certificates import KeyPair, create_authority, issue_platform_certificate

AUTHORITY_SECRET = "platform-ca"  # noqa: S105 - names of Secrets
CLIENT_SECRET = "platform-client"  # noqa: S105


async def ensure_pki(kubernetes: Kubernetes, installation: str) -> tuple[KeyPair, KeyPair]:
    """The authority, and the platform's client certificate: renewed where it is due, or of another authority. Raises
    KubernetesError; ValueError where the authority's key cannot sign."""
    authority = pair_of(await _ensure(kubernetes, AUTHORITY_SECRET, create_authority(installation), {}))
    return authority, await _ensure_client(kubernetes, authority)


async def renew_client(kubernetes: Kubernetes) -> KeyPair:
    """The client certificate as ``ensure_pki`` leaves it, but never a new authority: no agent that runs knows one, so
    where the Secret is gone for a while, nothing is touched until it has been restored. Raises NotFoundError then, and
    what ``ensure_pki`` raises."""
    found = await kubernetes.get(SECRET, AUTHORITY_SECRET, SYSTEM_NAMESPACE)
    if found is None:
        message = f"Secret {SYSTEM_NAMESPACE}/{AUTHORITY_SECRET} is gone; restore it from a backup"
        raise NotFoundError("reading the authority", 404, "NotFound", message)
    return await _ensure_client(kubernetes, pair_of(found))


async def _ensure_client(kubernetes: Kubernetes, authority: KeyPair) -> KeyPair:
    extra = {"ca.crt": authority.certificate}
    secret = await _ensure(kubernetes, CLIENT_SECRET, issue_platform_certificate(authority), extra)
    client = pair_of(secret)
    if not client.due(datetime.now(UTC)) and client.issued_by(authority):
        return client
    client = issue_platform_certificate(authority)
    manifest = secret_manifest(CLIENT_SECRET, SYSTEM_NAMESPACE, _texts(client, extra))
    version = secret["metadata"]["resourceVersion"]
    change = {"metadata": {"resourceVersion": version}, "data": manifest["data"]}
    try:
        await kubernetes.patch(SECRET, CLIENT_SECRET, SYSTEM_NAMESPACE, change)
    except ConflictError:
        return await _ensure_client(kubernetes, authority)  # somebody else was faster
    return client


async def _ensure(kubernetes: Kubernetes, name: str, fresh: KeyPair, extra: Mapping[str, bytes]) -> Manifest:
    found = await kubernetes.get(SECRET, name, SYSTEM_NAMESPACE)
    if found is not None:
        return found
    manifest = secret_manifest(name, SYSTEM_NAMESPACE, _texts(fresh, extra), kind="kubernetes.io/tls")
    manifest["metadata"]["labels"] = {"app.kubernetes.io/managed-by": MANAGED_BY}
    try:
        return await kubernetes.create(manifest)
    except AlreadyExistsError:
        found = await kubernetes.get(SECRET, name, SYSTEM_NAMESPACE)
        if found is None:
            raise
        return found


def _texts(pair: KeyPair, extra: Mapping[str, bytes]) -> dict[str, bytes]:
    return {"tls.crt": pair.certificate, "tls.key": pair.key, **extra}


def pair_of(secret: Manifest) -> KeyPair:
    """Raises KeyError or ValueError where it is damaged."""
    data = secret.get("data") or {}
    return KeyPair(base64.b64decode(data["tls.crt"]), base64.b64decode(data["tls.key"]))


def secret_manifest(name: str, namespace: str, texts: Mapping[str, bytes], *, kind: str = "Opaque") -> Manifest:
    """A Secret with its values encoded."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(text).decode() for key, text in texts.items()},
    }
