"""One gRPC server per agent, with the standard health service."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from agent.serving.credentials import TlsFiles
from agent.serving.identity import PlatformOnly
from agent.settings import Settings

_OPTIONS = (
    ("grpc.so_reuseport", 0),  # two agents on one port must be an error, not a lottery
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    # The watcher's streams are idle for seconds; a caller may ping to notice a dead Pod.
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
)


def make_server(settings: Settings, port: int) -> aio.Server:
    """Bound, not started. Raises OSError or ValueError for TLS files, RuntimeError where gRPC refuses."""
    server = aio.server(interceptors=[PlatformOnly()], options=_OPTIONS)
    credentials, endpoint = TlsFiles(settings.tls_dir).server_credentials(), settings.endpoint(port)
    try:
        server.add_secure_port(endpoint, credentials)
    except RuntimeError as error:
        raise RuntimeError(f"it cannot serve on {endpoint}: {_why_not(settings, port)}") from error
    return server


def serve_locally(server: aio.Server, socket_path: Path) -> None:
    """Also on a Unix socket, for programs in this container. Raises RuntimeError where gRPC refuses."""
    socket_path.unlink(missing_ok=True)  # an agent that was killed has left its own
    server.add_insecure_port(f"unix:{socket_path}")


def _why_not(settings: Settings, port: int) -> str:
    """gRPC tells it to stderr alone."""
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.listen, port))
    except OSError as error:
        return f"{error.strerror}; another process of the Pod listens there, or one of its connections has that port"
    return f"the certificate or the key in {settings.tls_dir} cannot be used, or they do not belong together"


async def add_health(server: aio.Server, service: str) -> None:
    """Serving as long as the process answers; readiness of the engine is the probes' matter."""
    servicer: Any = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in ("", service):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
