"""The ``tcp`` action: a request on a socket, read until the answer is there.

Without a protocol of its own the agent knows the end of an answer only by ``expect``. On a kept connection a pattern
therefore has to reach to the end of the answer: what comes after the match and before the next request is thrown
away.

An agent does little else all day than to ask its engine, which answers within a moment. So on a kept connection the
answer is waited for that long at once (``at_once``): a turn of the event loop costs more than all the rest.
"""

from __future__ import annotations

import asyncio
import re
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agent.tooling.failure import LoginRefusedError, StepError, shown

_MOMENT = 0.005
"""Seconds for which an exchange may hold up all else in the agent."""
_REST = 0.5
"""Seconds within which the rest follows of an answer to a login that has begun. An engine that answers otherwise than
was expected may keep the connection: its answer is not waited for until the step's time is up."""
_LARGEST_ANSWER = 8 * 1024 * 1024
_BUFFER = memoryview(bytearray(64 * 1024))
"""For all connections, as what arrives is taken out at once."""
Found = tuple[str, re.Match[str] | None]
"""An answer, and what of it was expected."""


@dataclass(slots=True)
class Exchange:
    """A ``tcp`` action with everything filled in; ``login`` where it is needed, as it holds a secret that is read from
    its file. ``received`` shows, also after a time-out, what was answered."""

    address: str
    send: str = field(repr=False)
    login: Callable[[], str] = field(repr=False)
    login_expect: re.Pattern[str] | None
    login_refused: re.Pattern[str] | None
    expect: re.Pattern[str] | None
    keep: bool
    received: bytearray = field(default_factory=bytearray, repr=False)
    asked: _Connection | None = field(default=None, repr=False)
    """On which the request has been sent and is not answered yet."""
    logging_in: bool = False
    """What is answered now is the answer to the login."""

    @property
    def answer(self) -> str:
        """What has been answered so far."""
        return self.received.decode("utf-8", "replace")

    def take(self, data: bytes, expect: re.Pattern[str] | None) -> Found | None:
        """The whole answer where it is complete with ``data``, which is empty where the peer has closed. Raises
        StepError."""
        if not data:
            if expect is None:
                return self.answer, None
            raise PeerClosedError(
                f"{self.address} closed the connection; expected /{expect.pattern}/, answered {shown(self.answer)}"
            )
        self.received.extend(data)
        if len(self.received) > _LARGEST_ANSWER:
            raise StepError(f"{self.address} answered more than {_LARGEST_ANSWER} bytes")
        if expect is None:
            return None
        answer = self.answer
        match = expect.search(answer)
        return None if match is None else (answer, match)


class PeerClosedError(StepError):
    """The peer ended the connection before the answer was complete."""


class _Connection:
    """A socket without asyncio's transport, which could not be waited for at once."""

    def __init__(self, own: socket.socket) -> None:
        self._socket = own
        self._unsent = b""
        self._arrival = select.poll()
        self._arrival.register(own, select.POLLIN)

    def send(self, text: str) -> None:
        """As much as goes at once; the rest with ``receive``."""
        self._unsent += text.encode()
        if self._unsent:
            try:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            except BlockingIOError:
                return
            except OSError:
                self._unsent = b""  # the peer has closed, as is seen next

    def idle(self) -> bool:
        """Whether the peer is still there. What it has said since the last answer is thrown away."""
        while data := self.arrived():
            continue
        return data is None

    def arrived(self, within: float = 0.0) -> bytes | None:
        """What has come, or comes ``within`` seconds: None where that is nothing, no byte where the peer has closed."""
        try:
            if within > 0 and not self._arrival.poll(within * 1000):
                return None
            return bytes(_BUFFER[: self._socket.recv_into(_BUFFER)])
        except BlockingIOError:
            return None
        except OSError:
            return b""

    async def receive(self) -> bytes:
        """At least one byte, or nothing where the peer has closed."""
        loop = asyncio.get_running_loop()
        try:
            if self._unsent:
                unsent, self._unsent = self._unsent, b""
                await loop.sock_sendall(self._socket, unsent)
            return await loop.sock_recv(self._socket, len(_BUFFER))
        except OSError:
            return b""

    def close(self) -> None:
        self._socket.close()


@dataclass
class ConnectionPool:
    """Kept connections, by address. A run that finds none, since another is using it, opens one of its own."""

    _kept: dict[str, _Connection] = field(default_factory=dict)

    def at_once(self, request: Exchange) -> Found | None:
        """The answer on a kept connection where it comes within a moment. None: ``exchange`` is to go on with it.
        Raises StepError."""
        kept = self._kept.pop(request.address, None) if request.keep else None
        if kept is None:
            return None
        if not kept.idle():
            kept.close()
            return None
        kept.send(request.send)
        request.asked = kept
        until = time.monotonic() + _MOMENT
        while (data := kept.arrived(until - time.monotonic())) is not None:
            try:
                found = request.take(data, request.expect)
            except StepError as error:
                self._ended(request)
                if isinstance(error, PeerClosedError) and not request.received:
                    return None
                raise
            if found is not None:
                self._answered(request)
                return found
        return None

    async def exchange(self, request: Exchange) -> Found:
        """The answer, and what of it was expected. Raises StepError; the deadline is the caller's (cancellation closes
        the connection)."""
        if request.asked is not None:
            try:
                return await self._ask(request)
            except PeerClosedError:
                if request.received:
                    raise
                # Closed as we wrote (engine restarted, idle time-out) and unanswered: asked again on a new connection.
        login = request.login()
        connection = await _connect(request.address)
        try:
            await _login(connection, login, request)
        except BaseException:
            connection.close()
            raise
        connection.send(request.send)
        request.asked = connection
        return await self._ask(request)

    async def _ask(self, request: Exchange) -> Found:
        assert request.asked is not None
        try:
            found = await _read(request.asked, request, request.expect)
        except BaseException:
            self._ended(request)
            raise
        self._answered(request)
        return found

    def _answered(self, request: Exchange) -> None:
        if not request.keep or request.expect is None or request.asked is None:
            self._ended(request)
            return
        if (other := self._kept.pop(request.address, None)) is not None:
            other.close()
        self._kept[request.address], request.asked = request.asked, None

    def _ended(self, request: Exchange) -> None:
        """Half an answer would be taken for the start of the next one."""
        if request.asked is not None:
            request.asked.close()
            request.asked = None

    def close(self) -> None:
        """Ends all kept connections."""
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()


async def _login(connection: _Connection, login: str, request: Exchange) -> None:
    if not login:
        return
    connection.send(login)
    if request.login_expect is None:
        return
    request.logging_in = True
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as patience:
            while request.take(await connection.receive(), request.login_expect) is None:
                if request.login_refused is not None and request.login_refused.search(request.answer) is not None:
                    raise LoginRefusedError(f"{request.address} refuses the login: answered {shown(request.answer)}")
                patience.reschedule(loop.time() + _REST)
    except TimeoutError as error:
        wanted = f"expected /{request.login_expect.pattern}/, answered {shown(request.answer)}"
        raise StepError(f"login failed: {request.address}: {wanted}") from error
    except PeerClosedError as error:
        raise StepError(f"login failed: {error}") from error
    request.logging_in = False
    request.received.clear()
    connection.idle()  # what is left of the answer is no part of the next


async def _read(connection: _Connection, request: Exchange, expect: re.Pattern[str] | None) -> Found:
    while (found := request.take(await connection.receive(), expect)) is None:
        continue
    return found


async def _connect(address: str) -> _Connection:
    try:
        if address.startswith("unix:"):
            return await _connected(socket.AF_UNIX, address.removeprefix("unix:"))
        host, separator, port = address.rpartition(":")
        if not separator or not host or not port.isdecimal():
            raise StepError(f"address {address!r} must be host:port or unix:/path")
        found = await _addresses(host.strip("[]"), int(port))
        for family, each in found[:-1]:
            with suppress(OSError):
                return await _connected(family, each)
        return await _connected(*found[-1])
    except OSError as error:
        raise StepError(f"cannot connect to {address}: {error.strerror or error}") from error


async def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    """Family and address. Raises OSError where the name is not known."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(family, host)
            return [(family, (host, port))]
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in infos]


async def _connected(family: int, address: Any) -> _Connection:
    own = socket.socket(family, socket.SOCK_STREAM)
    try:
        own.setblocking(False)
        if family != socket.AF_UNIX:
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(own, address)
    except BaseException:
        own.close()
        raise
    return _Connection(own)
