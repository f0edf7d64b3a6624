"""What the watcher is told by its environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from api.names import SYSTEM_NAMESPACE
from clients.agents import DEFAULT_TLS_DIRECTORY


@dataclass(frozen=True)
class Settings:
    installation: str
    tls_directory: str
    metrics_port: int
    identity: str
    """Of this replica in the Lease: the Pod's name; on a developer's host, host and process."""
    namespace: str
    """Where the Lease is."""
    log_level: str

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Raises ValueError with the variable's name."""
        port = environment.get("MW_METRICS_PORT", "9090")
        if not port.isdigit():
            raise ValueError(f"MW_METRICS_PORT is {port!r}; it must be a port number")
        return cls(
            installation=environment.get("MW_INSTALLATION", "default"),
            tls_directory=environment.get("MW_TLS_DIR", DEFAULT_TLS_DIRECTORY),
            metrics_port=int(port),
            identity=environment.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
            namespace=environment.get("POD_NAMESPACE", SYSTEM_NAMESPACE),
            log_level=environment.get("MW_LOG_LEVEL", "info"),
        )
