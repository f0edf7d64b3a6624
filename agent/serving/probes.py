"""Health over plain HTTP for the kubelet, whose probes cannot speak mutual TLS. Nothing else is ever answered here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

_REQUEST_DEADLINE = 5.0
_LARGEST_REQUEST = 8192

Check = Callable[[], str | None]
"""None is healthy; else a sentence, which the kubelet shows in its event."""


class ProbeServer:
    """``checks`` by path, for example ``/livez``."""

    def __init__(self, host: str, port: int, checks: Mapping[str, Check]) -> None:
        self._host = host
        self._port = port
        self._checks = checks
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=_LARGEST_REQUEST)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_DEADLINE):
                head = await reader.readuntil(b"\r\n\r\n")
                words = head.split(b"\r\n", 1)[0].split()
                path = words[1].decode("latin-1").split("?")[0] if len(words) == 3 and words[0] == b"GET" else ""
                writer.write(self._answer(path))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()

    def _answer(self, path: str) -> bytes:
        check = self._checks.get(path)
        if check is None:
            status, text = "404 Not Found", "only " + " and ".join(self._checks)
        elif (problem := check()) is None:
            status, text = "200 OK", "ok"
        else:
            status, text = "503 Service Unavailable", problem
        body = (text + "\n").encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"Connection: close\r\n\r\n" + body
