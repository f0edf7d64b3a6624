"""RESP, the protocol of Redis and its like: commands to bytes, bytes to values. No I/O.

A reply is a number, a text, None, a list of replies, or a ``ReplyError``. Answers that are texts or flat lists only
since the protocol had no maps are given fields by ``shaped``: INFO, and what SENTINEL and CONFIG GET say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agent.tooling.failure import Mask, shown

_LARGEST = 8 * 1024 * 1024
_LONGEST_LINE = 64 * 1024
"""Without what it announces."""
_DEEPEST = 32
_SHOWN = 80
"""Characters of what is no answer."""
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_FIRST_SIGNS = "-0123456789"
_REPLICA = re.compile(r"slave[0-9]+")


class ProtocolError(Exception):
    """What came is not RESP, or is too much; a sentence, but for what was ``answered``."""

    def __init__(self, sentence: str, answered: str | None = None) -> None:
        super().__init__(sentence)
        self._answered = answered

    def shown(self, mask: Mask) -> str:
        """The whole sentence."""
        return str(self) if self._answered is None else f"{self}: {shown(self._answered, mask, _SHOWN)}"


@dataclass(frozen=True)
class ReplyError:
    """The engine refuses the command; ``text`` begins with a word such as NOAUTH."""

    text: str


def encoded(words: Iterable[Any]) -> bytes:
    """One command. Numbers and truth values as the engine writes them."""
    parts = [_bytes(word) for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _bytes(word: Any) -> bytes:
    if isinstance(word, bool):
        return b"yes" if word else b"no"
    return str(word).encode()


class Reader:
    """Takes bytes as they come; ``replies`` are those that are complete. What has come of a list is kept: each byte is
    read once, in however many pieces it comes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._before = 0
        """Bytes of the reply that is not complete, of those that are read already."""
        self._open: list[tuple[list[Any], int]] = []
        """Lists that are not complete, each in the one before it, and how long they are to be."""
        self.replies: list[Any] = []

    def feed(self, data: bytes) -> None:
        """Raises ProtocolError."""
        self._buffer += data
        at = begun = 0
        while at < len(self._buffer):
            found = _element(self._buffer, at)
            if found is None:
                break
            value, at = found
            if self._complete(value):
                begun, self._before = at, 0
        self._before += at - begun
        del self._buffer[:at]
        if self._before + len(self._buffer) > _LARGEST:
            raise ProtocolError(f"an answer of more than {_LARGEST} bytes")

    def _complete(self, value: Any) -> bool:
        """Whether a whole reply is there with ``value``."""
        if type(value) is _Length:
            if len(self._open) >= _DEEPEST:
                raise ProtocolError(f"lists in lists, more than {_DEEPEST} deep")
            if value.items:
                self._open.append(([], value.items))
                return False
            value = []
        while self._open:
            items, length = self._open[-1]
            items.append(value)
            if len(items) < length:
                return False
            value = self._open.pop()[0]
        self.replies.append(value)
        return True


@dataclass(frozen=True, slots=True)
class _Length:
    """A list begins."""

    items: int


def _element(buffer: bytearray, at: int) -> tuple[Any, int] | None:
    """A value, or the beginning of a list, that stands at ``at``, and where the next begins."""
    end = buffer.find(b"\r\n", at)
    if end < 0:
        if len(buffer) - at > _LONGEST_LINE:
            raise ProtocolError(f"a line of more than {_LONGEST_LINE} bytes")
        return None
    kind, line, after = buffer[at : at + 1], bytes(buffer[at + 1 : end]).decode("utf-8", "replace"), end + 2
    match kind:
        case b"+":
            return line, after
        case b"-":
            return ReplyError(line), after
        case b":":
            return _number(line), after
        case b"$":
            return _bulk(buffer, _number(line), after)
        case b"*":
            count = _number(line)
            return (_Length(count) if count >= 0 else None), after
    raise ProtocolError(
        "no RESP, which begins with one of + - : $ *", bytes(buffer[at : at + _LONGEST_LINE]).decode("utf-8", "replace")
    )


def _number(line: str) -> int:
    try:
        return int(line)
    except ValueError:
        raise ProtocolError("no RESP, as this stands where a number should", line) from None


def _bulk(buffer: bytearray, size: int, at: int) -> tuple[Any, int] | None:
    if size < 0:
        return None, at
    if size > _LARGEST:
        raise ProtocolError(f"an answer of more than {_LARGEST} bytes")
    if len(buffer) < at + size + 2:
        return None
    return bytes(buffer[at : at + size]).decode("utf-8", "replace"), at + size + 2


def info(reply: Any) -> dict[str, Any]:
    """INFO: ``name:value`` lines, whole numbers as numbers; ``replicas``: of each ``slaveN`` line its fields."""
    lines = (line.partition(":") for line in str(reply).splitlines() if line and not line.startswith("#"))
    found: dict[str, Any] = {"replicas": []}
    for name, _, value in lines:
        if name.startswith("slave") and _REPLICA.fullmatch(name):
            pairs = (pair.partition("=") for pair in value.split(","))
            found["replicas"].append({key: _typed(text) for key, _, text in pairs})
        else:
            found[name] = _typed(value)
    return found


def fields(reply: Any) -> dict[str, Any]:
    """A flat list of names and values, as SENTINEL MASTER's: ``_`` for ``-`` in names, whole numbers as numbers."""
    return {str(name).replace("-", "_"): _typed(value) for name, value in _pairs(reply)}


def table(reply: Any) -> dict[str, str]:
    """The same, as it is: CONFIG GET."""
    return {str(name): str(value) for name, value in _pairs(reply)}


def _pairs(reply: Any) -> Iterable[tuple[Any, Any]]:
    if not isinstance(reply, list) or len(reply) % 2:
        raise ProtocolError("a list of names and values was expected, but it answers", str(reply))
    return zip(reply[::2], reply[1::2], strict=True)


def _typed(value: Any) -> Any:
    if type(value) is not str or not value or value[0] not in _FIRST_SIGNS:
        return value  # most are: this runs for each line of each poll
    return int(value) if _WHOLE.fullmatch(value) else value


def rows(reply: Any) -> list[dict[str, Any]]:
    """A list of such lists: SENTINEL REPLICAS."""
    if not isinstance(reply, list):
        raise ProtocolError("a list was expected, but it answers", str(reply))
    return [fields(each) for each in reply]


SHAPES: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {"plain": lambda reply: reply, "info": info, "fields": fields, "table": table, "rows": rows}
)
"""By the name that a step writes in ``reply``."""
_BY_COMMAND: Mapping[tuple[str, ...], str] = MappingProxyType(
    {
        ("INFO",): "info",
        ("CONFIG", "GET"): "table",
        ("SENTINEL", "MASTER"): "fields",
        ("SENTINEL", "REPLICAS"): "rows",
        ("SENTINEL", "SENTINELS"): "rows",
    }
)


def shape_of(command: Sequence[Any]) -> str:
    """What the answer to ``command`` is taken for where the step does not say."""
    words = tuple(str(word).upper() for word in command[:2])
    return _BY_COMMAND.get(words) or _BY_COMMAND.get(words[:1]) or "plain"
