"""What comes back on a connection, by protocol: when it is complete, and the value that a step gets of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from agent.tooling.connections import Answer, Login
from agent.tooling.failure import LoginRefusedError, Mask, StepError, shown
from agent.tooling.protocols import resp
from language.patterns import Pattern, pattern

_LARGEST = 8 * 1024 * 1024
_END_WITHIN = 4096
"""Bytes that the end of an answer takes, at most."""
_REFUSED = re.compile(r"WRONGPASS|ERR (?:invalid password|AUTH )")
"""Also where the engine has no password (6.0 and later: "ERR AUTH <password> called without any"); not an engine that
is full, or is in protected mode."""


class RespAnswer(Answer):
    """One reply for each command that was sent."""

    def __init__(self, address: str, count: int, mask: Mask) -> None:
        self._address, self._count, self._mask = address, count, mask
        self._reader = resp.Reader()

    @property
    def replies(self) -> list[Any]:
        return self._reader.replies

    def take(self, data: bytes) -> bool:
        self.begun = True
        try:
            self._reader.feed(data)
        except resp.ProtocolError as error:
            raise StepError(f"{self._address} answers {error.shown(self._mask)}") from error
        return len(self.replies) >= self._count

    def shown(self) -> str:
        return shown(" ".join(str(each) for each in self.replies), self._mask)


def resp_login(address: str, words: list[str], mask: Mask) -> Login:
    """AUTH. Its check raises LoginRefusedError where the engine does not accept what the App's Secret holds; any other
    answer is a fault like any other."""
    answer = RespAnswer(address, 1, mask)

    def check() -> None:
        reply = answer.replies[0]
        if not isinstance(reply, resp.ReplyError):
            return
        if _REFUSED.match(reply.text):
            raise LoginRefusedError(f"{address} refuses the login: {reply.text}")
        raise StepError(f"login failed: {address} answers {reply.text}")

    return Login(resp.encoded(["AUTH", *words]), answer, check)


class TextAnswer(Answer):
    """Until ``end`` is found in it, or the peer closes where there is no ``end``."""

    def __init__(self, address: str, end: str | None, mask: Mask) -> None:
        self._address, self._mask = address, mask
        self._end = None if end is None else pattern(end)
        self._received = bytearray()

    @property
    def text(self) -> str:
        return self._received.decode("utf-8", "replace")

    def take(self, data: bytes) -> bool:
        self.begun = True
        self._received += data
        if len(self._received) > _LARGEST:
            raise StepError(f"{self._address} answers more than {_LARGEST} bytes")
        return self._end is not None and self._ends(self._end, len(data))

    def _ends(self, end: Pattern, new: int) -> bool:
        """Looked for in the ``new`` bytes and a little before them, from the beginning of a line where one is there."""
        before = max(0, len(self._received) - new - _END_WITHIN)
        if before:
            line = self._received.find(b"\n", before, len(self._received) - new) + 1
            before = line or before
        try:
            return end.search(self._received[before:].decode("utf-8", "replace")) is not None
        except ValueError as error:
            raise StepError(f"{self._address}: {error}") from error

    def closed(self) -> bool:
        return self._end is None

    def shown(self) -> str:
        return shown(self.text, self._mask)


def key_value(text: str) -> dict[str, str]:
    """Lines of ``name=value`` or ``name: value``; others are passed over."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        ends = [at for at in (line.find("="), line.find(":")) if at >= 0]
        words = line[: min(ends)].split() if ends else []
        if len(words) == 1:
            found[words[0]] = line[min(ends) + 1 :].strip()
    return found


def parsed(parse: str, text: str, mask: Mask) -> Any:
    """As ``parse`` names it. Raises StepError."""
    try:
        return _PARSERS[parse](text)
    except (ValueError, RecursionError) as error:  # of JSON
        raise StepError(f"expected JSON, answered {shown(text, mask)}") from error


_PARSERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {"text": str.strip, "lines": str.splitlines, "keyValue": key_value, "json": json.loads}
)
"""By the name that a step writes in ``parse``."""
