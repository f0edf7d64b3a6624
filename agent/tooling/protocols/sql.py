"""What the two protocols of SQL have in common: statements one after another on a session, rows, and refusals.

No driver is used. PyMySQL and pg8000 are 10 MiB of memory each (datetime parsers, email, OpenSSL, X.509) in every Pod,
block, and need a thread that nobody can end; what an agent needs of the protocols is a login and the exchange of texts.
So SQL is asked as all else is: on the loop, on kept connections, bounded in time and in what it takes.
"""

from __future__ import annotations

import json
import struct
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from agent.tooling.connections import Answer, Login
from agent.tooling.failure import EngineError, LoginRefusedError, Mask, StepError, cut

LARGEST = 8 * 1024 * 1024
"""Bytes of one answer to all statements of a step."""
_SHOWN = 240
_PIECE = 4
"""Signs of a secret that an engine may have cut out of it, in what it says."""


@dataclass(frozen=True)
class Account:
    """With whom a session is opened, where, and for how long a statement may run there. ``local``: over a Unix socket,
    on which nobody listens in."""

    user: str
    password: str = field(repr=False)
    database: str
    seconds: float
    local: bool = False


@dataclass(frozen=True)
class Refusal:
    """In the engine's words."""

    message: str
    sqlstate: str = ""
    errno: int = 0

    @property
    def codes(self) -> str:
        return " ".join(str(each) for each in (self.errno, self.sqlstate) if each)


@dataclass(frozen=True)
class Statements:
    """``texts``: as they go to the engine. ``go_on``: a refusal is a value, and the next statement is carried out.
    ``values``: what was put in, of which some may be secrets."""

    texts: Sequence[str] = field(repr=False)
    go_on: bool = False
    values: Sequence[str] = field(repr=False, default=())

    def error(self, address: str, number: int, refusal: Refusal, mask: Mask) -> EngineError:
        which = f"statement {number + 1}: " if len(self.texts) > 1 else ""
        said = self.said(refusal, mask)
        sentence = f"{which}{address} answers {refusal.codes}: {cut(said, _SHOWN)}"
        return EngineError(sentence, sqlstate=refusal.sqlstate, errno=refusal.errno, message=said)

    def said(self, refusal: Refusal, mask: Mask) -> str:
        """An engine quotes the statement, and cuts it anywhere: half a secret is nothing that a mask knows."""
        masked = mask(refusal.message)
        secrets = [value for value in self.values if mask(value) != value]
        pieces = {value[at : at + _PIECE] for value in secrets for at in range(len(value) - _PIECE + 1)}
        if any(piece in masked for piece in pieces):
            return "its words are not shown: they quote a statement that has a secret in it"
        return masked


@contextmanager
def understood(address: str) -> Iterator[None]:
    """What cannot be taken apart is no answer of this protocol. Raises StepError."""
    try:
        yield
    except (struct.error, ValueError, IndexError, KeyError, RecursionError) as error:
        raise StepError(f"{address} answers what is not to be understood: {type(error).__name__}") from error


class SqlAnswer(Answer):
    """To all statements; each is sent when the one before it has been answered. ``kind``: the name of the step."""

    kind: ClassVar[str]

    def __init__(self, address: str, statements: Statements) -> None:
        self.address, self.statements = address, statements
        self.replies: list[list[dict[str, Any]] | Refusal] = []
        self._unsaid = b""
        self._taken = 0

    def take(self, data: bytes) -> bool:
        self.begun = True
        self._taken += len(data)
        if self._taken > LARGEST:
            raise StepError(f"{self.address} answers more than {LARGEST} bytes; ask for fewer rows")
        with understood(self.address):
            return self.read(data)

    @abstractmethod
    def read(self, data: bytes) -> bool:
        """Whether all is answered with ``data``."""

    @abstractmethod
    def asked(self, text: str) -> bytes:
        """A statement as it is sent."""

    def answered(self, reply: list[dict[str, Any]] | Refusal) -> bool:
        """One of them; whether it was the last."""
        self.replies.append(reply)
        done = len(self.replies) >= len(self.statements.texts)
        if done or (isinstance(reply, Refusal) and not self.statements.go_on):
            return True
        self._unsaid += self.asked(self.statements.texts[len(self.replies)])
        return False

    def says(self) -> bytes:
        unsaid, self._unsaid = self._unsaid, b""
        return unsaid

    def shown(self) -> str:
        return f"{len(self.replies)} of {len(self.statements.texts)} statements"


class LoginAnswer(Answer):
    """A login takes turns; ``refusal``: how it ended, where it did not succeed."""

    def __init__(self, address: str, account: Account) -> None:
        self.address, self.account = address, account
        self.refusal: Refusal | None = None
        self.unsaid = b""

    def take(self, data: bytes) -> bool:
        self.begun = True
        with understood(self.address):
            return self.read(data)

    @abstractmethod
    def read(self, data: bytes) -> bool:
        """Whether the login has ended with ``data``."""

    def says(self) -> bytes:
        unsaid, self.unsaid = self.unsaid, b""
        return unsaid

    def shown(self) -> str:
        return "nothing that ends the login"


def login(first: bytes, answer: LoginAnswer, wrong: Callable[[Refusal], bool], mask: Mask) -> Login:
    """``wrong``: whether a refusal is of user or password, so that the App's Secret may be to blame."""

    def check() -> None:
        if (refusal := answer.refusal) is None:
            return
        said = Statements((), values=(answer.account.password,)).said(refusal, mask)
        kind = LoginRefusedError if wrong(refusal) else EngineError
        sentence = f"{answer.address} refuses the login: {refusal.codes}: {cut(said, _SHOWN)}"
        raise kind(sentence, sqlstate=refusal.sqlstate, errno=refusal.errno, message=said)

    return Login(first, answer, check)


def number(text: str) -> int | float:
    """NUMERIC and DECIMAL: whole numbers stay exact, as positions in a log must."""
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def from_json(text: str) -> Any:
    return json.loads(text)
