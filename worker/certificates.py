"""Where the worker finds the authority and its client certificate: mounted files, else the Secrets themselves.

Mounted Secrets are the normal way. A worker on a developer's host has no mounts: it makes the Secrets where they
are absent, and keeps the client certificate in a directory that only it can read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from pathlib import Path

from prometheus_client import Gauge

from clients.errors import KubernetesError
from clients.kubernetes import Kubernetes
from clients.tls.certificates import KeyPair
from clients.tls.pki import ensure_pki, renew_client
from worker.settings import Settings

log = logging.getLogger(__name__)
LOOK_EVERY, LOOK_AGAIN = 24 * 3600.0, 600.0
"""Seconds; the second after a look that failed. A certificate is due a third of its life before its end."""
EXPIRY = Gauge(
    "middleware_client_certificate_expiry_timestamp_seconds",
    "When the platform's client certificate ends; it is renewed 120 days before; 0 until it has been looked at",
)


async def keep_renewed(kubernetes: Kubernetes) -> None:
    """Renews the client certificate where it is due, for as long as the worker runs: without it nobody reaches any
    agent. The Secret is mounted, and clients follow the files."""
    while True:
        wait = LOOK_AGAIN
        try:
            client = await renew_client(kubernetes)
            EXPIRY.set(client.not_after.timestamp())
            wait = LOOK_EVERY
        except KubernetesError as error:
            log.error("the platform's client certificate cannot be looked after, next try in 10 minutes: %s", error)
        except Exception:
            # A Secret that was edited by hand can be wrong in any way, and whatever it is, nobody else would look.
            log.exception("the platform's client certificate cannot be looked after, next try in 10 minutes")
        await asyncio.sleep(wait)


async def certificates(settings: Settings, kubernetes: Kubernetes) -> tuple[KeyPair, Path]:
    """The authority, and the directory with tls.crt, tls.key and ca.crt. Raises KubernetesError."""
    mounted = await asyncio.to_thread(_mounted, settings)
    if mounted is not None:
        return mounted, settings.tls_directory
    authority, client = await ensure_pki(kubernetes, settings.installation)
    files = {"tls.crt": client.certificate, "tls.key": client.key, "ca.crt": authority.certificate}
    return authority, await asyncio.to_thread(_private_directory, files)


async def authority_changed(settings: Settings, authority: KeyPair, every: float = 60.0) -> None:
    """Returns once another authority is mounted than the one that this worker signs Apps' certificates with: agents
    that got one of the old would not know the client certificate, which is made anew of the present one. Never where
    none is mounted."""
    while await asyncio.to_thread(_mounted, settings) in (None, authority):  # noqa: ASYNC110 - files set no event
        await asyncio.sleep(every)
    log.warning("the platform's authority has changed: ending, to start anew with it")


def _mounted(settings: Settings) -> KeyPair | None:
    certificate, key = settings.ca_directory / "tls.crt", settings.ca_directory / "tls.key"
    if not (certificate.exists() and key.exists() and (settings.tls_directory / "tls.crt").exists()):
        return None
    return KeyPair(certificate.read_bytes(), key.read_bytes())


def _private_directory(files: dict[str, bytes]) -> Path:
    directory = Path(tempfile.mkdtemp(prefix="middleware-worker-"))
    for name, content in files.items():
        with os.fdopen(os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    return directory
