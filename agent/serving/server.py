"""One gRPC server per agent, with the standard health service."""

from __future__ import annotations

from typing import Any

import grpc
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
    """Bound, not started. Raises OSError or ValueError for TLS files, RuntimeError where the port is taken."""
    server = aio.server(interceptors=[PlatformOnly()], options=_OPTIONS)
    credentials, endpoint = TlsFiles(settings.tls_dir).server_credentials(), settings.endpoint(port)
    try:
        server.add_secure_port(endpoint, credentials)
    except RuntimeError as error:
        taken = "another process of the Pod listens there, or one of its connections has that port"
        raise RuntimeError(f"it cannot listen on {endpoint}: {taken}") from error
    return server


async def add_health(server: aio.Server, service: str) -> None:
    """Serving as long as the process answers; readiness of the engine is the probes' matter."""
    servicer: Any = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in ("", service):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)


async def refuse(context: aio.ServicerContext[Any, Any], code: grpc.StatusCode, sentence: str) -> None:
    """Ends the call; never returns."""
    await context.abort(code, sentence)
