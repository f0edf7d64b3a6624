"""Where the worker finds the authority and its client certificate: mounted files, else the Secrets themselves.

Mounted Secrets are the normal way. A worker on a developer's host has no mounts: it makes the Secrets where they
are absent, and keeps the client certificate in a directory that only it can read.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from clients.certificates import KeyPair
from clients.kubernetes import Kubernetes
from clients.pki import ensure_pki
from worker.settings import Settings


async def certificates(settings: Settings, kubernetes: Kubernetes) -> tuple[KeyPair, Path]:
    """The authority, and the directory with tls.crt, tls.key and ca.crt. Raises KubernetesError."""
    mounted = await asyncio.to_thread(_mounted, settings)
    if mounted is not None:
        return mounted, settings.tls_directory
    authority, client = await ensure_pki(kubernetes, settings.installation)
    files = {"tls.crt": client.certificate, "tls.key": client.key, "ca.crt": authority.certificate}
    return authority, await asyncio.to_thread(_private_directory, files)


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
