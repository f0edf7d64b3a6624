"""The protocol of MySQL and MariaDB, as far as a tool needs it: a login, then statements as texts. No I/O.

A session begins with the settings on which the quoting of values stands (``language.statements``), and with a limit of
its own on the server: what nobody waits for any longer must not go on waiting there for a lock.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agent.tooling.connections import Login
from agent.tooling.failure import Mask, StepError
from agent.tooling.protocols import mysql_login, sql
from agent.tooling.protocols.sql import Account, LoginAnswer, Refusal, SqlAnswer, Statements

_OK, _ERROR, _EOF, _FILE = 0x00, 0xFF, 0xFE, 0xFB
_IN_TRANSACTION, _MORE_RESULTS = 0x0001, 0x0008
_DENIED = (1045, 1698)
_LONGEST = sql.LARGEST
_UTF8 = 45
_WITH_DATABASE, _PLUGIN_AUTH = 0x8, 0x80000
_CAPABILITIES = 0x1 | 0x4 | 0x200 | 0x2000 | 0x8000 | 0x20000 | _PLUGIN_AUTH
"""Long passwords and flags, protocol 4.1, transactions, authentication of 4.1, several results, methods by name."""

_INTEGERS, _FRACTIONS, _DECIMALS = (1, 2, 3, 8, 9, 13), (4, 5), (0, 246)
_TYPES: Mapping[int, Callable[[bytes], Any]] = MappingProxyType(
    {
        **dict.fromkeys(_INTEGERS, int),
        **dict.fromkeys(_FRACTIONS, float),
        **dict.fromkeys(_DECIMALS, lambda data: sql.number(data.decode("ascii"))),
        16: lambda data: int.from_bytes(data, "big"),
        245: lambda data: sql.from_json(data.decode()),
    }
)
"""By the number of the type: whole numbers, fractions, decimals, bits, JSON. All else is a text."""


def _plain(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class _Packets:
    """Takes bytes as they come; gives the packets that are complete. ``next``: the number of the one that we send."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._buffer = bytearray()
        self._next = 0

    def fed(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= 4:
            size = int.from_bytes(self._buffer[at : at + 3], "little")
            if size > _LONGEST:
                raise StepError(f"{self._address} answers more than {_LONGEST} bytes, or speaks another protocol")
            if len(self._buffer) - at < 4 + size:
                break
            self._next = (self._buffer[at + 3] + 1) % 256
            yield bytes(self._buffer[at + 4 : at + 4 + size])
            at += 4 + size
        del self._buffer[:at]

    def reply(self, body: bytes) -> bytes:
        return _packet(self._next, body)


@dataclass(frozen=True)
class _Column:
    name: str
    typed: Callable[[bytes], Any]


class MysqlAnswer(SqlAnswer):
    """A result is: how many columns, each of them, an end, the rows, an end; or an OK; or an error."""

    kind = "mysql"
    farewell = b"\1\0\0\0\1"

    def __init__(self, address: str, statements: Statements) -> None:
        super().__init__(address, statements)
        self._packets = _Packets(address)
        self._columns: list[_Column] | None = None
        self._within = False
        """Rows are to come."""
        self._rows: list[dict[str, Any]] = []
        self._result: list[dict[str, Any]] = []
        """Of several results of one statement the last that has columns."""

    def asked(self, text: str) -> bytes:
        return _command(text)

    def read(self, data: bytes) -> bool:
        return any(self._packet(packet) for packet in self._packets.fed(data))

    def _packet(self, packet: bytes) -> bool:
        """Whether all is answered with it."""
        head = packet[0]
        if head == _ERROR:
            self._columns, self._result = None, []
            return self.answered(_refusal(packet))
        if self._columns is None:
            return self._begins(packet)
        if head == _EOF and len(packet) < 9:
            if not self._within:
                self._within = True
                return False
            self._result = self._rows
            return self._ends(struct.unpack_from("<H", packet, 3)[0])
        if self._within:
            self._rows.append(_row(self._columns, packet))
        else:
            self._columns.append(_column(packet))
        return False

    def _begins(self, packet: bytes) -> bool:
        if packet[0] == _OK:
            _, at = _length(packet, 1)
            _, at = _length(packet, at)
            return self._ends(struct.unpack_from("<H", packet, at)[0])
        if packet[0] == _FILE:
            raise StepError("LOAD DATA LOCAL is not for tools; use run with the engine's own client")
        self._columns, self._within, self._rows = [], False, []
        return False

    def _ends(self, status: int) -> bool:
        self._columns = None
        if status & _MORE_RESULTS:
            return False
        self.keepable = not status & _IN_TRANSACTION
        result, self._result = self._result, []
        return self.answered(result)


class MysqlLogin(LoginAnswer):
    """The server speaks first. Its methods: see ``mysql_login``; ``unix_socket`` needs no answer of ours."""

    def __init__(self, address: str, account: Account) -> None:
        super().__init__(address, account)
        self._packets = _Packets(address)
        self._maria = False
        self._method, self._challenge = "", b""
        self._greeted = self._in = False

    def read(self, data: bytes) -> bool:
        return any(self._packet(packet) for packet in self._packets.fed(data))

    def closed(self) -> bool:
        return self.refusal is not None

    def _packet(self, packet: bytes) -> bool:
        if packet[0] == _ERROR:
            self.refusal = _refusal(packet)
            return True
        if not self._greeted:
            self._greeted = True
            self.unsaid += self._packets.reply(self._answered(packet))
        elif packet[0] == _OK:
            if self._in:
                return True
            self._in = True
            self.unsaid += _command(_settings(self.account.seconds, maria=self._maria))
        elif packet[0] == _EOF:
            self._switched(packet)
        elif packet[0] == 1:
            self._asked(packet[1:])
        else:
            raise StepError(f"{self.address} does not speak MySQL's protocol")
        return False

    def _answered(self, greeting: bytes) -> bytes:
        """To the server's first packet."""
        if greeting[0] != 10:
            raise StepError(f"{self.address} does not speak MySQL's protocol")
        end = greeting.index(b"\0", 1)
        self._maria = b"MariaDB" in greeting[1:end]
        low, _, _, high, size = struct.unpack_from("<HBHHB", greeting, end + 14)
        rest = greeting[end + 32 :]
        self._challenge = greeting[end + 5 : end + 13] + rest[: max(13, size - 8)]
        self._method = mysql_login.NATIVE
        if (low | high << 16) & _PLUGIN_AUTH:
            self._method = _plain(rest[max(13, size - 8) :].split(b"\0")[0])
        # A method of which nothing is known may be another user's: the server names the one that it wants of ours.
        if (first := mysql_login.scrambled(self._method, self.account.password, self._challenge)) is None:
            self._method = mysql_login.NATIVE
            first = mysql_login.scrambled(self._method, self.account.password, self._challenge) or b""
        database = self.account.database
        capabilities = _CAPABILITIES | (_WITH_DATABASE if database else 0)
        head = struct.pack("<IIB23x", capabilities, _LONGEST, _UTF8)
        words = [_ended(self.account.user), bytes([len(first)]) + first, _ended(database) if database else b""]
        return head + b"".join(words) + _ended(self._method)

    def _switched(self, packet: bytes) -> None:
        """The server wants another method. Raises StepError."""
        name, _, self._challenge = packet[1:].partition(b"\0")
        self._method = _plain(name)
        first = mysql_login.scrambled(self._method, self.account.password, self._challenge)
        if first is None:
            known = f"{mysql_login.CACHING}, {mysql_login.NATIVE} and, over its socket, unix_socket"
            raise StepError(f"{self.address} asks for the login method {self._method!r}; known are {known}")
        self.unsaid += self._packets.reply(first)

    def _asked(self, more: bytes) -> None:
        """``caching_sha2_password``: 3 is well; 4 asks for the password itself; else it is the server's key."""
        if more == b"\3":
            return
        if more != b"\4":
            try:
                self.unsaid += self._packets.reply(mysql_login.encrypted(self.account.password, self._challenge, more))
            except mysql_login.KeyUnusableError as error:
                raise StepError(f"login failed: {self.address}: {error}") from error
        else:
            said = _ended(self.account.password) if self.account.local else b"\2"
            self.unsaid += self._packets.reply(said)


def login(address: str, account: Account, mask: Mask) -> Login:
    """Its check raises LoginRefusedError where user or password are wrong, EngineError where there is another
    reason."""
    return sql.login(b"", MysqlLogin(address, account), lambda refusal: refusal.errno in _DENIED, mask)


def answer(address: str, statements: Statements) -> MysqlAnswer:
    return MysqlAnswer(address, statements)


def _settings(seconds: float, *, maria: bool) -> str:
    """MySQL itself bounds reading statements only; locks are bounded in both."""
    whole, limit = max(1, math.ceil(seconds)), f"max_execution_time = {max(1, round(seconds * 1000))}"
    if maria:
        limit = f"max_statement_time = {seconds:g}"
    mode = "REPLACE(REPLACE(@@SESSION.sql_mode, 'NO_BACKSLASH_ESCAPES', ''), 'ANSI_QUOTES', '')"
    waits = f"lock_wait_timeout = {whole}, innodb_lock_wait_timeout = {whole}"
    return f"SET autocommit = 1, sql_mode = {mode}, {waits}, {limit}, NAMES utf8mb4"


def _packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def _command(text: str) -> bytes:
    if len(text) > _LONGEST // 4:
        raise StepError("the statement is longer than 2 MiB")
    return _packet(0, b"\x03" + text.encode())


def _ended(text: str) -> bytes:
    """Raises StepError: a zero byte ends a text here."""
    if "\0" in text:
        raise StepError("a text for the engine has a zero byte in it")
    return text.encode() + b"\0"


def _length(packet: bytes, at: int) -> tuple[int, int]:
    """A number of up to eight bytes, and where the next begins."""
    head = packet[at]
    if head < 0xFB:
        return head, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[head]
    return int.from_bytes(packet[at + 1 : at + 1 + size], "little"), at + 1 + size


def _column(packet: bytes) -> _Column:
    """Six texts, of which the fifth is the name, then fixed fields with the type."""
    at, texts = 0, []
    for _ in range(6):
        size, at = _length(packet, at)
        texts.append(packet[at : at + size])
        at += size
    return _Column(_plain(texts[4]), _TYPES.get(packet[at + 7], _plain))


def _row(columns: list[_Column], packet: bytes) -> dict[str, Any]:
    at = 0
    row: dict[str, Any] = {}
    for column in columns:
        if packet[at] == _FILE:
            row[column.name], at = None, at + 1
            continue
        size, at = _length(packet, at)
        row[column.name] = column.typed(packet[at : at + size])
        at += size
    return row


def _refusal(packet: bytes) -> Refusal:
    (errno,) = struct.unpack_from("<H", packet, 1)
    if packet[3:4] == b"#":
        return Refusal(_plain(packet[9:]), _plain(packet[4:9]), errno)
    return Refusal(_plain(packet[3:]), "", errno)
