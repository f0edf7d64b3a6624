"""Mutual TLS that follows its files: a rotated certificate or CA is in effect from the next handshake, without a
restart.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import grpc

_log = logging.getLogger(__name__)
_FILES = ("tls.key", "tls.crt", "ca.crt")


class TlsFiles:
    """``directory`` is the mounted Secret; the kubelet swaps all its files at once through the link ``..data``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loaded: tuple[bytes, bytes, bytes] | None = None
        self._seen: object = None

    def server_credentials(self) -> grpc.ServerCredentials:
        """Raises OSError or ValueError where the first load fails: without TLS an agent serves nobody."""
        self._loaded = self._read()
        self._seen = self._stamp()
        return grpc.dynamic_ssl_server_credentials(
            _configuration(*self._loaded),
            self._fetch,  # type: ignore[arg-type]  # gRPC documents None as "unchanged"
            require_client_authentication=True,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC at each handshake, on a thread of its own; None keeps what is in effect."""
        try:
            seen = self._stamp()
            if seen == self._seen:
                return None
            loaded = self._read()
        except (OSError, ValueError) as error:
            _log.warning("keeping the certificate in effect, the new one cannot be read: %s", error)
            return None
        self._seen = seen
        if loaded == self._loaded:
            return None
        self._loaded = loaded
        _log.info("TLS certificate reloaded from %s", self._directory)
        return _configuration(*loaded)

    def _root(self) -> Path:
        linked = self._directory / "..data"
        return Path(os.path.realpath(linked)) if linked.is_symlink() else self._directory

    def _stamp(self) -> object:
        root = self._root()
        return root, tuple((s.st_ino, s.st_mtime_ns, s.st_size) for s in ((root / name).stat() for name in _FILES))

    def _read(self) -> tuple[bytes, bytes, bytes]:
        root = self._root()
        key, certificate, authority = ((root / name).read_bytes() for name in _FILES)
        for name, content in zip(_FILES, (key, certificate, authority), strict=True):
            if b"-----BEGIN" not in content or b"-----END" not in content:
                raise ValueError(f"{root / name} is not in PEM form")
        return key, certificate, authority


def _configuration(key: bytes, certificate: bytes, authority: bytes) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authority)
