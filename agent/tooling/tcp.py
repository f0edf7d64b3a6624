"""The ``tcp`` action: a request on a socket, read until the answer is there.

Without a protocol of its own the agent knows the end of an answer only by ``expect``. On a kept connection a pattern
therefore has to reach to the end of the answer: what comes after the match and before the next request is thrown
away.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from agent.tooling.failure import StepError, shown

_LARGEST_ANSWER = 8 * 1024 * 1024


@dataclass(frozen=True)
class Exchange:
    """A ``tcp`` action with everything filled in. ``received`` shows, also after a time-out, what was answered."""

    address: str
    send: str = field(repr=False)
    login: str = field(repr=False)
    login_expect: re.Pattern[str] | None
    expect: re.Pattern[str] | None
    keep: bool
    received: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def answer(self) -> str:
        """What has been answered so far."""
        return self.received.decode("utf-8", "replace")


class PeerClosedError(StepError):
    """The peer ended the connection before the answer was complete."""


class _Connection(asyncio.Protocol):
    """Received bytes pile up until somebody takes them; an idle kept connection so notices its own end."""

    def __init__(self) -> None:
        self.pending = bytearray()
        self.closed = False
        self._changed = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.pending += data
        self._changed.set()

    def eof_received(self) -> None:
        self.closed = True
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._changed.set()

    def send(self, text: str) -> None:
        self.pending.clear()
        if text and self._transport is not None:
            self._transport.write(text.encode())

    async def receive(self) -> bytes:
        """At least one byte, or nothing where the peer has closed."""
        while not self.pending and not self.closed:
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self.pending)
        self.pending.clear()
        return data

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


@dataclass
class ConnectionPool:
    """Kept connections, by address. A run that finds none, since another is using it, opens one of its own."""

    _kept: dict[str, _Connection] = field(default_factory=dict)

    async def exchange(self, request: Exchange) -> str:
        """The answer. Raises StepError; the deadline is the caller's (cancellation closes the connection)."""
        kept = self._kept.pop(request.address, None) if request.keep else None
        if kept is not None and not kept.closed:
            try:
                return await self._ask(kept, request)
            except PeerClosedError:
                if request.received:
                    raise
                # Closed as we wrote (engine restarted, idle time-out) and unanswered: asked again on a new connection.
        connection = await _connect(request.address)
        try:
            await _login(connection, request)
        except BaseException:
            connection.close()
            raise
        return await self._ask(connection, request)

    async def _ask(self, connection: _Connection, request: Exchange) -> str:
        try:
            await _converse(connection, request.send, request.expect, request)
        except BaseException:
            connection.close()  # half an answer would be taken for the start of the next one
            raise
        if request.keep and request.expect is not None:
            if (other := self._kept.pop(request.address, None)) is not None:
                other.close()
            self._kept[request.address] = connection
        else:
            connection.close()
        return request.answer

    def close(self) -> None:
        """Ends all kept connections."""
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()


async def _login(connection: _Connection, request: Exchange) -> None:
    if not request.login:
        return
    if request.login_expect is None:
        connection.send(request.login)
        return
    try:
        await _converse(connection, request.login, request.login_expect, request)
    except StepError as error:
        raise StepError(f"login failed: {error}") from error
    request.received.clear()


async def _connect(address: str) -> _Connection:
    loop = asyncio.get_running_loop()
    try:
        if address.startswith("unix:"):
            return (await loop.create_unix_connection(_Connection, address.removeprefix("unix:")))[1]
        host, separator, port = address.rpartition(":")
        if not separator or not host or not port.isdecimal():
            raise StepError(f"address {address!r} must be host:port or unix:/path")
        return (await loop.create_connection(_Connection, host.strip("[]"), int(port)))[1]
    except OSError as error:
        raise StepError(f"cannot connect to {address}: {error.strerror or error}") from error


async def _converse(connection: _Connection, send: str, expect: re.Pattern[str] | None, request: Exchange) -> None:
    connection.send(send)
    while True:
        data = await connection.receive()
        if not data:
            if expect is None:
                return
            raise PeerClosedError(
                f"{request.address} closed the connection; expected /{expect.pattern}/, "
                f"answered {shown(request.answer)}"
            )
        request.received.extend(data)
        if len(request.received) > _LARGEST_ANSWER:
            raise StepError(f"{request.address} answered more than {_LARGEST_ANSWER} bytes")
        if expect is not None and expect.search(request.answer):
            return
