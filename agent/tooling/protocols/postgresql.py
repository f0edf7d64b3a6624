"""PostgreSQL's protocol 3.0, as far as a tool needs it: a login, then simple queries. No I/O.

A statement goes as text and its values come as text, each with the number of its type. COPY is refused.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from agent.tooling.connections import Login
from agent.tooling.failure import Mask, StepError
from agent.tooling.protocols import sql
from agent.tooling.protocols.scram import Scram, ScramError
from agent.tooling.protocols.sql import Account, LoginAnswer, Refusal, SqlAnswer, Statements

_VERSION = 196608
_WRONG_PASSWORD = "28P01"  # noqa: S105 - a code
_MECHANISM = "SCRAM-SHA-256"
_LONGEST = sql.LARGEST

_INTEGERS = (20, 21, 23, 26, 28)
_TYPES: Mapping[int, Callable[[str], Any]] = MappingProxyType(
    {
        16: lambda text: text == "t",
        **dict.fromkeys(_INTEGERS, int),
        **dict.fromkeys((700, 701), float),
        1700: sql.number,
        **dict.fromkeys((114, 3802), sql.from_json),
    }
)
"""By the number of the type: truth values, whole numbers, fractions, numeric, json. All else is a text."""


class _Messages:
    """Takes bytes as they come; gives the messages that are complete, each with its letter."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._buffer = bytearray()

    def fed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= 5:
            (size,) = struct.unpack_from("!i", self._buffer, at + 1)
            if not 4 <= size <= _LONGEST:
                raise StepError(f"{self._address} does not speak PostgreSQL's protocol")
            if len(self._buffer) - at <= size:
                break
            yield bytes(self._buffer[at : at + 1]), bytes(self._buffer[at + 5 : at + 1 + size])
            at += 1 + size
        del self._buffer[:at]


class PostgresqlAnswer(SqlAnswer):
    """What is complete ends with ReadyForQuery, which also says whether a transaction is open."""

    kind = "postgresql"
    farewell = b"X\0\0\0\4"

    def __init__(self, address: str, statements: Statements) -> None:
        super().__init__(address, statements)
        self._messages = _Messages(address)
        self._columns: list[tuple[str, Callable[[str], Any]]] = []
        self._rows: list[dict[str, Any]] = []
        self._refusal: Refusal | None = None

    def asked(self, text: str) -> bytes:
        return _message(b"Q", _text(text))

    def read(self, data: bytes) -> bool:
        for kind, body in self._messages.fed(data):
            match kind:
                case b"T":
                    self._columns, self._rows = _columns(body), []
                case b"D":
                    self._rows.append(_row(self._columns, body))
                case b"E":
                    self._refusal = _refusal(body)
                case b"G" | b"H" | b"W":
                    raise StepError("COPY is not for tools; use run with psql")
                case b"Z":
                    self.keepable = body == b"I"
                    reply = self._rows if self._refusal is None else self._refusal
                    self._columns, self._rows, self._refusal = [], [], None
                    if self.answered(reply):
                        return True
        return False

    def closed(self) -> bool:
        """The server says why it closes, and that is the answer then."""
        if self._refusal is None:
            return False
        self.keepable = False
        self.replies.append(self._refusal)
        return True


class PostgresqlLogin(LoginAnswer):
    """Trust, peer, password, md5 and SCRAM-SHA-256."""

    def __init__(self, address: str, account: Account) -> None:
        super().__init__(address, account)
        self._messages = _Messages(address)
        self._scram: Scram | None = None
        self._proved = True

    def read(self, data: bytes) -> bool:
        for kind, body in self._messages.fed(data):
            if kind == b"R":
                self._asked(struct.unpack_from("!i", body)[0], body[4:])
            elif kind == b"E":
                self.refusal = _refusal(body)
                return True
            elif kind == b"Z":
                return True
        return False

    def closed(self) -> bool:
        return self.refusal is not None

    def _asked(self, what: int, body: bytes) -> None:
        """Raises StepError."""
        try:
            match what:
                case 0:
                    if not self._proved:
                        raise ScramError("the server does not prove that it knows the password")
                case 3:
                    self.unsaid += _message(b"p", _text(self.account.password))
                case 5:
                    self.unsaid += _message(b"p", _text(_md5(self.account, body[:4])))
                case 10 if _MECHANISM.encode() in body.split(b"\0"):
                    self._scram, self._proved = Scram(self.account.password), False
                    first = self._scram.first.encode()
                    self.unsaid += _message(b"p", _text(_MECHANISM) + struct.pack("!i", len(first)) + first)
                case 11 if self._scram is not None:
                    self.work = lambda scram=self._scram: self._prove(scram, body.decode())
                case 12 if self._scram is not None:
                    self._scram.verify(body.decode())
                    self._proved = True
                case _:
                    method = f"{self.address} asks for a login method (number {what}) that is not known"
                    raise StepError(f"{method}; known are trust, peer, password, md5 and scram-sha-256")
        except (ScramError, UnicodeDecodeError) as error:
            raise StepError(f"login failed: {self.address}: {error}") from error

    def _prove(self, scram: Scram, server_first: str) -> None:
        try:
            self.unsaid += _message(b"p", scram.final(server_first).encode())
        except ScramError as error:
            raise StepError(f"login failed: {self.address}: {error}") from error


def login(address: str, account: Account, mask: Mask) -> Login:
    """Its check raises LoginRefusedError where user or password are wrong, EngineError where there is another reason,
    as while the server starts."""
    settings = {
        "user": account.user,
        "database": account.database or account.user,
        "application_name": "middleware-agent",
        "client_encoding": "UTF8",
        "standard_conforming_strings": "on",
        "DateStyle": "ISO",
        # The server ends what nobody waits for any longer: else each poll would leave a session that waits for a lock.
        "statement_timeout": str(max(1, round(account.seconds * 1000))),
    }
    words = b"".join(_text(each) for pair in settings.items() for each in pair) + b"\0"
    first = struct.pack("!ii", len(words) + 8, _VERSION) + words
    return sql.login(
        first, PostgresqlLogin(address, account), lambda refusal: refusal.sqlstate == _WRONG_PASSWORD, mask
    )


def answer(address: str, statements: Statements) -> PostgresqlAnswer:
    return PostgresqlAnswer(address, statements)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _text(text: str) -> bytes:
    """Raises StepError: a zero byte ends a text here."""
    if "\0" in text:
        raise StepError("a text for the engine has a zero byte in it")
    return text.encode() + b"\0"


def _md5(account: Account, salt: bytes) -> str:
    def digest(data: bytes) -> str:
        return hashlib.md5(data, usedforsecurity=False).hexdigest()  # the engine's choice

    inner = digest(account.password.encode() + account.user.encode())
    return f"md5{digest(inner.encode() + salt)}"


def _columns(body: bytes) -> list[tuple[str, Callable[[str], Any]]]:
    (count,) = struct.unpack_from("!h", body)
    at, found = 2, []
    for _ in range(count):
        end = body.index(b"\0", at)
        (kind,) = struct.unpack_from("!i", body, end + 7)
        found.append((body[at:end].decode("utf-8", "replace"), _TYPES.get(kind, str)))
        at = end + 19
    return found


def _row(columns: list[tuple[str, Callable[[str], Any]]], body: bytes) -> dict[str, Any]:
    at = 2
    row: dict[str, Any] = {}
    for name, typed in columns:
        (size,) = struct.unpack_from("!i", body, at)
        at += 4
        row[name] = None if size < 0 else typed(body[at : at + size].decode("utf-8", "replace"))
        at += max(size, 0)
    return row


def _refusal(body: bytes) -> Refusal:
    """M is the sentence, D what is said in addition."""
    found = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
    words = [found.get(b"M", "no reason given"), *([found[b"D"]] if b"D" in found else [])]
    return Refusal(" ".join(words), found.get(b"C", ""))
