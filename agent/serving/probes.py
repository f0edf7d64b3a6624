"""Health over plain HTTP for the kubelet, whose probes cannot speak mutual TLS. Nothing else is ever answered here.

Anybody in the cluster may ask: whether, and never why. Why a node is not ready, with the engine's own words, is for the
platform, over mutual TLS.

A probe is a connection of its own, several times in five seconds for as long as the node lives, so it is answered
without asyncio's transports: taken up when its request is there, answered and closed in one go.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)
_REQUEST_DEADLINE = 5.0
_LARGEST_REQUEST = 8192
_BACKLOG = 100
_AGAIN = 1.0
_END = b"\r\n\r\n"

Check = Callable[[], bool]


class ProbeServer:
    """``checks`` by path, for example ``/livez``."""

    def __init__(self, host: str, port: int, checks: Mapping[str, Check]) -> None:
        self._host = host
        self._port = port
        self._checks = {path.encode(): check for path, check in checks.items()}
        self._unknown = _answer("404 Not Found", "only " + " and ".join(checks))
        self._listening: socket.socket | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._listening = socket.create_server((self._host, self._port), family=family, backlog=_BACKLOG)
        self._listening.setblocking(False)
        # The kernel keeps a connection to itself until its request has come.
        self._listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, int(_REQUEST_DEADLINE))
        self._listen()

    def _listen(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)

    def close(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        for task in self._waiting:
            task.cancel()

    def _accept(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, ConnectionError):
            return  # who came has gone again
        except OSError as error:
            # No descriptor is left, say: it would be called again at once.
            _log.error("no probe can be answered now: %s", error)
            asyncio.get_running_loop().remove_reader(listening)
            asyncio.get_running_loop().call_later(_AGAIN, self._listen)
            return
        connection.setblocking(False)
        try:
            head = connection.recv(_LARGEST_REQUEST)
        except OSError:
            head = b""
        if _END in head:
            self._reply(connection, head)
        else:
            task = asyncio.get_running_loop().create_task(self._wait_for_the_rest(connection, head))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _wait_for_the_rest(self, connection: socket.socket, head: bytes) -> None:
        try:
            async with asyncio.timeout(_REQUEST_DEADLINE):
                while _END not in head and len(head) < _LARGEST_REQUEST:
                    data = await asyncio.get_running_loop().sock_recv(connection, _LARGEST_REQUEST)
                    if not data:
                        break
                    head += data
            if _END in head:
                self._reply(connection, head)
        except (OSError, TimeoutError):
            pass  # a probe that gave up
        finally:
            connection.close()

    def _reply(self, connection: socket.socket, head: bytes) -> None:
        path = head[4 : head.find(b" ", 4)] if head.startswith(b"GET ") else b""
        check = self._checks.get(path.partition(b"?")[0])
        answer = self._unknown if check is None else _OK if check() else _NOT_OK
        try:
            connection.send(answer)  # it fits into the kernel's buffer, which is empty
        except OSError:
            pass  # a probe that gave up
        finally:
            connection.close()


def _answer(status: str, text: str) -> bytes:
    body = (text + "\n").encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


_OK = _answer("200 OK", "ok")
_NOT_OK = _answer("503 Service Unavailable", "not ready")
