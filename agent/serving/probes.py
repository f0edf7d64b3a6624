"""Health over plain HTTP for the kubelet, whose probes cannot speak mutual TLS. Nothing else is ever answered here.

A protocol and not streams: a node is probed more than once a second for all its life, and a task for each would cost
half as much again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

_REQUEST_DEADLINE = 5.0
_LARGEST_REQUEST = 8192
_END_OF_HEAD = b"\r\n\r\n"

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
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Exchange(self._answer), self._host, self._port)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split()
        path = words[1].decode("latin-1").split("?")[0] if len(words) == 3 and words[0] == b"GET" else ""
        check = self._checks.get(path)
        if check is None:
            status, text = "404 Not Found", "only " + " and ".join(self._checks)
        elif (problem := check()) is None:
            status, text = "200 OK", "ok"
        else:
            status, text = "503 Service Unavailable", problem
        body = (text + "\n").encode()
        lines = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        return lines.encode() + b"Connection: close\r\n\r\n" + body


class _Exchange(asyncio.Protocol):
    """One connection: a request, its answer, the end."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._deadline = asyncio.get_running_loop().call_later(_REQUEST_DEADLINE, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return  # answered already
        self._head += data
        if _END_OF_HEAD in self._head:
            self._transport.write(self._answer(self._head))
            self._transport.close()
        elif len(self._head) > _LARGEST_REQUEST:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._deadline.cancel()
