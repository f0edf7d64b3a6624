"""Requests on sockets, kept from one poll to the next; what an answer is, and when it is complete, the protocol says.

An agent does little else all day than to ask its engine, which answers within a moment. So on a kept connection the
answer is waited for that long at once (``at_once``): a turn of the event loop costs more than all the rest.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agent.tooling.failure import StepError

_MOMENT = 0.005
"""Seconds for which an exchange may hold up all else in the agent."""
_BUFFER = memoryview(bytearray(64 * 1024))
"""For all connections, as what arrives is taken out at once."""


class Answer(ABC):
    """What comes back for one request, as it comes."""

    begun = False
    """Something has come."""
    keepable = True
    """What was asked leaves the connection as it was: others may go on with it."""
    farewell = b""
    """What is said before we close: an engine may log who leaves without it."""
    work: Callable[[], None] | None = None
    """To be done in a thread before what ``says`` gives is known: it takes longer than others may be held up."""

    @abstractmethod
    def take(self, data: bytes) -> bool:
        """Whether it is complete with ``data``. Raises StepError where it can be no answer."""

    def says(self) -> bytes:
        """What we say next, where the peer waits for it; it is said once."""
        return b""

    def closed(self) -> bool:
        """Whether it is complete as the peer has closed."""
        return False

    @abstractmethod
    def shown(self) -> str:
        """What has come so far, in one short line."""


@dataclass(slots=True)
class Login:
    """The first request on a new connection; ``check`` raises StepError where its answer is no success."""

    send: bytes = field(repr=False)
    answer: Answer
    check: Callable[[], None]


@dataclass(slots=True)
class Exchange:
    """One request with everything filled in; ``login`` is asked for where it is needed, as it holds a secret that is
    read from its file."""

    address: str
    send: bytes = field(repr=False)
    answer: Answer
    login: Callable[[], Login | None] = field(repr=False, default=lambda: None)
    keep: bool = False
    session: str = ""
    """What else a kept connection must be for, beside its address: a user, a database."""
    asked: Connection | None = field(default=None, repr=False)
    """On which the request has been sent and is not answered yet."""
    logging_in: Login | None = None

    @property
    def kept_as(self) -> tuple[str, str]:
        return self.address, self.session


class PeerClosedError(StepError):
    """The peer ended the connection before the answer was complete."""


class Connection:
    """A socket without asyncio's transport, which could not be waited for at once."""

    def __init__(self, own: socket.socket) -> None:
        self._socket = own
        self._unsent = b""
        self.farewell = b""
        self._arrival = select.poll()
        self._arrival.register(own, select.POLLIN)

    def send(self, data: bytes) -> None:
        """As much as goes at once; the rest with ``receive``."""
        self._unsent += data
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
        if self.farewell:
            with suppress(OSError):
                self._socket.send(self.farewell)
        self._socket.close()


@dataclass
class ConnectionPool:
    """Kept connections, by address and session. A run that finds none, since another is using it, opens one of its
    own."""

    _kept: dict[tuple[str, str], Connection] = field(default_factory=dict)

    def at_once(self, request: Exchange) -> bool:
        """Whether it was answered on a kept connection within a moment; else ``exchange`` is to go on with it. Raises
        StepError."""
        kept = self._kept.pop(request.kept_as, None) if request.keep else None
        if kept is None:
            return False
        if not kept.idle():
            kept.close()
            return False
        kept.send(request.send)
        request.asked = kept
        until = time.monotonic() + _MOMENT
        while (data := kept.arrived(until - time.monotonic())) is not None:
            try:
                complete = _taken(request.address, request.answer, data)
            except StepError as error:
                self._ended(request)
                if isinstance(error, PeerClosedError) and not request.answer.begun:
                    return False
                raise
            if complete:
                self._answered(request)
                return True
            kept.send(request.answer.says())
        return False

    async def exchange(self, request: Exchange) -> None:
        """Until it is answered. Raises StepError; the deadline is the caller's (cancellation closes the
        connection)."""
        if request.asked is not None:
            try:
                await self._ask(request)
                return
            except PeerClosedError:
                if request.answer.begun:
                    raise
                # Closed as we wrote (engine restarted, idle time-out) and unanswered: asked again on a new connection.
        login = request.login()
        connection = await _connect(request.address)
        try:
            if login is not None:
                request.logging_in = login
                connection.send(login.send)
                await _read(connection, request.address, login.answer)
                login.check()
                request.logging_in = None
        except BaseException:
            connection.close()
            raise
        connection.farewell = request.answer.farewell
        connection.send(request.send)
        request.asked = connection
        await self._ask(request)

    async def _ask(self, request: Exchange) -> None:
        assert request.asked is not None
        try:
            await _read(request.asked, request.address, request.answer)
        except BaseException:
            self._ended(request)
            raise
        self._answered(request)

    def _answered(self, request: Exchange) -> None:
        if not request.keep or not request.answer.keepable or request.asked is None:
            self._ended(request)
            return
        if (other := self._kept.pop(request.kept_as, None)) is not None:
            other.close()
        self._kept[request.kept_as], request.asked = request.asked, None

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


async def _read(connection: Connection, address: str, answer: Answer) -> None:
    while not _taken(address, answer, await connection.receive()):
        if answer.work is not None:
            await asyncio.to_thread(answer.work)
            answer.work = None
        connection.send(answer.says())


def _taken(address: str, answer: Answer, data: bytes) -> bool:
    if data:
        return answer.take(data)
    if answer.closed():
        return True
    raise PeerClosedError(f"{address} closed the connection, having answered {answer.shown()}")


async def _connect(address: str) -> Connection:
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


async def _connected(family: int, address: Any) -> Connection:
    own = socket.socket(family, socket.SOCK_STREAM)
    try:
        own.setblocking(False)
        if family != socket.AF_UNIX:
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(own, address)
    except BaseException:
        own.close()
        raise
    return Connection(own)
